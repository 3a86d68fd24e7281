"""The built-in families: each module here has one, as ``FAMILY``; a new file is a new family."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accel_scaling.families.family import Family


@functools.cache
def built_in() -> tuple[Family, ...]:
    """Return the built-in families by their position: most used first."""
    modules = (importlib.import_module(module.name) for module in pkgutil.iter_modules(__path__, f"{__name__}."))
    families: list[Family] = [module.FAMILY for module in modules]
    return tuple(sorted(families, key=lambda family: (family.position, family.name)))
