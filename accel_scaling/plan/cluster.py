"""A cluster file as the autoscaler sees it: filled, in Ray's form, with its head node up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling._ray.facts import OBJECT_STORE_PROPORTION
from accel_scaling.accs.types import AcceleratorTypes
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.cluster.policies import spares_accelerators
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.defaults import with_defaults, with_keys_needed_by_ray
from accel_scaling.fill.fill import promises
from accel_scaling.fill.promise import BYTES_PER_MIB
from accel_scaling.plan.demands import types_in
from accel_scaling.plan.words import CLUSTER_FILE, MANIFEST, Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.cluster import cluster as cluster_file
    from accel_scaling.cluster.cluster import NodeMachine
    from accel_scaling.fill.promise import Promise


@dataclass(frozen=True)
class AfterFill:
    """A group of a manifest as it is after `kuberay fill`, where it differs.

    Attributes:
        resources: Ray resources, as Ray's autoscaler then reads them.
        labels: Ray labels.
        adds: what the fill adds, as text.
    """

    resources: Mapping[str, float]
    labels: Mapping[str, str]
    adds: str


@dataclass(frozen=True)
class AutoscalerNodeType:
    """A node type of the file, or a group of a manifest.

    Attributes:
        name: its key under available_node_types.
        machine: the machine of one node.
        resources: Ray resources, as promised.
        labels: Ray labels, as promised.
        max_workers: the most nodes that the autoscaler launches.
        is_head: the head node's type.
        limited: the file gives max_workers for it; else it is the cluster's.
        attached: Compute Engine's name of the accelerators attached to the machine; None where the type includes them.
        capacity_types: how the cloud sells its machines, the first to be tried first; a label alone changes no price.
        not_held: why its nodes never join, where its promise is more than its machine has; empty where it is not.
        words: what messages call it.
        hosts: how many nodes are launched together: the pods of one replica of a group.
        fixed: why no node of it is ever launched, as the end of a sentence; empty where nodes are.
        after_fill: what the group is after `kuberay fill`; None where a fill changes nothing.
        quarantined: why it is not launched for a while, as the end of a sentence; empty where it is.
        has_machine: a node of it has a machine of its own, so the machine's price is the node's.
        others: the machine types that a node may have as well, in the order of its list.
    """

    name: str
    machine: NodeMachine
    resources: Mapping[str, float]
    labels: Mapping[str, str]
    max_workers: int
    is_head: bool
    limited: bool = True
    attached: str | None = None
    capacity_types: tuple[CapacityType, ...] = (CapacityType.ON_DEMAND,)
    not_held: str = ""
    words: Words = CLUSTER_FILE
    hosts: int = 1
    fixed: str = ""
    after_fill: AfterFill | None = None
    quarantined: str = ""
    has_machine: bool = True
    others: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name in messages."""
        if self.is_head and self.words is MANIFEST:
            return "the head group"
        return f"{self.words.node_type} {self.name}"

    @property
    def limit(self) -> str:
        """The sentence about the most nodes of it."""
        if self.fixed:
            return f"{self.title} {self.fixed}"
        each = f" replicas of {self.hosts} pods" if self.hosts > 1 else ""
        return f"{self.words.most} of {self.title} is {self.max_workers // self.hosts}{each}"

    @property
    def instance_type(self) -> str:
        """The cloud's machine type, with attached accelerators: ``n1-standard-4+1xnvidia-tesla-t4``."""
        machine, attached = self.machine.machine, self.attached
        if attached is None:
            return self.machine.name
        return f"{machine.name}+{machine.count}x{attached}"

    @property
    def instance_types(self) -> tuple[str, ...]:
        """The machine types that a node may have, in the order in which they are tried."""
        return (self.instance_type, *self.others)

    @property
    def types(self) -> list[str]:
        """The accelerator types that a node announces."""
        return types_in(self.resources)


@dataclass(frozen=True)
class AutoscalerCluster:
    """A cluster file, ready to be scheduled on.

    Attributes:
        cloud: ``aws`` or ``gcp``.
        types: its node types by name.
        max_workers: the most workers of the cluster.
        upscaling_speed: Ray's factor for the growth from few nodes to many.
        catalog: the source of the promises.
        known: the accelerator types of the catalog.
        in_ray: the node types in Ray's form.
        notes: the fill's sentences about the file.
        spared: the Ray resources of accelerators that its autoscaler spares from demands without them; none where it is
            Ray's own provider, or where the file switches that off.
        in_templates: the names of node types that are left out, as only the cloud knows their machines.
        words: what messages call the parts of the file.
        running: nodes in Ray's form that run without any demand, besides the head: the replicas of a manifest.
        upscaling: the sentence's words for upscaling_speed.
    """

    cloud: str
    types: Mapping[str, AutoscalerNodeType]
    max_workers: int
    upscaling_speed: float
    catalog: Catalog
    accelerators: AcceleratorTypes
    in_ray: Mapping[str, Any]
    notes: tuple[str, ...]
    spared: frozenset[str] = frozenset()
    in_templates: frozenset[str] = frozenset()
    words: Words = CLUSTER_FILE
    running: tuple[Any, ...] = ()
    upscaling: str = ""

    @property
    def head(self) -> AutoscalerNodeType:
        """The head node's type."""
        return next(node_type for node_type in self.types.values() if node_type.is_head)


