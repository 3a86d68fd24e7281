"""The names by which device plug-ins of Kubernetes announce accelerators: those that ship, and plug-in families'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from accel_scaling.catalog import kubernetes
from accel_scaling.catalog.kubernetes import Counts, DeviceResource
from accel_scaling.families.plugins import loaded

if TYPE_CHECKING:
    from accel_scaling.families.plugins import PlugIn


def device_resources() -> tuple[DeviceResource, ...]:
    """Return the device resources: the rows of ``kuberay_resources.csv``, then those of plug-in families.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    own = [resource for plug_in in loaded().plug_ins.values() for resource in _of(plug_in)]
    return (*kubernetes.device_resources(), *own)


def _of(plug_in: PlugIn) -> list[DeviceResource]:
    family = plug_in.family
    named = family.device_plugin
    chips = named if isinstance(named, Mapping) else {named: ""} if named else {}
    types = [machine_type for _, machine_type in plug_in.data.machine_types]
    select_by = tuple(f"node.kubernetes.io/instance-type: {name}" for name in types[:1])
    return [
        DeviceResource(
            name=name,
            family=family.name,
            resource=family.resource,
            counts=Counts.DEVICES,
            ray_derives=False,
            chips=(chip,) if chip else (),
            select_by=select_by,
        )
        for name, chip in chips.items()
    ]
