"""The fill of a whole cluster file: what each node type promises and what its nodes need. No network."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import LABEL_REGION, LABEL_ZONE
from accel_scaling.cluster import machine_lists
from accel_scaling.cluster.capacity import capacity_labels
from accel_scaling.cluster.capacity_notes import head_notes, label_notes
from accel_scaling.cluster.cluster import node_config_reader, read_checked, read_config
from accel_scaling.cluster.docker import with_run_options
from accel_scaling.cluster.docker_checks import add_docker
from accel_scaling.cluster.node_needs import (
    NO_ACCELERATOR,
    common_system,
    default_image,
    default_images,
    images,
    system_in,
)
from accel_scaling.cluster.offering_checks import offering_notes, unknown_region
from accel_scaling.cluster.policies import OnMismatch
from accel_scaling.cluster.provider_keys import unread_notes
from accel_scaling.cluster.setup_notes import setup_notes
from accel_scaling.cluster.shape import check_own_promise
from accel_scaling.cluster.start_commands import check_start_commands, empty_notes
from accel_scaling.cluster.visible_variables import visible_notes
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.promise import Promise, of_slice, promise_for, without_machine
from accel_scaling.fill.users_own import BootCheck, with_users_own

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.cluster.cluster import Cluster, NodeMachine, NodeType


def fill(config: Any, catalog: Catalog) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of a cluster config, filled, and the notes; see `fill_cluster`.

    Args:
        config: what a cluster file holds.
        catalog: what is known about machine types.

    Raises:
        AccelScalingError: a config that cannot be read, or a node type that cannot be filled; nothing is half-filled.
    """
    return fill_cluster(read_config(config, catalog))


