"""A manifest of KubeRay as Ray's autoscaler sees it there: its groups as node types, with the running replicas."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling._ray.facts import LABEL_MARKET_TYPE
from accel_scaling.accs.types import AcceleratorTypes
from accel_scaling.catalog.model import MachineType
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.cluster.cluster import NodeMachine
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.fill.promise import BYTES_PER_MIB, LABEL_INSTANCE_TYPE, accelerator_types
from accel_scaling.kuberay.fill import fill
from accel_scaling.kuberay.promise import propose
from accel_scaling.message_text import listed
from accel_scaling.plan.cluster import AfterFill, AutoscalerCluster, AutoscalerNodeType
from accel_scaling.plan.demands import types_in
from accel_scaling.plan.manifest import config_of, group_name, number, read_manifest
from accel_scaling.plan.manifest_notes import notes_of_manifest
from accel_scaling.plan.words import MANIFEST
from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.catalog.model import Chip
    from accel_scaling.kuberay.group import Group
    from accel_scaling.plan.manifest import Manifest

_NO_LIMIT = 1_000_000  # far above the pods of a plan
_MOST_RUNNING = 20_000  # pods that run from the start: more than any cluster of Ray has


def cluster_of_manifest(manifest: Manifest, catalog: Catalog) -> AutoscalerCluster:
    """Return a manifest as Ray's autoscaler sees it: as it is written, and not as a fill would write it.

    Raises:
        ClusterConfigError: Ray's autoscaler cannot read a group; the text has the line.
    """
    after, fill_notes = _after_fill(manifest, catalog)
    config = config_of(manifest)
    in_ray, _ = _ray.node_type_configs(config)
    named = {group_name(group): group for group in manifest.groups}
    in_ray = {name: _limited(in_ray[name], named[name]) for name in in_ray}
    types = {name: _node_type(in_ray[name], named[name], after.get(name), catalog) for name in in_ray}
    return AutoscalerCluster(
        cloud=_cloud(types, catalog),
        types=types,
        max_workers=_NO_LIMIT,  # Ray sets it to the sum of the groups', so it never decides
        upscaling_speed=float(config["upscaling_speed"]),
        catalog=catalog,
        accelerators=AcceleratorTypes(catalog.chips),
        in_ray=in_ray,
        notes=notes_of_manifest(manifest.groups, types.values(), fill_notes),
        words=MANIFEST,
        running=_running(manifest, types),
        upscaling=f"upscalingMode: {_upscaling_mode(manifest.groups[0])}",
    )


def filled_manifest(manifest: Manifest, catalog: Catalog) -> Manifest | None:
    """Return the manifest as `kuberay fill` writes it; None where nothing changes, or it cannot be changed in place."""
    filled = _filled(manifest, catalog)
    if filled is None or filled[0] == manifest.text:
        return None
    kind, _, name = manifest.title.partition(" ")
    return read_manifest(filled[0], manifest.file, f"{kind}/{name}")


def _filled(manifest: Manifest, catalog: Catalog) -> tuple[str, tuple[str, ...]] | None:
    try:
        filled = fill(manifest.text, manifest.file, catalog)
    except AccelScalingError:
        return None
    return filled.text, filled.notes


def _after_fill(manifest: Manifest, catalog: Catalog) -> tuple[dict[str, AfterFill], tuple[str, ...]]:
    """Return the groups that a fill changes, as Ray's autoscaler reads them then, and the fill's notes."""
    filled = _filled(manifest, catalog)
    if filled is None:
        return {}, ()
    text, notes = filled
    notes = tuple(note for note in notes if not manifest.others or manifest.title in note)
    if text == manifest.text:
        return {}, notes
    kind, _, name = manifest.title.partition(" ")
    then = config_of(read_manifest(text, manifest.file, f"{kind}/{name}"))["available_node_types"]
    now = config_of(manifest)["available_node_types"]
    after = {}
    for group, node_type in then.items():
        adds = [
            *_added(now[group]["resources"], node_type["resources"], "{} {}"),
            *_added(now[group]["labels"], node_type["labels"], "label {}={}"),
        ]
        if adds:
            after[group] = AfterFill(node_type["resources"], node_type["labels"], listed(adds))
    return after, notes


def _added(now: Mapping[str, Any], then: Mapping[str, Any], form: str) -> list[str]:
    return [form.format(name, value) for name, value in then.items() if now.get(name) != value]


def _fixed(group: Group) -> str:
    """Return why Ray's autoscaler never launches pods of a group, as the end of a sentence; empty where it does."""
    if group.is_head:
        return ""
    if yt.word(yt.at(group.node, "suspend")) == "true":
        return "is suspended (suspend: true)"
    if not group.autoscaling:
        return f"keeps its replicas ({_replicas(group)}), as the manifest has no enableInTreeAutoscaling: true"
    return ""


