"""Catalog files: which table each is, its text, what is wrong with it as lines; and which files a user's catalog has.

A user's catalog is the files that the cluster file names, those beside them, and those in the home folder. A CSV file
of machine types may have companions of its own name: ``mine.yaml`` (or ``accelerators.yaml``) with accelerators,
``mine_places.csv`` with the zones that offer the types, ``mine_hardware.csv`` with what a rehearsal emulates. All but
the last travel to the nodes with the package (boot.bundle), so a head answers as home does.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from accel_scaling.catalog import schema
from accel_scaling.catalog.columns import CLOUD
from accel_scaling.clouds import SHIPPED_FOLDER, default_cloud, known_clouds
from accel_scaling.errors import CatalogFileError
from accel_scaling.inputs.file_text import NotUtf8Error, UnreadableError, expanded, is_file, read_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from accel_scaling.catalog.columns import Table

T = TypeVar("T")

CHIPS_FILE = schema.CHIPS.files
CORRECTIONS = "_corrections"
REFRESH_FOLDER = "refresh"  # below ~/.accel_scaling

_BY_ENDING = (schema.CORRECTIONS, schema.OFFERINGS, schema.LAUNCH_ERRORS)
_LAYERED = (schema.MACHINE_TYPES, schema.CORRECTIONS, schema.OFFERINGS)  # a user's own files add to these
USER_FOLDER = ".accel_scaling"
TRAVELLED = "catalog"  # in a bundle: what came with the cluster; a rehearsal brings the same below USER_FOLDER
BUNDLE_RECORD = "bundle.json"  # in a bundle, and nowhere else beside the package: what was compiled for it
HARDWARE, PLACES = "hardware", "places"  # last words of the names of such files


class Problem(NamedTuple):
    """One thing that is wrong in a file, and in which column or field; empty where it is the line, or the file."""

    line: int
    text: str
    column: str = ""


@dataclass(frozen=True)
class Source:
    """A catalog file that has been read.

    Attributes:
        path: the file.
        label: how answers name it as their layer: the bare name for a shipped file, else the path.
        text: its content, without a byte-order mark.
    """

    path: Path
    label: str
    text: str

    @property
    def is_chips(self) -> bool:
        """True where the file describes accelerators (YAML) rather than machine types (CSV)."""
        return is_yaml(self.path)

    def accept(self, parsed: tuple[T, list[Problem]]) -> T:
        """Return what was parsed from this file, or refuse the file whole.

        Raises:
            CatalogFileError: the file has a problem; the text names the first one, and how to see the rest.
        """
        value, problems = parsed
        if problems:
            raise refusal(self.path, problems)
        return value


def is_yaml(path: Path) -> bool:
    """Return whether a file's name is that of a YAML file."""
    return path.suffix.lower() in {".yaml", ".yml"}


def refusal(path: Path, problems: list[Problem]) -> CatalogFileError:
    """Return the error of a file with problems: the first one, and how to see the rest."""
    # Problems compare by their line first.
    first = describe(path, min(problems))
    more = len(problems) - 1
    return CatalogFileError(first + (f" (and {more} more: `accel-scaling catalog check {path}`)" if more else ""))


def describe(path: Path, problem: Problem) -> str:
    """Return ``file:line: what is wrong``."""
    return f"{path}:{problem.line}: {problem.text}"


def read(path: Path, *, label: str | None = None) -> Source:
    """Read a catalog file.

    Raises:
        CatalogFileError: there is no such file, it cannot be read, or it is not UTF-8.
    """
    try:
        text = read_text(path)
    except NotUtf8Error as error:
        raise CatalogFileError(f"{path}:{error.line}: is not UTF-8; save the file as UTF-8") from error
    except UnreadableError as error:
        raise CatalogFileError(f"{path}: cannot be read as a catalog file: {error}") from error
    return Source(path, label or str(path), text.removeprefix("\ufeff"))  # spreadsheets write a byte-order mark


def table_of(path: Path) -> Table:
    """Return the table that a file is by its name; a CSV file of any other name holds machine types."""
    return schema.CHIPS if is_yaml(path) else _table_named(path.name.lower(), tuple(known_clouds()))


# The clouds are an argument for the cache's sake: a cloud from elsewhere brings file names of its own.
@functools.cache
def _table_named(name: str, clouds: tuple[str, ...]) -> Table:
    for table in schema.TABLES:
        # A user's files of these tables have any beginning (mine_places.csv); all others have one name each.
        ending = table.files.removeprefix(CLOUD)
        if table in _BY_ENDING and name.endswith(ending):
            return table
        if name in (map(table.file_of, clouds) if table.of_cloud else (table.files,)):
            return table
    return schema.OFFERINGS if name == f"{PLACES}.csv" else schema.MACHINE_TYPES


def shipped(table: Table, cloud: str = "") -> Source | None:
    """Return the shipped file of a table, a cloud's where each has its own; None where there is none."""
    name = table.file_of(cloud)
    path = (known_clouds()[cloud].data if cloud else SHIPPED_FOLDER) / name
    return read(path, label=name) if is_file(path) else None


def shipped_files(cloud: str, tables: Iterable[Table]) -> list[Source]:
    """Return a cloud's shipped files of some tables, as far as it has them."""
    return [source for table in tables if (source := shipped(table, cloud))]