def fill_cluster(cluster: Cluster, *, offerings: bool = True) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of a cluster's config, filled, and the notes.

    Every node type has resources and labels, an image with its accelerator's driver where the user named none, and
    container options that show the devices where the config uses containers. A node type whose machine is in a
    template of the account stays as it is, with a note.

    Args:
        cluster: a cluster file, read.
        offerings: check that region and zones have the machines; False where the cloud itself is asked next, which
            knows better.

    Raises:
        AccelScalingError: a node type that cannot be filled, or a start command that the boot check does not reach;
            nothing is half-filled.
    """
    given, key = cluster.config, cluster.cloud.machine_key
    separated = machine_lists.separated(given, key) if key else given
    if separated is not given:
        cluster = replace(read_checked(separated, cluster.catalog), notes=cluster.notes)
    not_offered = cluster.check_offered() if offerings else []
    # Every promise before the first change: an error leaves nothing half-filled.
    promised = promises(cluster)
    start_notes = check_start_commands(cluster.config)
    cloud_notes = node_config_reader(cluster.cloud).cluster_notes(cluster)
    filled, need_notes = _with_needs(cluster)
    for name, promise in promised.items():
        filled["available_node_types"][name] |= {"resources": promise.resources, "labels": promise.labels}
    if separated is not given:
        filled = machine_lists.without_others(filled, given, key)
    notes = [
        *cluster.notes,
        *unread_notes(cluster.provider, cluster.cloud),
        *cluster.in_templates.values(),
        *([*_region_notes(cluster), *offering_notes(cluster)] if offerings else []),
        *not_offered,
        *(note for promise in promised.values() for note in promise.notes),
        *_added_cpus(cluster, promised),
        *label_notes(cluster),
        *head_notes(cluster),
        *_not_refused(cluster),
        *need_notes,
        *cloud_notes,
        *start_notes,
        *empty_notes(cluster.config),
        *(setup_notes(cluster.config, cluster.cloud) if cluster.is_ours else []),
        *visible_notes(cluster, {name: promise.resources for name, promise in promised.items()}),
    ]
    return filled, list(dict.fromkeys(notes))  # of a list's machines, each may have the same


def promises(cluster: Cluster) -> dict[str, Promise]:
    """Return the promise of each node type of a cluster file.

    Raises:
        AccelScalingError: the first node type that cannot be filled, named with its key.
    """
    result = {}
    for name, node_type in cluster.node_types.items():
        promised = promise_of(node_type.location, node_type.machine, head=node_type.is_head)
        if node_type.others or node_type.name in machine_lists.of_lists(cluster.provider):
            promised = without_machine(promised)
        placed = replace(promised, labels={**promised.labels, **_placement_labels(cluster, node_type)})
        check_own_promise(node_type.location, node_type.resources, node_type.labels)
        policy = cluster.confirmation.of(machine_lists.owner_of(cluster.provider, name))
        joins = policy is OnMismatch.JOIN and node_type.machine.slice is None
        result[name] = with_users_own(
            placed,
            f"{node_type.location} ({node_type.machine.name})",
            node_type.machine,
            (node_type.resources, node_type.labels),
            chips=cluster.catalog.chips,
            check=BootCheck(cluster.is_ours, joins, policy.always_joins),
        )
    return result


def _added_cpus(cluster: Cluster, promised: dict[str, Promise]) -> Iterator[str]:
    """Yield a note for each node type with accelerators to which the fill adds the only CPUs that tasks may have.

    Who writes ``TPU: 4`` alone, as stock Ray's examples do, may not mean its machines for tasks that ask for CPUs only.
    Where another node type has CPUs, such a task runs there.
    """
    plain = [one for one in cluster.node_types.values() if one.machine.machine.chip is None]
    if any(promised[one.name].resources.get("CPU") for one in plain):
        return
    for one in cluster.node_types.values():
        added = promised[one.name].resources.get("CPU")
        if one not in plain and not one.is_head and one.resources and "CPU" not in one.resources and added:
            yield (
                f"{one.location} ({one.machine.name}): your resources name no CPU, its {added} are added, and no other "
                "node type has any: a task that asks for CPUs alone launches this one; add a node type without "
                "accelerators"
            )


def _not_refused(cluster: Cluster) -> Iterator[str]:
    """Yield a note about the node types with accelerators whose machines join whatever devices they have."""
    policy = cluster.confirmation
    types = [
        one for one in cluster.node_types.values() if one.machine.machine.chip and policy.of(one.name).always_joins
    ]
    if types and cluster.is_ours:
        names = ", ".join(f"{one.name} ({policy.of(one.name).value})" for one in types)
        yield (
            f"provider.confirmation: machines of {names} join with their whole promise, whatever devices they have; "
            "Ray starts tasks there for devices that may be missing"
        )


def promise_of(location: str, machine: NodeMachine, *, head: bool = False) -> Promise:
    """Return what each Ray node of a node type announces.

    Args:
        location: the node type's place in the cluster file, for the error and the notes.
        machine: what the node type names.
        head: the node type is the head node's.

    Raises:
        ClusterConfigError: a TPU slice of several hosts cannot be the head node.
    """
    promised = promise_for(machine.machine, head=head)
    notes = tuple(f"{location}: {note}" for note in machine.notes)
    if machine.slice is None:
        return Promise(promised.resources, promised.labels, notes)
    if head and machine.slice.hosts > 1:
        raise ClusterConfigError(
            f"{location} is the head_node_type and a {machine.name} has {machine.slice.hosts} hosts, each of which "
            "would start a head; use a machineType, such as n2-standard-4, for the head"
        )
    host = of_slice(promised, machine.slice)
    return Promise(host.resources, host.labels, notes)


def _placement_labels(cluster: Cluster, node_type: NodeType) -> dict[str, str]:
    """Return the labels that the config fixes: market type, region, and the zone where there is only one."""
    placement = cluster.placement
    # What the fill writes counts as the user's own the next time: only what is sure.
    labels, types = {}, node_type.capacity_types
    if len(types) == 1 and (node_type.order or not node_type.machine.market_in_template):
        labels = capacity_labels(types[0], ordered=bool(node_type.order))
    if placement.region:
        labels[LABEL_REGION] = placement.region
    # With several zones, only the machine that came knows its own.
    if len(placement.zones) == 1:
        labels[LABEL_ZONE] = placement.zones[0]
    return labels


def _with_needs(cluster: Cluster) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of the config with images and container options where the user wrote none, and the notes."""
    machines = {name: node_type.machine.machine for name, node_type in cluster.node_types.items()}
    reader = node_config_reader(cluster.cloud)
    with_rdma = [name for name, one in cluster.node_types.items() if reader.network_devices(one, cluster.provider)]
    filled, notes = with_run_options(_own_node_types(cluster.config), machines, with_rdma)
    system, chosen = _image_system(cluster), {}
    for name, node_type in cluster.node_types.items():
        entry = filled["available_node_types"][name]
        given = entry.get("node_config") or {}
        entry["node_config"], image_notes = reader.with_image(
            replace(node_type, system=system), given, cluster.provider
        )
        notes += image_notes
        machine = node_type.machine
        image = default_image(machine.machine, of_slice=machine.slice is not None, system=system)
        if entry["node_config"] != given and image is not None:
            chosen[name] = image
    return filled, [*notes, *_system_notes(filled, cluster), *add_docker(filled, chosen)]


