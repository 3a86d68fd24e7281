"""Notes of a plan where Ray's scheduler may surprise: TPU slices, launches in rounds, and CPU work on accelerators."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling._ray.facts import MAX_CONCURRENT_LAUNCHES, UPDATE_INTERVAL_S, tpu_head_resource
from accel_scaling.cluster.capacity import capacity_labels
from accel_scaling.cluster.capacity_text import order_words
from accel_scaling.plan.demands import matches
from accel_scaling.plan.words import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accel_scaling.plan.cluster import AutoscalerCluster, AutoscalerNodeType
    from accel_scaling.plan.model import PlannedNodes
    from accel_scaling.plan.scheduler_request import Question

_FEW_ROUNDS = 4  # so many rounds need no note: a machine takes longer to boot
_TEXTS = 3  # demands that a note names


def notes_of(
    cluster: AutoscalerCluster, question: Question, scheduled: _ray.Scheduled, rows: Sequence[PlannedNodes]
) -> list[str]:
    """Return the notes of a plan.

    Args:
        cluster: the cluster file.
        question: what Ray's scheduler was asked.
        scheduled: its reply.
        rows: the plan's rows.
    """
    asked = {number: _ray.read_request(request).resources for number, request in scheduled.requests().items()}
    of_chips = {number for number, resources in asked.items() if "TPU" in resources}
    chips = {node.node_type for node in scheduled.nodes if any(id(request) in of_chips for request in node.requests)}
    return [
        *_only_a_head(cluster, scheduled),
        *_notes_of_slices(cluster, rows, chips),
        *_notes_of_rounds(cluster, rows),
        *_notes_of_idle_accelerators(cluster, question, scheduled),
        *_notes_of_capacity(cluster, question, scheduled),
        *_ended(scheduled),
    ]


def _only_a_head(cluster: AutoscalerCluster, scheduled: _ray.Scheduled) -> list[str]:
    """Return the note about a file whose head is all that there will be, where a demand waits."""
    words = cluster.words
    others = len(cluster.types) > 1 or cluster.in_templates or cluster.head.max_workers > 0
    if others or not (scheduled.pending or scheduled.pending_gangs):
        return []
    return [f"the {words.file} has no worker {words.node_type}, so nothing can be launched; {words.add}"]


def _notes_of_idle_accelerators(cluster: AutoscalerCluster, question: Question, scheduled: _ray.Scheduled) -> list[str]:
    """Return a note for each node type that is launched for demands that leave its accelerators idle."""
    notes = []
    for name, node_type in cluster.types.items():
        accelerators = cluster.accelerators.resources() & {key for key, value in node_type.resources.items() if value}
        nodes = [node for node in scheduled.nodes if node.node_type == name and node.launched and node.requests]
        idle = [
            node
            for node in nodes
            if accelerators
            and _ray.asks_for_none(accelerators, (_ray.read_request(request).resources for request in node.requests))
        ]
        if not idle:
            continue
        requests = {_ray.key_of(request): request for node in idle for request in node.requests}
        texts = [question.text(request) for request in requests.values()]
        listed = ", ".join(texts[:_TEXTS]) + (", ..." if len(texts) > _TEXTS else "")
        notes.append(
            f"{name}: {len(idle)} of them ({node_type.instance_type}) would run {listed} alone, which asks for no "
            f"accelerator; {_why_idle(cluster, question, requests.values())}"
        )
    return notes


def _notes_of_capacity(cluster: AutoscalerCluster, question: Question, scheduled: _ray.Scheduled) -> list[str]:
    """Return a note for each node type whose machines may come with a label that the demands on them exclude.

    Ray compares `!spot` with the promise, which has no such label where the node type has several capacity types.
    """
    notes = []
    for name, node_type in cluster.types.items():
        if len(node_type.capacity_types) < 2:
            continue
        nodes = [node for node in scheduled.nodes if node.node_type == name and node.launched]
        requests = {_ray.key_of(request): request for node in nodes for request in node.requests}
        excluded = [
            question.text(request) for request in requests.values() if _excludes(_ray.read_request(request), node_type)
        ]
        if excluded:
            listed = ", ".join(excluded[:_TEXTS]) + (", ..." if len(excluded) > _TEXTS else "")
            notes.append(
                f"{name}: its machines are bought as {order_words(node_type.capacity_types)}, and the label selector "
                f"of {listed} excludes some of these: on such a machine it would still wait, and another one would be "
                "launched; write a node type with one capacity type for it"
            )
    return notes


def _excludes(request: Any, node_type: AutoscalerNodeType) -> bool:
    """Return whether a demand would not run on every machine of a node type, because of how it may be bought."""
    if not request.selectors:
        return False
    labels = [{**node_type.labels, **capacity_labels(type_, ordered=True)} for type_ in node_type.capacity_types]
    return any(not any(matches(selector, one) for selector in request.selectors) for one in labels)


def _why_idle(cluster: AutoscalerCluster, question: Question, requests: Iterable[Any]) -> str:
    """Return why demands without accelerators are given nodes that have some, and what to do about it."""
    wanted = list(requests)
    plain = [
        name
        for name, node_type in cluster.types.items()
        if not cluster.accelerators.resources() & node_type.resources.keys()
        and node_type.max_workers > 0
        and any(_ray.fits(question.types[name], request) for request in wanted)
    ]
    if not plain:
        return f"no {cluster.words.node_type} without accelerators fits it; add one"
    if cluster.words is MANIFEST:
        return "Ray spares only groups with GPU from such demands"
    if not cluster.spared:
        return (
            "Ray spares only nodes with GPU from such demands; a provider of this package spares all accelerators, "
            "unless the file says spare_accelerators: false"
        )
    return f"{cluster.words.most} leaves no more nodes of {' and '.join(plain)}; raise it"


def _notes_of_slices(cluster: AutoscalerCluster, rows: Iterable[PlannedNodes], chips_asked: Iterable[str]) -> list[str]:
    """Return a note for each node type that is a TPU slice of several hosts and is launched host by host.

    Args:
        cluster: the cluster file.
        rows: the plan's rows.
        chips_asked: the node types where a demand asks for chips and not for a whole slice.
    """
    types_with_chips = set(chips_asked)
    notes = []
    for row in rows:
        tpu_slice = cluster.types[row.node_type].machine.slice if row.node_type in cluster.types else None
        if row.launched and tpu_slice is not None and tpu_slice.hosts > 1 and row.node_type in types_with_chips:
            notes.append(
                f"{row.node_type}: Ray's scheduler counts a TPU slice as one host with {tpu_slice.chips_per_host} "
                f"chips; a {tpu_slice.accelerator_type} is {tpu_slice.hosts} such hosts, so {row.count} of them have "
                f"{row.count * tpu_slice.chips} chips; to ask for a whole slice, use "
                f"ray.util.tpu.slice_placement_group, here --demand {tpu_head_resource(tpu_slice.pod_type)}"
            )
    return notes


def _notes_of_rounds(cluster: AutoscalerCluster, rows: Iterable[PlannedNodes]) -> list[str]:
    """Return a note for each node type that Ray launches in many rounds."""
    # v2 launches at most upscaling_speed times the running nodes of a type at once, and counts none as one.
    first = min(max(1, math.ceil(cluster.upscaling_speed)), MAX_CONCURRENT_LAUNCHES)
    speed = cluster.upscaling or f"upscaling_speed: {cluster.upscaling_speed:g}"
    return [
        f"{row.node_type}: Ray launches {first} of them every {UPDATE_INTERVAL_S} s, and more when they run "
        f"({speed}); all {row.count} within {rounds * UPDATE_INTERVAL_S} s"
        for row in rows
        if row.launched and (rounds := math.ceil(row.count / first)) > _FEW_ROUNDS
    ]


def _ended(scheduled: _ray.Scheduled) -> list[str]:
    counts = Counter(scheduled.ended)
    return [
        f"{count} of {name} would be terminated: the cluster has more than max_workers"
        for name, count in counts.items()
    ]
