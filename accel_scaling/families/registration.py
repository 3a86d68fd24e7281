"""Registration with Ray of the families that it lacks: in this process, and in the nodes and workers that it starts."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from accel_scaling import _ray
from accel_scaling.families.registry import built_in, registered_families

if TYPE_CHECKING:
    from collections.abc import Collection, MutableMapping

    from accel_scaling.families.family import Family

WORKERS_MODULE = "accel_scaling.families.in_worker"


def register() -> None:
    """Make Ray know the families that it lacks, as it knows its own; doing it again changes nothing.

    From then on, `ray.remote` and `.options` check the quantities asked for, `get_accelerator_ids` has the families,
    and a node that this process starts (`ray.init()` without an address) detects their devices. Without such families
    it does nothing, and does not import ray.
    """
    families = registered_families()
    if not families:
        return
    # In the environment, as the raylet and the workers of a `ray.init()` are processes that inherit it.
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
    # The variable replaces Ray's own list: without Ray's resources in it, no task would get ids of TPUs or NPUs.
    units = environment.get(_ray.UNIT_RESOURCES, ",".join(rays_unit_resources()))
    environment[_ray.UNIT_RESOURCES] = _with(units, resources)
    environment[_ray.PRELOADED_MODULES] = _with(environment.get(_ray.PRELOADED_MODULES, ""), [WORKERS_MODULE])


def _with(listed: str, added: Collection[str]) -> str:
    """Return a list of words with commas between them, with those that it lacks at its end."""
    words = [word for word in listed.split(",") if word]
    return ",".join(dict.fromkeys([*words, *added]))


def _manager(family: Family) -> type:
    return _ray.accelerator_manager(
        family.resource, family.visible_devices, shared=family.shared, look=functools.partial(_look, family)
    )


def _look(family: Family) -> tuple[int, str | None]:
    from accel_scaling.families.inventory import look_for  # on nodes only: drivers and workers do not wait for it

    result = look_for(family)
    return result.ray_units, result.accelerator_type


def rays_unit_resources() -> tuple[str, ...]:
    """Return the resources beside GPU whose units have ids in the installed Ray; a contract test reads the raylet's."""
    resources = (family.resource for family in built_in() if family.in_ray and family.resource != "GPU")
    return tuple(dict.fromkeys(resources))