def _own_node_types(config: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a config in which no two node types are one object, as YAML's aliases (`*name`) make them."""
    types = {name: copy.deepcopy(node_type) for name, node_type in config["available_node_types"].items()}
    return {**copy.deepcopy(config), "available_node_types": types}


def _system_notes(filled: dict[str, Any], cluster: Cluster) -> Iterator[str]:
    """Yield a note for each default image of an Ubuntu that no other has, beside images that may be of another one."""
    texts = {name: str(entry["node_config"]) for name, entry in filled["available_node_types"].items()}
    systems = {name: system_in(text) for name, text in texts.items()}
    for name, node_type in cluster.node_types.items():
        every = default_images(node_type.machine.machine)
        if len(every) != 1 or not every[0].name or every[0].name not in texts[name]:
            continue  # of another system there is an image too, or it is the user's own
        (image,), system = every, systems[name]
        others = [other for other in systems if systems[other] != system]
        if others and (image.note or system > _usual_system(cluster)):
            text = (
                f"it is Ubuntu {system}: Ray needs one Python on all nodes, so the head needs an image of Ubuntu "
                f"{system} too"
            )
            yield f"{node_type.location} ({node_type.machine.name}): its default image: {image.note or text}"


def _usual_system(cluster: Cluster) -> str:
    """Return the Ubuntu of a cloud's images for machines without an accelerator."""
    systems = (
        image.system for image in images() if (image.cloud, image.family) == (cluster.cloud.name, NO_ACCELERATOR)
    )
    return next(systems, "")


def _image_system(cluster: Cluster) -> str:
    """Return the system that the images of the node types which name none have in common."""
    reader, types = node_config_reader(cluster.cloud), cluster.config["available_node_types"]
    taking = []
    for name, node_type in cluster.node_types.items():
        given = types[name].get("node_config") or {}
        if node_type.machine.slice is None and reader.with_image(node_type, given, cluster.provider)[0] != given:
            taking.append(node_type.machine.machine)
    return common_system(taking)


def _region_notes(cluster: Cluster) -> list[str]:
    """Return the note about a region that nobody knows; Cloud TPU has regions of its own, which no file lists."""
    region = cluster.placement.region
    # Without a region nothing can be said; a file with slices may rightly name a region of Cloud TPU alone.
    if not region or any(node_type.machine.slice for node_type in cluster.node_types.values()):
        return []
    note = unknown_region(cluster.cloud, region, cluster.catalog.places(cluster.cloud.name).regions)
    return [note] if note else []