def shipped_rules() -> list[Source]:
    """Return the shipped files that no user's file adds to: what fits what, images, launch errors, Kubernetes."""
    rules = [table for table in schema.TABLES if table not in {*_LAYERED, schema.CHIPS}]
    of_clouds = [shipped(table, cloud) for table in rules if table.of_cloud for cloud in known_clouds()]
    return [source for source in (*of_clouds, *(shipped(table) for table in rules if not table.of_cloud)) if source]


def is_places(path: Path) -> bool:
    """Return whether a file has the name of an offerings file: ``aws_places.csv``, ``places.csv``."""
    return table_of(path) is schema.OFFERINGS


def cloud_of_file(name: str, clouds: Collection[str] | None = None) -> str:
    """Return the cloud that a file's name begins with (``gcp_mine.csv``); the default cloud where it names none."""
    named = [cloud for cloud in (known_clouds() if clouds is None else clouds) if name.startswith(cloud)]
    return max(named, key=len, default=default_cloud())  # one cloud's name may begin as another's


def user_catalog_files(user_files: Sequence[Path] = (), *, home: Path | None = None) -> list[Path]:
    """Return every file of the user's own catalog, strongest first.

    Args:
        user_files: those that the cluster file names; what belongs to them comes right after each.
        home: the folder that has ``.accel_scaling``; the user's home where it is None.
    """
    given = [path for file in user_files for path in with_beside(expanded(file))]
    folder = _folder(home)
    at_home = [*sorted(folder.glob("*.csv")), *sorted(folder.glob("*.yaml"))]
    # On a head, what came with the cluster has precedence over its home folder: it then answers as home does.
    # travelling_files() numbers the folders in the order of their strength.
    every = [*given, *sorted(_travelled_folder(home).glob("[0-9]*/*")), *at_home]
    return [path for path in dict.fromkeys(every) if not is_hardware(path)]


def with_beside(path: Path) -> list[Path]:
    """Return a file of a user's catalog with what belongs to it: the places and the accelerators beside a CSV file."""
    return [path] if is_yaml(path) else [path, *places_beside(path), *chips_beside(path)]


def refreshed_files(cloud: str, *, home: Path | None = None) -> list[Path]:
    """Return the files of a cloud that a refresh wrote, or that came with the cluster from there."""
    names = (f"{cloud}.csv", f"{cloud}_{PLACES}.csv")
    # On a head, what came with the cluster is first, as in user_catalog_files().
    folders = (_travelled_folder(home) / REFRESH_FOLDER, _folder(home) / REFRESH_FOLDER)
    candidates = ([folder / name for folder in folders] for name in names)
    return [next(path for path in paths if is_file(path)) for paths in candidates if any(map(is_file, paths))]


def hardware_files(user_files: Sequence[Path] = (), *, home: Path | None = None) -> list[Path]:
    """Return the user's own files of emulated hardware, strongest first; arguments as user_catalog_files()."""
    given = [expanded(file) for file in user_files]
    beside = [file.parent / name for file in given for name in (f"{file.stem}_{HARDWARE}.csv", f"{HARDWARE}.csv")]
    at_home = (path for path in sorted(_folder(home).glob("*.csv")) if is_hardware(path))
    return [path for path in dict.fromkeys([*beside, *at_home]) if is_file(path)]


def travelling_files(user_files: Sequence[Path], clouds: Iterable[str], *, home: Path | None = None) -> dict[str, Path]:
    """Return what a node needs to answer as this machine does, by its path below TRAVELLED."""
    # A folder for each: files of several folders may have one name, and the number keeps their order of strength.
    users = {f"{number:03d}/{path.name}": path for number, path in enumerate(user_catalog_files(user_files, home=home))}
    refreshed = {
        f"{REFRESH_FOLDER}/{path.name}": path for cloud in clouds for path in refreshed_files(cloud, home=home)
    }
    return users | refreshed


def user_chip_files(*, home: Path | None = None) -> list[Path]:
    """Return the YAML files with the accelerators that only this machine knows, strongest first."""
    return [path for path in user_catalog_files(home=home) if is_yaml(path)]


def chips_beside(path: Path) -> list[Path]:
    """Return the YAML files that belong to a CSV file: ``accelerators.yaml`` and one of the CSV's own name."""
    if not path.name:  # `.`: a folder, which is refused where it is read
        return []
    beside = (path.with_suffix(".yaml"), path.with_name(CHIPS_FILE))
    return [path for path in beside if is_file(path)]


def places_beside(path: Path) -> list[Path]:
    """Return the places file that belongs to a CSV file: ``mine_places.csv`` to ``mine.csv``."""
    beside = path.parent / f"{path.stem}_{PLACES}.csv"
    return [beside] if not is_places(path) and is_file(beside) else []


def is_hardware(path: Path) -> bool:
    """Return whether a file has the name of one that rehearsals read: ``mine_hardware.csv``, ``hardware.csv``."""
    return path.suffix.lower() == ".csv" and path.stem.rpartition("_")[2] == HARDWARE


def _travelled_folder(home: Path | None) -> Path:
    """Return the folder with the catalog that came with the cluster.

    On a node, in the very bundle that this package is read from: what an earlier one has left there is not read.
    """
    bundle = Path(__file__).parents[2]
    return (bundle if (bundle / BUNDLE_RECORD).is_file() else _folder(home)) / TRAVELLED


def _folder(home: Path | None) -> Path:
    return (Path.home() if home is None else home) / USER_FOLDER
