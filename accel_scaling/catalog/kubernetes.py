"""What a Kubernetes manifest says of accelerators, as data: names of device resources, and labels of nodes.

``kuberay_resources.csv`` has the resources that device plug-ins announce, ``kuberay_selectors.csv`` the node labels
that a nodeSelector or a nodeAffinity may ask for.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from accel_scaling.catalog.table import KUBERAY_FILES, Cells, RuleError, parse_rules, shipped_rules

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from accel_scaling.catalog.files import Problem, Source

RESOURCES_FILE, SELECTORS_FILE = KUBERAY_FILES
RESOURCE_COLUMNS = ("name", "family", "resource", "counts", "ray_derives", "chips", "select_by", "source")
SELECTOR_COLUMNS = ("key", "says", "cloud", "names", "source")
ANY = "*"

_NAME = re.compile(r"[a-z0-9.-]+/[A-Za-z0-9._-]+\*?")
_MARKETS = ("spot", "on-demand")
_NAMING = re.compile(r"api:[a-z]+|driver|pci:[0-9a-f]{4}|prefix:[A-Za-z-]*")


class Counts(Enum):
    """What one of a device resource is."""

    DEVICES = "devices"  # whole devices: one may be several units of Ray's resource (Neuron)
    UNITS = "units"  # units of Ray's resource
    SLICES = "slices"  # MIG slices of a GPU


class Says(Enum):
    """What the value of a node label tells."""

    MACHINE = "machine"  # the cloud's machine type
    SERIES = "series"  # machine types by the start of their name
    CHIP = "chip"  # an accelerator
    COUNT = "count"  # how many devices the machine has
    MEMORY_MIB = "memory_mib"  # memory of one device, as the cloud says it
    MIG = "mig"  # the MIG profile that each GPU is cut into
    TOPOLOGY = "topology"  # of a TPU slice
    MARKET = "market"  # spot or on demand
    REGION = "region"
    ZONE = "zone"


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
class NodeLabel:
    """A label of nodes; a row of ``kuberay_selectors.csv``.

    Attributes:
        key: the label's key.
        says: what its value tells.
        cloud: the cloud whose nodes have it; empty for any.
        names: for a chip, how its value names it (``api:aws``, ``driver``, ``pci:1002``, ``prefix:Intel-GPU-``).
        markets: for a market, what each value means.
    """

    key: str
    says: Says
    cloud: str
    names: str
    markets: Mapping[str, str]


@functools.cache
def device_resources() -> tuple[DeviceResource, ...]:
    """Return the device resources.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped_rules(RESOURCES_FILE)
    return tuple(source.accept(parse_resources(source)))


@functools.cache
def node_labels() -> dict[str, NodeLabel]:
    """Return the node labels by key.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped_rules(SELECTORS_FILE)
    return {each.key: each for each in source.accept(parse_selectors(source))}


def parse_kuberay(
    source: Source, chips: Collection[str] | None = None
) -> tuple[Sequence[DeviceResource | NodeLabel], list[Problem]]:
    """Read one of the two files, whichever it is by its name, and everything that is wrong with it."""
    if source.path.name == RESOURCES_FILE:
        return parse_resources(source, chips)
    return parse_selectors(source)


def parse_resources(source: Source, chips: Collection[str] | None = None) -> tuple[list[DeviceResource], list[Problem]]:
    """Read the device resources, and everything that is wrong with their file; the chips too, where given."""
    return parse_rules(source, RESOURCE_COLUMNS, lambda cells: _resource(cells, chips), lambda each: each.name)


def parse_selectors(source: Source) -> tuple[list[NodeLabel], list[Problem]]:
    """Read the node labels, and everything that is wrong with their file."""
    return parse_rules(source, SELECTOR_COLUMNS, _label, lambda each: each.key)


def _resource(cells: Cells, chips: Collection[str] | None) -> DeviceResource:
    cells.text("source")
    for chip in cells.words("chips"):
        if chips is not None and chip not in chips:
            raise RuleError(f"chips has {chip}, which is no accelerator of accelerators.yaml")
    return DeviceResource(
        name=_name(cells, "name"),
        family=cells.text("family"),
        resource=cells.text("resource"),
        counts=Counts(cells.one_of("counts", (each.value for each in Counts))),
        ray_derives=cells.one_of("ray_derives", ("yes", "no")) == "yes",
        chips=cells.words("chips"),
        select_by=tuple(each.strip() for each in cells.text("select_by").split(";")),
    )


def _label(cells: Cells) -> NodeLabel:
    cells.text("source")
    says = Says(cells.one_of("says", (each.value for each in Says)))
    names = cells.by_column["names"]
    if says is Says.CHIP and not _NAMING.fullmatch(names):
        raise RuleError(f"names is {names or 'empty'}; expected how a value names the chip, as api:aws or driver")
    if says not in (Says.CHIP, Says.MARKET) and names:
        raise RuleError(f"names is {names}; expected nothing beside {says.value}")
    return NodeLabel(
        key=_name(cells, "key"),
        says=says,
        cloud=cells.by_column["cloud"],
        names=names if says is Says.CHIP else "",
        markets=_markets(cells) if says is Says.MARKET else {},
    )


def _markets(cells: Cells) -> dict[str, str]:
    cells.text("names")
    pairs = [word.partition("=") for word in cells.words("names")]
    for value, _, market in pairs:
        if not value or market not in _MARKETS:
            raise RuleError(f"names has {value}={market}; expected VALUE=spot or VALUE=on-demand")
    return {value: market for value, _, market in pairs}


def _name(cells: Cells, column: str) -> str:
    if not _NAME.fullmatch(cells.text(column)):
        raise RuleError(f"{column} is {cells.text(column)}; expected a name such as nvidia.com/gpu")
    return cells.text(column)