def _replicas(group: Group) -> int:
    """Return the replicas that the operator starts by itself (KubeRay, utils.GetWorkerGroupDesiredReplicas)."""
    if group.is_head or yt.word(yt.at(group.node, "suspend")) == "true":
        return 0
    wanted, least, most = (number(group, key) for key in ("replicas", "minReplicas", "maxReplicas"))
    return min(max(wanted, least), most)


def _limited(in_ray: Any, group: Group) -> Any:
    """Return a group in Ray's form, without launches where there are none."""
    name = in_ray.name
    if not _fixed(group):
        return in_ray
    most = _replicas(group) * (group.hosts or 1)
    return _ray.with_most(_ray.without_launches({name: in_ray}, (name,), ""), (name,), most)[name]


def _node_type(in_ray: Any, group: Group, after: AfterFill | None, catalog: Catalog) -> AutoscalerNodeType:
    labels = {**propose(group, catalog).labels, **in_ray.labels}
    machine = _machine(in_ray, labels.get(LABEL_INSTANCE_TYPE, ""), catalog)
    spot = labels.get(LABEL_MARKET_TYPE) == CapacityType.SPOT.value
    return AutoscalerNodeType(
        name=in_ray.name,
        machine=NodeMachine(machine),
        resources=dict(in_ray.resources),
        labels=dict(in_ray.labels),
        max_workers=in_ray.max_worker_nodes - group.is_head,
        is_head=group.is_head,
        capacity_types=(CapacityType.SPOT if spot else CapacityType.ON_DEMAND,),
        words=MANIFEST,
        hosts=1 if group.is_head else group.hosts or 1,
        fixed=_fixed(group),
        after_fill=after,
        has_machine=_has_machine(machine, catalog),
    )


def _machine(in_ray: Any, name: str, catalog: Catalog) -> MachineType:
    """Return the pod as a machine: what it has, and the name of the machine type that its selectors name."""
    chip = _chip(in_ray.resources, catalog)
    count = int(in_ray.resources.get(chip.resource, 0)) // chip.units_per_device if chip else 0
    return MachineType(
        cloud="",
        name=name,
        vcpus=int(in_ray.resources.get("CPU", 0)),
        memory_mib=int(in_ray.resources.get("memory", 0)) // BYTES_PER_MIB,
        arch="",
        chip=chip,
        count=count,
        layer="",
    )


def _chip(resources: Mapping[str, float], catalog: Catalog) -> Chip | None:
    """Return the accelerator whose types a group promises; the exact variant where it does."""
    types = types_in(resources)
    chips = [chip for chip in catalog.chips.values() if types and set(accelerator_types(chip)) <= set(types)]
    named = [chip for chip in chips if accelerator_types(chip)]
    return max(named, key=lambda chip: len(accelerator_types(chip)), default=None)


def _has_machine(pod: MachineType, catalog: Catalog) -> bool:
    """Return whether a pod has a machine of its own: no second one of its kind fits on the machine type."""
    found = [machines[pod.name] for cloud in catalog.clouds if pod.name in (machines := catalog.machine_types(cloud))]
    return any(
        2 * pod.vcpus > machine.vcpus or 2 * pod.memory_mib > machine.memory_mib or 2 * pod.count > machine.count > 0
        for machine in found
    )


def _cloud(types: Mapping[str, AutoscalerNodeType], catalog: Catalog) -> str:
    """Return the cloud whose machine types the selectors name; empty where they name none, or of several clouds."""
    names = {node_type.machine.name for node_type in types.values() if node_type.machine.name}
    clouds = {cloud for cloud in catalog.clouds for name in names if name in catalog.machine_types(cloud)}
    return clouds.pop() if len(clouds) == 1 else ""


def _running(manifest: Manifest, types: Mapping[str, AutoscalerNodeType]) -> tuple[Any, ...]:
    """Return the pods that run without any demand, in Ray's form.

    Raises:
        ClusterConfigError: they are more than a plan takes.
    """
    pods: list[Any] = []
    for group in manifest.groups:
        node_type = types[group_name(group)]
        count = _replicas(group) * node_type.hosts
        if len(pods) + count > _MOST_RUNNING:
            raise ClusterConfigError(
                f"{manifest.file}:{group.line}: {group.title}: {count} pods run from the start, and a plan takes at "
                f"most {_MOST_RUNNING}; write fewer replicas"
            )
        pods += [
            _ray.running_instance(node_type.name, len(pods) + number + 1, node_type.resources, node_type.labels)
            for number in range(count)
        ]
    return tuple(pods)


def _upscaling_mode(group: Group) -> str:
    return yt.word(yt.at(group.cluster, "autoscalerOptions", "upscalingMode")) or "Default"


def with_notes(cluster: AutoscalerCluster, *notes: str) -> AutoscalerCluster:
    """Return a cluster with more notes."""
    return replace(cluster, notes=(*cluster.notes, *notes))
