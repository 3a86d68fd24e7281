"""The catalog's layers, strongest first, and how one catalog is made of them.

1. the user's files (``provider.catalog: FILE``), the first strongest
2. ``~/.accel_scaling/*.csv``
3. plug-in families' machine types: the CSV files of the packages that bring them
4. shipped corrections, ``<cloud>_corrections.csv``: where the cloud's API is wrong
5. a refresh, ``~/.accel_scaling/refresh/<cloud>.csv``: what the cloud's API said
6. the shipped rows, ``<cloud>.csv``

Accelerators come from ``accelerators.yaml`` and from plug-ins; a YAML file beside a user's CSV adds to them or
overrides them.
"""

from __future__ import annotations

import functools
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.catalog.chips import parse_chips
from accel_scaling.catalog.files import CHIPS_FILE, CORRECTIONS, SHIPPED_FOLDER, Source, known_clouds, read
from accel_scaling.catalog.lookup import Catalog
from accel_scaling.catalog.rows import parse_rows
from accel_scaling.catalog.rules import KUBERAY_FILES, NODE_FILES, RULE_FILES, shipped_rules
from accel_scaling.plugins.load import loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from accel_scaling.catalog.model import Chip, MachineType
    from accel_scaling.plugins.data import Data

__all__ = [
    "Catalog",
    "chips_here",
    "known_clouds",
    "load_catalog",
    "merged_chips",
    "shipped_catalog",
    "shipped_sources",
    "user_chip_files",
]

USER_FOLDER = ".accel_scaling"
REFRESH_FOLDER = "refresh"


def load_catalog(user_files: Sequence[Path] = (), *, home: Path | None = None) -> Catalog:
    """Load every layer.

    Args:
        user_files: CSV files of machine types and YAML files of accelerators, the first strongest.
        home: the folder that has ``.accel_scaling``; the user's home where it is None.

    Raises:
        CatalogFileError: a file cannot be read or has a wrong row; it is refused whole. Files that ship with
            the package are parsed when their cloud is first asked for.
    """
    folder = (Path.home() if home is None else home) / USER_FOLDER
    users = [*_user_sources(user_files), *_folder_sources(folder)]
    refreshes = {cloud: _sources([folder / REFRESH_FOLDER / f"{cloud}.csv"]) for cloud in known_clouds()}
    return _build(users, refreshes, [plug_in.data for plug_in in loaded().plug_ins.values()])


@functools.cache
def shipped_catalog() -> Catalog:
    """Load what ships with the package: nothing of the user's, nothing of plug-ins."""
    return _build([], {}, [])


@functools.cache
def chips_here() -> Mapping[str, Chip]:
    """Return the accelerators that this machine knows: what ships, plug-ins' and those in ``~/.accel_scaling/*.yaml``.

    On a node the last are the user's own, which came with the cluster (node.bundle).

    Raises:
        CatalogFileError: one of the files is wrong.
    """
    own = [read(path) for path in _chips_in(Path.home() / USER_FOLDER)]
    return merged_chips(own, [plug_in.data for plug_in in loaded().plug_ins.values()])


def user_chip_files(user_files: Sequence[Path] = (), *, home: Path | None = None) -> list[Path]:
    """Return the YAML files with the user's own accelerators, strongest first; arguments as load_catalog()."""
    found = []
    for file in user_files:
        path = file.expanduser()
        found += [path] if path.suffix.lower() in {".yaml", ".yml"} else chips_beside(path)
    return [*found, *_chips_in((Path.home() if home is None else home) / USER_FOLDER)]


def shipped_sources(cloud: str) -> list[Source]:
    """Return a cloud's shipped files: the rows, then the corrections, which are stronger."""
    names = (f"{cloud}.csv", f"{cloud}{CORRECTIONS}.csv")
    return [read(SHIPPED_FOLDER / name, label=name) for name in names if (SHIPPED_FOLDER / name).exists()]


def merged_chips(sources: Iterable[Source], plugged: Iterable[Data] = ()) -> dict[str, Chip]:
    """Return the accelerators of the YAML files among ``sources`` (strongest first) over plug-ins' and shipped ones.

    Raises:
        CatalogFileError: one of the files is wrong.
    """
    shipped = read(SHIPPED_FOLDER / CHIPS_FILE, label=CHIPS_FILE)
    chips = dict(shipped.accept(parse_chips(shipped.text, {})))
    for data in plugged:
        chips.update(data.chips)
    for source in reversed(list(sources)):
        if source.is_chips:
            chips.update(source.accept(parse_chips(source.text, chips)))
    return chips


def chips_beside(path: Path) -> list[Path]:
    """Return the YAML files that belong to a CSV file: ``accelerators.yaml`` and one of the CSV's own name."""
    beside = (path.with_suffix(".yaml"), path.with_name(CHIPS_FILE))
    return [each for each in beside if each.is_file()]


def _user_sources(files: Iterable[Path]) -> list[Source]:
    sources: list[Source] = []
    for file in files:
        path = file.expanduser()
        sources.append(read(path))
        if not sources[-1].is_chips:
            sources += [read(each) for each in chips_beside(path)]
    return sources


def _folder_sources(folder: Path) -> list[Source]:
    return [read(path) for path in (*sorted(folder.glob("*.csv")), *_chips_in(folder))]


def _chips_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.yaml"))


def _sources(paths: Iterable[Path]) -> list[Source]:
    return [read(path) for path in paths if path.is_file()]


def _build(users: Sequence[Source], refreshes: Mapping[str, Sequence[Source]], plugged: Sequence[Data]) -> Catalog:
    """Make a catalog of the users' sources (strongest first) over plug-ins' and the clouds' own (weakest first)."""
    clouds = known_clouds()
    chips = merged_chips(users, plugged)
    of_users = {key: machine for data in plugged for key, machine in data.machine_types.items()}
    for source in reversed(users):
        if not source.is_chips:
            of_users.update(source.accept(parse_rows(source, chips, clouds)))
    tables: dict[str, Callable[[], Mapping[str, MachineType]]] = {}
    stack = [
        *users,
        *(source for data in plugged for source in data.sources),
        read(SHIPPED_FOLDER / CHIPS_FILE),
        *map(shipped_rules, (*RULE_FILES, *NODE_FILES, *KUBERAY_FILES)),
    ]
    for cloud in clouds:
        rows, *corrections = shipped_sources(cloud)
        layers = [rows, *refreshes.get(cloud, ()), *corrections]
        stack += layers
        own = {name: machine for (of, name), machine in of_users.items() if of == cloud}
        tables[cloud] = functools.partial(_table, cloud, layers, own, chips, clouds)
    return Catalog(_version(stack), chips, tables)


def _table(
    cloud: str,
    layers: Sequence[Source],
    of_users: Mapping[str, MachineType],
    chips: Mapping[str, Chip],
    clouds: Collection[str],
) -> dict[str, MachineType]:
    table: dict[str, MachineType] = {}
    for source in layers:
        rows = source.accept(parse_rows(source, chips, clouds))
        table.update((name, machine) for (of, name), machine in rows.items() if of == cloud)
    table.update(of_users)
    return table


def _version(sources: Iterable[Source]) -> str:
    """Return the package's version and 8 hex digits over the content of the layers, in their order."""
    from accel_scaling.version import __version__

    check_sum = 0
    for source in sources:
        check_sum = zlib.crc32(source.text.encode() + b"\0", check_sum)
    return f"{__version__}+{check_sum:08x}"
