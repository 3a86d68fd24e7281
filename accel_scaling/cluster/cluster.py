"""The cluster file as typed values: it is read once, and whoever needs something of it is handed a `Cluster`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster import capacity, machine_lists, networks
from accel_scaling.cluster.capacity import CapacityType, capacity_orders
from accel_scaling.cluster.node_type_defaults import default_types_note
from accel_scaling.cluster.policies import (
    authentication_policy,
    check_node_types,
    confirmation_policy,
    quarantine_policy,
    spares_accelerators,
    watcher_policy,
)
from accel_scaling.cluster.provider_cloud import cloud_of
from accel_scaling.cluster.shape import check_shape
from accel_scaling.errors import AccelScalingError, ClusterConfigError, MachineInTemplateError
from accel_scaling.families.catalog import load_catalog
from accel_scaling.inputs.file_text import expanded
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.catalog.model import MachineType
    from accel_scaling.catalog.tpu_slices import TpuSlice
    from accel_scaling.clouds import Cloud
    from accel_scaling.cluster.capacity import CapacityEntry
    from accel_scaling.cluster.node_config_reader import NodeConfigReader
    from accel_scaling.cluster.policies import ConfirmationPolicy, QuarantinePolicy


@dataclass(frozen=True)
class NodeMachine:
    """One node of a node type, as its node_config names it: a machine, or a TPU slice of several like hosts.

    Attributes:
        machine: the machine type, its accelerators included; one host where it is a slice.
        slice: the TPU slice that one node is; None for everything else.
        capacity_type: how the node_config buys it.
        notes: sentences for the user about what the node_config alone cannot say.
        market_in_template: a template of the account may buy it in another way, and nobody was asked.
    """

    machine: MachineType
    slice: TpuSlice | None = None
    capacity_type: CapacityType = CapacityType.ON_DEMAND
    notes: tuple[str, ...] = ()
    market_in_template: bool = False

    @property
    def name(self) -> str:
        """The cloud's name for it: the machine type, or the accelerator type of a slice."""
        return self.slice.accelerator_type if self.slice else self.machine.name


@dataclass(frozen=True)
class Placement:
    """Where a cluster's machines run, as its provider section says.

    Attributes:
        region: None where the file does not name it.
        zones: in the order to try them; none where the cloud may take any zone of the region.
    """

    region: str | None
    zones: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeType:
    """A node type of a cluster file, read.

    Attributes:
        name: its key below available_node_types.
        node_config: as the file has it, with the first machine type of a list; with what its instance template holds,
            where the cloud was asked.
        machine: what one node is; of a list, the first one.
        resources: the user's own resources.
        labels: the user's own labels.
        is_head: it is the head node's type.
        system: the Ubuntu of the default images of the cluster, ``22.04``; empty where that is not known.
        order: its capacity types of `provider.capacity`, in the order in which they are tried; none where its
            node_config alone says how its machines are bought.
        others: what one node is as well, in the order of its list of machine types.
    """

    name: str
    node_config: dict[str, Any]
    machine: NodeMachine
    resources: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    is_head: bool = False
    system: str = ""
    order: tuple[CapacityEntry, ...] = ()
    others: tuple[NodeMachine, ...] = ()

    @property
    def machines(self) -> tuple[NodeMachine, ...]:
        """What one node may be, in the order in which that is tried."""
        return (self.machine, *self.others)

    @property
    def capacity_types(self) -> tuple[CapacityType, ...]:
        """How its machines are bought, in the order in which that is tried; each once."""
        if not self.order:
            return (self.machine.capacity_type,)
        return tuple(dict.fromkeys(entry.type for entry in self.order))

    @property
    def location(self) -> str:
        """Its place in the cluster file, for errors and notes."""
        return f"available_node_types.{self.name.removesuffix(f' ({self.machine.name})')}"


