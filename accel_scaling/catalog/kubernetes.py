"""Accelerators in Kubernetes manifests, as data: names of device resources, and labels of nodes.

``kuberay_resources.csv`` has the resources that device plug-ins announce, ``kuberay_selectors.csv`` the node labels
that a nodeSelector or a nodeAffinity may ask for.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.catalog.files import shipped
from accel_scaling.catalog.model import Counts, Says
from accel_scaling.catalog.node_schema import KUBERAY_OTHER_RESOURCES, KUBERAY_RESOURCES, KUBERAY_SELECTORS
from accel_scaling.catalog.table import CellError, Known, RowValues, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.catalog.files import Problem, Source

__all__ = [
    "ANY",
    "Counts",
    "DeviceResource",
    "NodeLabel",
    "OtherResource",
    "Says",
    "device_resources",
    "node_labels",
    "other_resource",
]

ANY = "*"

_BEFORE = "before:"
_ASSIGNS = "="  # between a label's value and what it says of the market


@dataclass(frozen=True)
class DeviceResource:
    """A resource that a device plug-in announces; a row of ``kuberay_resources.csv``.

    Attributes:
        name: its name in a container's limits; one ``*`` at the end stands for any ending.
        family: whose devices these are, as in ``accelerators.yaml``.
        resource: the Ray resource.
        counts: what one of it is.
        ray_derives: whether Ray's autoscaler makes the Ray resource of it by itself.
        chips: the accelerators that this name stands for; empty where it stands for any of the family.
        select_by: node labels, with a value each, that would tell which accelerator it is.
    """

    name: str
    family: str
    resource: str
    counts: Counts
    ray_derives: bool
    chips: tuple[str, ...]
    select_by: tuple[str, ...]

    def matches(self, name: str) -> bool:
        """Return whether a container's resource is this one."""
        return name.startswith(self.name[:-1]) if self.name.endswith(ANY) else name == self.name


@dataclass(frozen=True)
class OtherResource:
    """A resource that is no whole accelerator; a row of ``kuberay_other_resources.csv``.

    Attributes:
        name: its name in a container's limits; one ``*`` at the end stands for any ending.
        is_share: it is a part of an accelerator, by memory or cores; else it is none.
    """

    name: str
    is_share: bool

    def matches(self, name: str) -> bool:
        """Return whether a container's resource is this one."""
        return name.startswith(self.name[:-1]) if self.name.endswith(ANY) else name == self.name


@dataclass(frozen=True)
class NodeLabel:
    """A label of nodes; a row of ``kuberay_selectors.csv``.

    Attributes:
        key: the label's key.
        says: what its value tells.
        cloud: the cloud whose nodes have it; empty for any.
        names: for a chip, how its value names it (``api:aws``, ``driver``, ``pci:1002``, ``prefix:Intel-GPU-``); for a
            machine type, what a service may put before the cloud's name (``before:ml.``).
        markets: for a market, what each value means.
    """

    key: str
    says: Says
    cloud: str
    names: str
    markets: Mapping[str, str]

    @property
    def before(self) -> str:
        """What may precede the cloud's name of a machine type; empty where nothing may."""
        return self.names.removeprefix(_BEFORE) if self.names.startswith(_BEFORE) else ""


@functools.cache
def device_resources() -> tuple[DeviceResource, ...]:
    """Return the device resources.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped(KUBERAY_RESOURCES)
    return tuple(source.accept(parse_resources(source))) if source else ()


def other_resource(name: str) -> OtherResource | None:
    """Return the row of a resource that is no whole accelerator, None where there is none.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    return next((row for row in _other_resources() if row.matches(name)), None)


@functools.cache
def _other_resources() -> tuple[OtherResource, ...]:
    source = shipped(KUBERAY_OTHER_RESOURCES)
    return tuple(source.accept(parse_other_resources(source))) if source else ()


@functools.cache
def node_labels() -> dict[str, NodeLabel]:
    """Return the node labels by key.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped(KUBERAY_SELECTORS)
    return {label.key: label for label in source.accept(parse_selectors(source))} if source else {}


def parse_resources(source: Source, known: Known | None = None) -> tuple[list[DeviceResource], list[Problem]]:
    """Read the device resources, and everything that is wrong with their file; the names too, where given."""
    return read_table(source, KUBERAY_RESOURCES, _resource, known)


def parse_other_resources(source: Source) -> tuple[list[OtherResource], list[Problem]]:
    """Read the resources that are no whole accelerators, and everything that is wrong with their file."""
    return read_table(source, KUBERAY_OTHER_RESOURCES, lambda row, _: OtherResource(row["name"], row["is"]))


def parse_selectors(source: Source, known: Known | None = None) -> tuple[list[NodeLabel], list[Problem]]:
    """Read the node labels, and everything that is wrong with their file; the names too, where given."""
    return read_table(source, KUBERAY_SELECTORS, _label, known)


def _resource(row: RowValues, _: int) -> DeviceResource:
    columns = ("name", "family", "resource", "counts", "ray_derives", "chips", "select_by")
    return DeviceResource(**{column: row[column] for column in columns})


def _label(row: RowValues, _: int) -> NodeLabel:
    says, names = row["says"], row["names"]
    if says is Says.MARKET:
        wrong, expected = [name for name in names if _ASSIGNS not in name], "VALUE=spot or VALUE=on-demand"
    elif says is Says.MACHINE:
        wrong, expected = [name for name in names if not name.startswith(_BEFORE)] or list(names[1:]), "before:TEXT"
    elif says is Says.CHIP:
        wrong = [name for name in names if _ASSIGNS in name] or list(names[1:])
        expected = "how a value names the chip, as api:aws or driver"
    else:
        wrong, expected = list(names), f"nothing beside {says.value}"
    if wrong or (not names and says in {Says.MARKET, Says.CHIP}):
        raise CellError("names", f"names is {' '.join(names) or 'empty'}; expected {expected}")
    return NodeLabel(
        key=row["key"],
        says=says,
        cloud=row["cloud"],
        names=names[0] if names and says in {Says.CHIP, Says.MACHINE} else "",
        markets=dict(name.split(_ASSIGNS) for name in names) if says is Says.MARKET else {},
    )