def cluster_of(read: cluster_file.Cluster, filled: dict[str, Any], notes: Iterable[str]) -> AutoscalerCluster:
    """Return a filled cluster config as the autoscaler sees it; no network.

    Args:
        read: the cluster file, read.
        filled: its config, as ``fill_cluster`` returns it.
        notes: the fill's sentences about it.

    Raises:
        ClusterConfigError: Ray refuses it, or the head's machine is not known here; the text names the key.
    """
    complete = with_defaults(with_keys_needed_by_ray(filled), read.cloud)
    if read.config["head_node_type"] in read.in_templates:
        read.check_told()
    # Nothing else of the provider decides here; and a cloud takes more there than the schema, such as a list of zones.
    complete["provider"] = {"type": read.provider["type"]}
    # The machines of the others are in templates, which were not read: the notes say that.
    node_types = complete["available_node_types"]
    complete["available_node_types"] = {name: node_types[name] for name in node_types if name in read.node_types}
    try:
        in_ray, max_nodes = _ray.node_type_configs(complete)
    except ValueError as error:
        raise ClusterConfigError(str(error)) from None
    catalog, promised = read.catalog, promises(read)
    real = {name: promised[name] for name in in_ray if promised[name].joins_with or promised[name].false_labels}
    in_ray = _ray.with_real(in_ray, {name: _real(promise) for name, promise in real.items()})
    not_held = _not_held(read, promised)
    in_ray = _ray.without_launches(in_ray, not_held.keys(), read.head.name)
    return AutoscalerCluster(
        cloud=read.cloud.name,
        types={
            name: _node_type(
                node_type,
                read,
                limited="max_workers" in filled["available_node_types"][name],
                not_held=not_held.get(name, ""),
            )
            for name, node_type in in_ray.items()
        },
        # Ray's number includes the head.
        max_workers=max_nodes - 1,
        upscaling_speed=float(complete.get("upscaling_speed") or 0),
        catalog=catalog,
        accelerators=AcceleratorTypes(catalog.chips),
        in_ray=in_ray,
        notes=tuple(notes),
        spared=_spared(read),
        in_templates=frozenset(read.in_templates),
    )


def _node_type(in_ray: Any, read: cluster_file.Cluster, *, limited: bool, not_held: str) -> AutoscalerNodeType:
    own = read.node_types[in_ray.name]
    return AutoscalerNodeType(
        name=in_ray.name,
        machine=own.machine,
        resources=dict(in_ray.resources),
        labels=dict(in_ray.labels),
        max_workers=in_ray.max_worker_nodes - own.is_head,  # Ray counts the head itself
        is_head=own.is_head,
        limited=limited,
        attached=_attached(own.machine, read.catalog),
        capacity_types=own.capacity_types,
        not_held=not_held,
        others=tuple(one.name for one in own.others),
    )


def _real(promise: Promise) -> tuple[dict[str, int], dict[str, str]]:
    """Return the resources and labels that a task finds on a node, where the promise says more or something else."""
    labels = {name: promise.false_labels.get(name, value) for name, value in promise.labels.items()}
    kept = {name: value for name, value in labels.items() if value is not None}
    return {**promise.resources, **promise.joins_with}, kept


def _not_held(read: cluster_file.Cluster, promised: Mapping[str, Promise]) -> dict[str, str]:
    """Return why nodes never join, by node type; without its head a cluster has none at all."""
    own = {name: promise.not_held for name, promise in promised.items() if promise.not_held}
    if head := own.get(read.head.name):
        return {name: own.get(name) or f"the head {read.head.name} does not come up: {head}" for name in promised}
    return own


def head_node(cluster: AutoscalerCluster) -> Any:
    """Return the head node, running and idle, in Ray's form.

    A head's memory is not promised but detected on the node; here it is what a node of that machine type detects. A
    head that does not come up has nothing to offer.
    """
    head = cluster.head
    if head.not_held:
        return _ray.running_instance(head.name, 0, {}, {}, head=True)
    memory = int(head.machine.machine.memory_mib * BYTES_PER_MIB)
    detected = {
        "memory": int(memory * (1 - OBJECT_STORE_PROPORTION)),
        "object_store_memory": int(memory * OBJECT_STORE_PROPORTION),
        # Each Ray node announces its address, and the head what marks it as the head: tasks may ask for both.
        "node:127.0.0.1": 1,
        "node:__internal_head__": 1,
    }
    return _ray.running_instance(head.name, 0, {**detected, **head.resources}, head.labels, head=True)


def _spared(read: cluster_file.Cluster) -> frozenset[str]:
    # Stock Ray (`type: aws`) runs without this package: its autoscaler spares GPUs alone.
    if not read.is_ours or not spares_accelerators(read.provider):
        return frozenset()
    return AcceleratorTypes(read.catalog.chips).resources()


def _attached(machine: NodeMachine, catalog: Catalog) -> str | None:
    chip = machine.machine.chip
    bare = catalog.machine_types(machine.machine.cloud).get(machine.machine.name)
    # The machine type alone has no chip and this machine has one: the file attaches it (guestAccelerators).
    if chip is None or machine.slice is not None or bare is None or bare.chip is not None:
        return None
    return next(iter(chip.api_names.get(machine.machine.cloud, ())), chip.name)
