"""A cluster file as the autoscaler sees it: filled, in Ray's form, with its head node up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling._ray.facts import OBJECT_STORE_PROPORTION
from accel_scaling.accs.types import AcceleratorTypes
from accel_scaling.cluster.cluster import CapacityType
from accel_scaling.cluster.policies import spares_accelerators
from accel_scaling.cluster.shape import check_shape
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.defaults import with_defaults, with_keys_needed_by_ray
from accel_scaling.fill.promise import BYTES_PER_MIB
from accel_scaling.plan.demands import types_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.cluster import cluster as cluster_file
    from accel_scaling.cluster.cluster import NodeMachine


@dataclass(frozen=True)
class AutoscalerNodeType:
    """A node type of the file.

    Attributes:
        name: its key under available_node_types.
        machine: the machine of one node.
        resources: Ray resources, as promised.
        labels: Ray labels, as promised.
        max_workers: the most nodes that the autoscaler launches.
        is_head: the head node's type.
        limited: the file gives max_workers for it; else it is the cluster's.
        attached: Compute Engine's name of the accelerators attached to the machine; None where the type includes them.
        spot: the cloud bills it as spot, by its node_config; a label alone changes no price.
    """

    name: str
    machine: NodeMachine
    resources: Mapping[str, float]
    labels: Mapping[str, str]
    max_workers: int
    is_head: bool
    limited: bool = True
    attached: str | None = None
    spot: bool = False

    @property
    def instance_type(self) -> str:
        """The cloud's machine type, with attached accelerators: ``n1-standard-4+1xnvidia-tesla-t4``."""
        machine, attached = self.machine.machine, self.attached
        if attached is None:
            return self.machine.name
        return f"{machine.name}+{machine.count}x{attached}"

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
        max_workers: the most workers in all.
        upscaling_speed: Ray's factor for the growth from few nodes to many.
        catalog: the source of the promises.
        known: the accelerator types of the catalog.
        in_ray: the node types in Ray's form.
        notes: the fill's sentences about the file.
        spared: the Ray resources of accelerators that its autoscaler spares from demands without them; none where it is
            Ray's own provider, or where the file switches that off.
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

    @property
    def head(self) -> AutoscalerNodeType:
        """The head node's type."""
        return next(node_type for node_type in self.types.values() if node_type.is_head)


def check_workers(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config, where it has a worker node type.

    Raises:
        ClusterConfigError: as ``check_shape``; or there is no worker node type.
    """
    types = check_shape(config)["available_node_types"]
    # Ray launches workers of the head's own node type too, where that has max_workers.
    if set(types) == {config["head_node_type"]} and not types[config["head_node_type"]].get("max_workers"):
        raise ClusterConfigError(
            "the file has no worker node type, so nothing can be launched; add one under available_node_types"
        )
    return config


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
    try:
        every, max_nodes = _ray.node_type_configs(complete)
    except ValueError as error:
        raise ClusterConfigError(str(error)) from None
    # The others are of templates, which nobody was asked for: the notes say that.
    in_ray = {name: node_type for name, node_type in every.items() if name in read.node_types}
    catalog = read.catalog
    machines = {name: node_type.machine for name, node_type in read.node_types.items()}
    types = {
        name: AutoscalerNodeType(
            name=name,
            machine=machines[name],
            resources=dict(node_type.resources),
            labels=dict(node_type.labels),
            max_workers=node_type.max_worker_nodes - read.node_types[name].is_head,  # Ray counts the head itself
            is_head=read.node_types[name].is_head,
            limited="max_workers" in filled["available_node_types"][name],
            attached=_attached(machines[name], catalog),
            spot=machines[name].capacity_type is CapacityType.SPOT,
        )
        for name, node_type in in_ray.items()
    }
    return AutoscalerCluster(
        cloud=read.cloud.name,
        types=types,
        # Ray's number includes the head.
        max_workers=max_nodes - 1,
        upscaling_speed=float(complete.get("upscaling_speed") or 0),
        catalog=catalog,
        accelerators=AcceleratorTypes(catalog.chips),
        in_ray=in_ray,
        notes=tuple(notes),
        spared=_spared(read),
    )


def head_node(cluster: AutoscalerCluster) -> Any:
    """Return the head node, running and idle, in Ray's form.

    A head's memory is not promised but detected on the node; here it is what a node of that machine type detects.
    """
    head = cluster.head
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