@dataclass(frozen=True)
class Cluster:
    """A cluster file, read.

    Attributes:
        config: the file's content.
        cloud: whose machines it launches.
        catalog: where its machine types are looked up.
        node_types: its node types by name, in the file's order; without those whose machine nobody was asked about.
        confirmation: what becomes of a machine that does not hold its promise.
        quarantine: when a node type is not launched for a while.
        in_templates: for each other node type, the sentence that its machine is in a template of the account.
        notes: sentences for the user about what was read.
    """

    config: dict[str, Any]
    cloud: Cloud
    catalog: Catalog
    node_types: Mapping[str, NodeType]
    confirmation: ConfirmationPolicy
    quarantine: QuarantinePolicy
    in_templates: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def provider(self) -> dict[str, Any]:
        """The provider section."""
        section: dict[str, Any] = self.config["provider"]
        return section

    @property
    def is_ours(self) -> bool:
        """It is launched by a provider of this package, and not by Ray's own (`type: aws`)."""
        return self.provider.get("type") == "external"

    @property
    def head(self) -> NodeType:
        """The head node's type."""
        return self.node_types[self.config["head_node_type"]]

    @cached_property
    def placement(self) -> Placement:
        """Where its machines run; read when it is asked for, since a machine's error comes before a zone's.

        Raises:
            ClusterConfigError: region or zones are missing where the cloud needs them, or contradict each other.
        """
        return node_config_reader(self.cloud).placement(self.provider)

    def check_told(self) -> None:
        """Refuse a node type whose machine only the cloud knows, where it cannot be asked and is needed.

        Raises:
            MachineInTemplateError: the first one.
        """
        for sentence in self.in_templates.values():
            raise MachineInTemplateError(sentence)

    def check_launchable(self) -> None:
        """Refuse a file that says neither what its cluster is called nor where it runs; a part of one may do without.

        Raises:
            ClusterConfigError: names the key.
        """
        if not self.config.get("cluster_name"):
            raise ClusterConfigError("cluster_name is missing; `ray up` ends with a KeyError without it")
        if not self.placement.region:
            a = "an" if self.cloud.title[0] in "AEIOU" else "a"
            example = f"{a} {self.cloud.title} region there, such as {self.cloud.region_example}"
            raise ClusterConfigError(f"provider.region is missing; name {example}")

    def check_offered(self) -> list[str]:
        """Refuse machines that the cluster's region or zones do not have, as far as the catalog knows.

        Returns:
            Notes about machines of lists that have others.

        Raises:
            AccelScalingError: the first node type with such a machine, named with its key.
        """
        return machine_lists.raised_or_noted(self, self.refused())

    def refused(self) -> dict[str, AccelScalingError]:
        """Return why the cluster's region or zones do not have the machines of some node types; see `check_offered`."""
        refused = {name: self._not_offered(node_type) for name, node_type in self.node_types.items()}
        return {name: error for name, error in refused.items() if error}

    def _not_offered(self, node_type: NodeType) -> AccelScalingError | None:
        try:
            node_config_reader(self.cloud).check_offered(node_type, self)
        except AccelScalingError as error:
            return error
        return None


def read_config(config: Any, catalog: Catalog | None = None) -> Cluster:
    """Return a cluster config as typed values; each node_config is read once, and nobody is asked.

    Args:
        config: what a cluster file holds.
        catalog: where machine types are looked up; by default the one that the config names.

    Raises:
        AccelScalingError: a config of the wrong shape, an unknown provider, or the first node type that names no
            machine, or an unknown one; it begins with the key.
    """
    cluster = read_checked(check_shape(config), catalog)
    note = default_types_note(config, cluster.cloud)
    return replace(cluster, notes=(note,)) if note else cluster


