"""The families of this Python, built-in ones and those of plug-ins; and their registration with Ray.

Ray is told of the families that it lacks in this process, and in the nodes and workers that it starts.
"""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
from typing import TYPE_CHECKING

from accel_scaling.families import built_in as folder
from accel_scaling.families.plugins import loaded

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, MutableMapping

    from accel_scaling.families.family import Family

_PREFIX = f"{folder.__name__}."
WORKERS_MODULE = "accel_scaling.families.in_worker"


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


def register() -> None:
    """Make Ray know the families that it lacks, as it knows its own; doing it again changes nothing.

    From then on, `ray.remote` and `.options` check the quantities asked for, `get_accelerator_ids` has the families,
    and a node that this process starts (`ray.init()` without an address) detects their devices. Without such families
    it does nothing, and does not import ray.
    """
    families = registered_families()
    if not families:
        return
    from accel_scaling import _ray  # here: it takes 15 ms, and commands without plug-ins do not need it

    announce(families, os.environ)
    _ray.add_accelerator_managers(
        {resource: functools.partial(_manager, family) for resource, family in families.items()}
    )


def announce(resources: Collection[str], environment: MutableMapping[str, str]) -> None:
    """Set the variables of a node that give ids to the families' devices and register them in its workers.

    Args:
        resources: the families' Ray resources.
        environment: of the process that starts Ray there; what the user set in it stays.
    """
    from accel_scaling import _ray

    units = environment.get(_ray.UNIT_RESOURCES, ",".join(rays_unit_resources()))
    environment[_ray.UNIT_RESOURCES] = _with(units, resources)
    environment[_ray.PRELOADED_MODULES] = _with(environment.get(_ray.PRELOADED_MODULES, ""), [WORKERS_MODULE])


def _with(listed: str, added: Collection[str]) -> str:
    """Return a list of words with commas between them, with those that it lacks at its end."""
    words = [word for word in listed.split(",") if word]
    return ",".join(dict.fromkeys([*words, *added]))


def _manager(family: Family) -> type:
    from accel_scaling import _ray

    return _ray.accelerator_manager(
        family.resource, family.visible_devices, shared=family.shared, look=functools.partial(_look, family)
    )


def _look(family: Family) -> tuple[int, str | None]:
    from accel_scaling.families.inventory import look_for  # on nodes only: drivers and workers do not wait for it

    result = look_for(family)
    return result.ray_units, result.accelerator_type
