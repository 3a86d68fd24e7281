"""The files of a user's own catalog: those that the cluster file names, those beside them, those in the home folder.

A CSV file of machine types may have companions of its own name: ``mine.yaml`` (or ``accelerators.yaml``) with
accelerators, ``mine_places.csv`` with the zones that offer the types, ``mine_hardware.csv`` with what a rehearsal
emulates. All but the last travel to the nodes with the package (node.bundle), so that a head answers as home does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import CHIPS_FILE, REFRESH_FOLDER
from accel_scaling.catalog.offerings import STEM, is_places

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

USER_FOLDER = ".accel_scaling"
TRAVELLED = "bundle/catalog"  # below USER_FOLDER on a node: what came with the cluster
HARDWARE = "hardware"


def user_catalog_files(user_files: Sequence[Path] = (), *, home: Path | None = None) -> list[Path]:
    """Return every file of the user's own catalog, strongest first.

    Args:
        user_files: those that the cluster file names; what belongs to them comes right after each.
        home: the folder that has ``.accel_scaling``; the user's home where it is None.
    """
    given = [path for file in user_files for path in with_beside(file.expanduser())]
    folder = _folder(home)
    at_home = [*sorted(folder.glob("*.csv")), *sorted(folder.glob("*.yaml"))]
    every = [*given, *sorted(folder.glob(f"{TRAVELLED}/[0-9]*/*")), *at_home]
    return [path for path in dict.fromkeys(every) if not is_hardware(path)]


def with_beside(path: Path) -> list[Path]:
    """Return a file of a user's catalog with what belongs to it: the places and the accelerators beside a CSV file."""
    return [path] if _is_chips(path) else [path, *places_beside(path), *chips_beside(path)]


def refreshed_files(cloud: str, *, home: Path | None = None) -> list[Path]:
    """Return the files of a cloud that a refresh wrote, or that came with the cluster from there."""
    names = (f"{cloud}.csv", f"{cloud}_{STEM}.csv")
    folders = (f"{TRAVELLED}/{REFRESH_FOLDER}", REFRESH_FOLDER)
    candidates = ([_folder(home) / folder / name for folder in folders] for name in names)
    return [next(path for path in paths if path.is_file()) for paths in candidates if any(map(Path.is_file, paths))]


def hardware_files(user_files: Sequence[Path] = (), *, home: Path | None = None) -> list[Path]:
    """Return the user's own files of emulated hardware, strongest first; arguments as user_catalog_files()."""
    given = [file.expanduser() for file in user_files]
    beside = [file.parent / name for file in given for name in (f"{file.stem}_{HARDWARE}.csv", f"{HARDWARE}.csv")]
    at_home = (path for path in sorted(_folder(home).glob("*.csv")) if is_hardware(path))
    return [path for path in dict.fromkeys([*beside, *at_home]) if path.is_file()]


def travelling_files(user_files: Sequence[Path], clouds: Iterable[str], *, home: Path | None = None) -> dict[str, Path]:
    """Return what a node needs to answer as this machine does, by its path below TRAVELLED."""
    users = {f"{number:03d}/{path.name}": path for number, path in enumerate(user_catalog_files(user_files, home=home))}
    refreshed = {
        f"{REFRESH_FOLDER}/{path.name}": path for cloud in clouds for path in refreshed_files(cloud, home=home)
    }
    return users | refreshed


def user_chip_files(*, home: Path | None = None) -> list[Path]:
    """Return the YAML files with the accelerators that only this machine knows, strongest first."""
    return [path for path in user_catalog_files(home=home) if _is_chips(path)]


def chips_beside(path: Path) -> list[Path]:
    """Return the YAML files that belong to a CSV file: ``accelerators.yaml`` and one of the CSV's own name."""
    if not path.name:  # `.`: a folder, which is refused where it is read
        return []
    beside = (path.with_suffix(".yaml"), path.with_name(CHIPS_FILE))
    return [path for path in beside if path.is_file()]


def places_beside(path: Path) -> list[Path]:
    """Return the places file that belongs to a CSV file: ``mine_places.csv`` to ``mine.csv``."""
    beside = path.parent / f"{path.stem}_{STEM}.csv"
    return [beside] if not is_places(path) and beside.is_file() else []


def is_hardware(path: Path) -> bool:
    """Return whether a file has the name of one that rehearsals read: ``mine_hardware.csv``, ``hardware.csv``."""
    return path.suffix.lower() == ".csv" and path.stem.rpartition("_")[2] == HARDWARE


def _is_chips(path: Path) -> bool:
    return path.suffix.lower() in {".yaml", ".yml"}


def _folder(home: Path | None) -> Path:
    return (Path.home() if home is None else home) / USER_FOLDER