def read_checked(config: dict[str, Any], catalog: Catalog | None = None) -> Cluster:
    """Return a cluster config, whose shape was checked already, as typed values; see `read_config`."""
    provider = config["provider"]
    policies = confirmation_policy(provider), quarantine_policy(provider)
    check_node_types(policies[0], config["available_node_types"])
    check_node_types(policies[0].deep, config["available_node_types"], "confirmation.deep")
    # They have no value of their own here; a wrong one is refused.
    spares_accelerators(provider)
    authentication_policy(provider)
    check_node_types(watcher_policy(provider), config["available_node_types"], "watcher")
    cloud, catalog = cloud_of(provider), catalog or catalog_of(config)
    networks.check(provider, cloud, config["available_node_types"])
    orders = capacity_orders(provider)
    capacity.check_node_types(orders, config["available_node_types"])
    reader = node_config_reader(cloud)
    node_types, in_templates = {}, {}
    head = config["head_node_type"]
    for name, node_type in config["available_node_types"].items():
        location, order = f"available_node_types.{name}", orders.get(name, ())
        # One for each machine type: a list of them is read as its first, and each of the others beside it.
        each = machine_lists.each_of(f"{location}.node_config", node_type.get("node_config") or {}, cloud.machine_key)
        ways = [
            [with_capacity(cloud, name, node_config, entry) for entry in order] or [node_config] for node_config in each
        ]
        try:
            machine, *others = [_one_machine([reader.machine(location, one, catalog) for one in way]) for way in ways]
        except MachineInTemplateError as error:
            reader.check_node_config(location, each[0])
            in_templates[name] = str(error)
            continue
        if others:
            _check_list(f"{location}.node_config.{cloud.machine_key}", provider, [machine, *others])
        for one in itertools.chain.from_iterable(ways):
            reader.check_node_config(location, one)
        is_head = machine_lists.owner_of(provider, name) == head
        given = node_type.get("resources") or {}, node_type.get("labels") or {}
        node_types[name] = NodeType(name, each[0], machine, *given, is_head=is_head, order=order, others=tuple(others))
    return Cluster(config, cloud, catalog, node_types, *policies, in_templates)


def _check_list(at: str, provider: Mapping[str, Any], machines: Sequence[NodeMachine]) -> None:
    machine_lists.check_alike(at, [one.machine for one in machines])
    if provider.get("type") != "external":
        raise ClusterConfigError(
            f"{at} is a list of machine types, and Ray's own provider takes one: write it alone, or use the provider "
            "of this package (`type: external`)"
        )


def with_capacity(cloud: Cloud, node_type: str, node_config: dict[str, Any], entry: CapacityEntry) -> dict[str, Any]:
    """Return a node_config that buys its machines as an entry of `provider.capacity` says.

    Raises:
        ClusterConfigError: the cloud does not sell so, or the node_config says itself how its machines are bought.
    """
    key = f"provider.{capacity.CAPACITY}.{node_type}"
    if not cloud.has_part("capacity"):
        raise ClusterConfigError(f"{key} is for AWS and Google Cloud; {cloud.title} has no capacity types here")
    bought: dict[str, Any] = cloud.part("capacity").with_capacity(key, node_config, entry)
    return bought


def _one_machine(machines: Sequence[NodeMachine]) -> NodeMachine:
    """Return the machine that a node_config names, bought in its first way, with the notes of all ways."""
    return replace(machines[0], notes=tuple(dict.fromkeys(note for one in machines for note in one.notes)))


def node_config_reader(cloud: Cloud) -> NodeConfigReader:
    """Return the module that reads a cloud's node_configs."""
    reader: NodeConfigReader = cloud.part("node_config")
    return reader


def catalog_of(config: dict[str, Any]) -> Catalog:
    """Return the catalog that a cluster config's promises come from, its user's files included.

    Raises:
        CatalogFileError: one of those files is missing or wrong.
    """
    provider = config.get("provider")
    return load_catalog(user_catalogs(provider) if isinstance(provider, dict) else [])  # check_shape() refuses it


def user_catalogs(provider: dict[str, Any]) -> list[Path]:
    """Return the files that `provider.catalog` names: one path or a list of them, strongest first.

    Raises:
        ClusterConfigError: it is something else.
    """
    named = provider.get("catalog") or []
    paths = [named] if isinstance(named, str) else named
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise ClusterConfigError(f"provider.catalog is {shown(named)}; expected the path of a file, or a list of them")
    return [expanded(Path(path)) for path in paths]
