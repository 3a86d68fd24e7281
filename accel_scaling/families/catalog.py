"""The catalog with what the plug-in families of this Python add to it: their chips, machine types and hardware tables.

The catalog's modules are imported where it is read: a machine without accelerators is checked without them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from accel_scaling.families.plugins import loaded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from accel_scaling.catalog.load import Addition
    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.catalog.model import Chip


def load_catalog(user_files: Sequence[Path] = (), *, home: Path | None = None) -> Catalog:
    """Load every layer.

    Args:
        user_files: CSV files of machine types and YAML files of accelerators, the first strongest.
        home: the folder that has ``.accel_scaling``; the user's home where it is None.

    Raises:
        CatalogFileError: a file cannot be read or has a wrong row; it is refused whole. Of files that ship with
            the package, the rows and accelerators that are asked for are read (``catalog check`` reads all).
    """
    from accel_scaling.catalog.load import build_catalog

    return build_catalog(user_files, _additions(), home=home)


# Cached: the probe of each family asks for its chips.
@functools.cache
def chips_here() -> Mapping[str, Chip]:
    """Return the accelerators that this machine knows: what ships, plug-ins' and the user's own.

    On a node the last are those that came with the cluster (boot.bundle), and ``~/.accel_scaling/*.yaml``.

    Raises:
        CatalogFileError: one of the files is wrong.
    """
    from accel_scaling.catalog.files import read, user_chip_files
    from accel_scaling.catalog.load import merged_chips

    return merged_chips([read(path) for path in user_chip_files()], _additions())


def chips_of(family: str) -> list[Chip]:
    """Return the chips of a family that this machine knows."""
    return [chip for chip in chips_here().values() if chip.family == family]


def _additions() -> list[Addition]:
    return [plug_in.data for plug_in in loaded().plug_ins.values()]
