"""Makes a plan from a cluster config and the arguments of the command line."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling.accs.types import AcceleratorTypes
from accel_scaling.catalog.tpu_generations import is_tpu_type
from accel_scaling.catalog.tpu_slices import slice_of_type
from accel_scaling.cluster.cluster import read_config
from accel_scaling.errors import AccelScalingError, PlanError
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.plan import live_cluster
from accel_scaling.plan.answer import make_plan
from accel_scaling.plan.cluster import cluster_of
from accel_scaling.plan.demands import Reader, check_labels, check_strategy, labels_of
from accel_scaling.plan.manifest_cluster import cluster_of_manifest, filled_manifest
from accel_scaling.plan.manifest_notes import note_of_filled
from accel_scaling.plan.model import Gang, Plan, PlanRequest
from accel_scaling.plan.quarantines import (
    of_config,
    quarantine_notes,
    records_of_machines,
    reported_quarantines,
    with_quarantines,
)
from accel_scaling.plan.running_nodes import existing_nodes
from accel_scaling.plan.scheduler_request import question_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.plan.cluster import AutoscalerCluster
    from accel_scaling.plan.manifest import Manifest


@dataclass(frozen=True)
class PlanArguments:
    """The arguments of the command line.

    Attributes:
        demands: tasks and actors, such as ``A100:8x16``.
        gangs: placement groups, each a strategy and its bundles. One without bundles makes a group of all demands; one
            without a strategy does so with PACK.
        labels: label selectors for every demand, ``KEY=VALUE``.
        address: ``HOST:PORT`` of a running cluster, whose demands are read instead.
    """

    demands: Sequence[str] = ()
    gangs: Sequence[Sequence[str]] = ()
    labels: Sequence[str] = ()
    address: str | None = None


def plan_cluster(
    config: dict[str, Any], catalog: Catalog | None, arguments: PlanArguments
) -> tuple[AutoscalerCluster, Plan]:
    """Return the cluster and its plan; wrong arguments are reported before Ray is imported.

    Args:
        config: the cluster config, not filled.
        catalog: the source of the promises; by default the one that the config names.
        arguments: the command's arguments.

    Raises:
        PlanError: the arguments are wrong, or nothing answers at the address.
        AccelScalingError: the config cannot be filled, or Ray refuses it; the text names the key.
    """
    _check_address(arguments)
    read = read_config(config, catalog)
    filled, notes = fill_cluster(read)
    read.check_launchable()
    types = filled["available_node_types"].values()
    promised = [name for node_type in types for name in node_type.get("resources") or {}]
    labels = labels_of(arguments.labels)
    machine = functools.partial(_whole_machine, read.catalog)
    reader = Reader(AcceleratorTypes(read.catalog.chips), promised, labels, machine=machine)
    request = _request(arguments, reader)
    # Last, as this imports Ray: mistakes in the demands are reported without waiting for it.
    check_labels(labels)
    cluster = cluster_of(read, filled, notes)
    if arguments.address is not None:
        return running_plan(cluster, arguments.address, read.provider)
    cluster = with_quarantines(cluster, of_config(read.provider, {}), {})
    return cluster, make_plan(cluster, question_of(cluster, request))


def running_plan(
    cluster: AutoscalerCluster, address: str, provider: dict[str, Any] | None
) -> tuple[AutoscalerCluster, Plan]:
    """Return a cluster with the quarantines of the one that runs at an address, and the plan for its demands.

    Args:
        cluster: the file.
        address: of the head's GCS.
        provider: the file's provider section; None for a manifest, of which nobody quarantines a group.

    Raises:
        PlanError: nothing answers there, or it wants a token that is not here.
    """
    state = live_cluster.state_of(cluster, address)
    notes: tuple[str, ...] = ()
    if provider is not None and provider.get("type") == "external":
        reported = reported_quarantines(state)
        cluster = with_quarantines(cluster, of_config(provider, reported or {}), state.node_types)
        notes = quarantine_notes(cluster, known=reported is not None)
    answer = make_plan(cluster, live_cluster.question_of(cluster, state))
    existing = existing_nodes(cluster, state.nodes, records_of_machines())
    return cluster, replace(answer, notes=(*notes, *answer.notes), existing=existing)


def plan_manifest(manifest: Manifest, catalog: Catalog, arguments: PlanArguments) -> tuple[AutoscalerCluster, Plan]:
    """Return a manifest of KubeRay as its autoscaler sees it, and the plan.

    Args:
        manifest: the manifest, as it is; what a fill would change is in the notes.
        catalog: the source of accelerator types.
        arguments: the command's arguments.

    Raises:
        PlanError: as ``plan_cluster``.
        ClusterConfigError: Ray's autoscaler cannot read a group; the text has the line.
    """
    _check_address(arguments)
    labels = labels_of(arguments.labels)
    cluster = cluster_of_manifest(manifest, catalog)
    promised = [
        name
        for node_type in cluster.types.values()
        for name in (*node_type.resources, *(node_type.after_fill.resources if node_type.after_fill else ()))
    ]
    machine = functools.partial(_whole_machine, catalog)
    request = _request(arguments, Reader(cluster.accelerators, promised, labels, machine=machine))
    check_labels(labels)
    if arguments.address is not None:
        return running_plan(cluster, arguments.address, None)
    answer = make_plan(cluster, question_of(cluster, request))
    filled = filled_manifest(manifest, catalog)
    if filled is not None:
        then = cluster_of_manifest(filled, catalog)
        notes = note_of_filled(make_plan(then, question_of(then, request)), answer)
        answer = replace(answer, notes=(*notes, *answer.notes))
    return cluster, answer


def _check_address(arguments: PlanArguments) -> None:
    if arguments.address is None:
        return
    if arguments.demands or arguments.gangs or arguments.labels:
        raise PlanError("--address takes the demands from the cluster; remove --demand, --gang and --label")
    live_cluster.check_address(arguments.address)


def _whole_machine(catalog: Catalog, name: str) -> str:
    """Return the demand that takes all of a machine type, or of a host of a TPU slice; empty for any other name."""
    for cloud in catalog.clouds:
        machine = catalog.machine_types(cloud).get(name)
        if machine is not None:
            return f"{machine.chip.variant or machine.chip.name}:{machine.count}" if machine.chip else "CPU:4"
    with contextlib.suppress(AccelScalingError):
        if is_tpu_type(name):
            tpu_slice = slice_of_type(catalog, name)
            return f"{tpu_slice.chip.name}:{tpu_slice.chips_per_host}"
    return ""


def _request(arguments: PlanArguments, reader: Reader) -> PlanRequest:
    gangs = [list(gang) for gang in arguments.gangs]
    of_all = [gang for gang in gangs if len(gang) < 2]
    if not of_all:
        demands = tuple(reader.demand(text) for text in arguments.demands)
        return PlanRequest(demands, tuple(reader.gang(gang) for gang in gangs))
    strategy = of_all[0][0] if of_all[0] else "PACK"
    check_strategy(strategy)
    if not arguments.demands or len(of_all) > 1:
        raise PlanError(
            f"--gang {' '.join(of_all[-1])}".rstrip()
            + ": it has no demands of its own, and "
            + ("there is another such --gang" if arguments.demands else "there is no --demand")
            + "; write them after the strategy, such as --gang STRICT_SPREAD A100:8x4"
        )
    whole = Gang(strategy.upper(), tuple(reader.demand(text, bundle=True) for text in arguments.demands))
    return PlanRequest((), (whole, *(reader.gang(gang) for gang in gangs if len(gang) > 1)))
