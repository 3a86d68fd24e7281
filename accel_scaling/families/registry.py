"""The families of this Python: the built-in ones, found in their folder, and those that plug-ins bring."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

from accel_scaling.families import built_in as folder
from accel_scaling.families.plugins import loaded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.families.family import Family


_PREFIX = f"{folder.__name__}."


@functools.cache
def built_in() -> tuple[Family, ...]:
    """Return the built-in families by their position: each module of ``built_in`` has one, as ``FAMILY``."""
    modules = (importlib.import_module(module.name) for module in pkgutil.iter_modules(folder.__path__, _PREFIX))
    families: list[Family] = [module.FAMILY for module in modules]
    return tuple(sorted(families, key=lambda family: (family.position, family.name)))


def all_families() -> tuple[Family, ...]:
    """Return the families that can be probed in this Python: the built-in ones, then plug-ins'."""
    return (*built_in(), *(plug_in.family for plug_in in loaded().plug_ins.values()))


def family_of(resource: str) -> Family | None:
    """Return the first family with a Ray resource, None for a resource that no family has."""
    return next((family for family in all_families() if family.resource == resource), None)


def family_of_name(name: str) -> Family:
    """Return the family with a name.

    Raises:
        KeyError: no family of this Python has it.
    """
    return {family.name: family for family in all_families()}[name]


def registered_families() -> Mapping[str, Family]:
    """Return the families that Ray must be told of, by their Ray resource."""
    return {family.resource: family for family in all_families() if family.registered}


def rays_unit_resources() -> tuple[str, ...]:
    """Return the resources beside GPU whose units have ids in Ray 2.60 itself; a contract test reads the raylet's."""
    resources = (family.resource for family in built_in() if family.in_ray and family.resource != "GPU")
    return tuple(dict.fromkeys(resources))


def visible_devices() -> tuple[str, ...]:
    """Return the environment variables that tell processes their devices."""
    return tuple(sorted({family.visible_devices for family in all_families()} - {""}))
