"""Launches on Google Cloud: large batches, many machines in one call, and the report of a launch that fell short."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import click

from accel_scaling import _ray
from accel_scaling.catalog.launch_errors import ELSEWHERE, Category, Failure
from accel_scaling.cluster.capacity import CAPACITY
from accel_scaling.providers.base.capacity_launch import offers
from accel_scaling.providers.base.zone_launch import over_zones
from accel_scaling.providers.gcp import placement, request_bodies
from accel_scaling.providers.gcp.calls import Purpose, call_each, of_exception
from accel_scaling.providers.gcp.capacity import reservation_in, wait_s, with_capacity
from accel_scaling.providers.gcp.client import new_request_id
from accel_scaling.providers.gcp.labels import from_label, from_labels, new_name, to_labels
from accel_scaling.quarantine.place import capacity_in, place_text, zone_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from accel_scaling.cluster.capacity import CapacityEntry
    from accel_scaling.providers.base.capacity_launch import Offer
    from accel_scaling.providers.base.zone_launch import Launch
    from accel_scaling.providers.gcp.reserved_launch import ReservedLaunches

_BULK_LIMIT = 1000  # machines in one call

_NO_REASON = Failure(Category.UNKNOWN, "no reason given", "Google created fewer machines than requested")

# Ray asks for five machines at a time, two such requests at once; a bulk creation makes a hundred as fast as one.
# Read by Ray (autoscaler/_private/constants.py) in the process that `ray start --head` starts; a user's own stay.
# v2 has (launches at once / batch) threads, so ten node types are launched side by side.
BATCH = 100
AT_ONCE = 1000

_EXPORT = (
    f"export AUTOSCALER_MAX_LAUNCH_BATCH=${{AUTOSCALER_MAX_LAUNCH_BATCH:-{BATCH}}} "
    f"AUTOSCALER_MAX_CONCURRENT_LAUNCHES=${{AUTOSCALER_MAX_CONCURRENT_LAUNCHES:-{AT_ONCE}}}; "
)


def in_large_batches(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config, its head start commands with the batch size; doing it twice changes nothing."""
    config["head_start_ray_commands"] = [
        _EXPORT + command if "ray start" in command and _EXPORT not in command else command
        for command in config.get("head_start_ray_commands") or []
    ]
    return config


class MachineApi(Protocol):
    """What a launch needs of Compute Engine in one project: `compute.Compute` is one."""

    KIND: str
    instances: Any  # Google's collection of instances
    zones: list[str]
    project_id: str
    reserved: ReservedLaunches

    def tried_order(self, machine_type: str) -> list[str]:
        """Return the zones in the order to try them."""

    def note_sold_out(self, zone: str, machine_type: str) -> None:
        """Remember that a zone has no machine of this type just now."""

    def existing(self, zone: str, names: Sequence[str]) -> list[str]:
        """Return those of the names that exist in a zone."""

    def placed(self, zone: str, names: Sequence[str]) -> list[str]:
        """Remember which zone these machines are in, and return them."""

    def wait(self, operation: dict[str, Any], zone: str) -> dict[str, Any]:
        """Wait until an operation is done, and return it."""

    def wait_or_queued(self, operation: dict[str, Any], zone: str, node_id: str) -> None:
        """Wait until a machine exists, or until it waits for capacity."""

    def hold(self, purpose: Purpose, node_ids: Iterable[str]) -> None:
        """Remember machines of which nobody knows whether they exist."""


class _MachineRequest(NamedTuple):
    """The machine to create: the Instance, the instance template that is below it, and what it is for."""

    body: dict[str, Any]
    template: str | None
    purpose: Purpose


def create(
    compute: MachineApi,
    node_config: dict[str, Any],
    labels: dict[str, str],
    count: int,
    *,
    zones: Collection[str],
    keep_stopped: bool,
    order: Sequence[CapacityEntry] = (),
    machines: Mapping[str, dict[str, Any]] | None = None,
) -> Launch:
    """Create up to ``count`` machines; those that come are kept.

    The zones are tried one after another: machines of one type stay together where they can. Only a zone that has
    too few, or does not offer the type, is followed by the next.

    Args:
        compute: where.
        node_config: the node type's ``node_config``.
        labels: of the new machines; Ray's name for them gives their names.
        count: how many.
        zones: the places that may be tried: zones of the cluster, or capacity types in them.
        order: the node type's capacity types; none where its node_config alone says how its machines are bought.
        machines: the node_config of each machine type of a list; none where the node type has one machine type.
        keep_stopped: a preempted spot machine is stopped, and started again later, rather than deleted.
    """
    delete_preempted = not keep_stopped and not _ray.is_head(labels)
    listed = list(dict.fromkeys(zone_in(place) for place in zones))
    ways = _ways(node_config, labels, order, listed, machines)
    requests = {place: _request_of(ways[place], delete_preempted=delete_preempted) for place in zones}

    def try_place(place: str, missing: int) -> tuple[list[str], Failure | None]:
        way = ways[place]
        shaped = compute.reserved.shaped(way, missing)
        if not shaped.count:
            return [], shaped.failure
        body = placement.in_zone(requests[place].body, way.zone)
        request = requests[place]._replace(body=compute.reserved.placed(way, body))
        nodes, failure = _create_in(compute, way.zone, request, shaped.count)
        failure = compute.reserved.judged(way, failure) or shaped.failure
        unreserved = reservation_in(way.node_config) is None
        if failure is not None and failure.category in ELSEWHERE and len(nodes) < missing and unreserved:
            compute.note_sold_out(way.zone, _bought_type(request))
        return nodes, failure

    return over_zones(_in_order(compute, requests), count, try_place)


def places(
    compute: MachineApi,
    node_config: dict[str, Any],
    tags: dict[str, str],
    order: Sequence[CapacityEntry],
    machines: Mapping[str, dict[str, Any]] | None = None,
) -> list[str]:
    """Return the places where machines may be launched, in the order to try them: a reservation is in one zone."""
    return list(compute.reserved.in_their_zones(_ways(node_config, to_labels(tags), order, compute.zones, machines)))


def _ways(
    node_config: dict[str, Any],
    labels: dict[str, str],
    order: Sequence[CapacityEntry],
    zones: Sequence[str],
    machines: Mapping[str, dict[str, Any]] | None,
) -> dict[str, Offer]:
    key = f"provider.{CAPACITY}.{_ray.node_type_of(from_labels(labels))}"
    return offers(order, zones, node_config, labels, functools.partial(with_capacity, key), machines=machines)


def _request_of(way: Offer, *, delete_preempted: bool) -> _MachineRequest:
    body = request_bodies.instance(way.node_config, way.tags, delete_preempted=delete_preempted)
    # A query parameter of insert, a field of bulkInsert, and no part of an Instance: each call puts it in its place.
    return _MachineRequest(body, body.pop("sourceInstanceTemplate", None), purpose_of(body["labels"]))


def _bought_type(request: _MachineRequest) -> str:
    """Return the machine type and how it is bought: spot machines and those on demand are not sold out together."""
    scheduling = request.body.get("scheduling") or {}
    return f"{request.body.get('machineType', '')} {scheduling.get('provisioningModel', '')}"


def _in_order(compute: MachineApi, requests: Mapping[str, _MachineRequest]) -> list[str]:
    """Return the places in the user's order; of one capacity type, zones that were sold out a moment ago last."""
    types = list(dict.fromkeys(capacity_in(place) for place in requests))

    def rank(place: str) -> tuple[int, int]:
        tried = compute.tried_order(_bought_type(requests[place]))
        return types.index(capacity_in(place)), tried.index(zone_in(place))

    return sorted((place for place in requests if zone_in(place) in compute.zones), key=rank)


def _create_in(
    compute: MachineApi, zone: str, request: _MachineRequest, count: int
) -> tuple[list[str], Failure | None]:
    """Return the machines that exist in this zone now, and why they are fewer than ``count``."""
    node_name = from_label(request.body["labels"][_ray.gcp_tags()[1]])
    made: list[str] = []
    asked_again = False
    while len(made) < count:
        # Named here, not by Google: where no answer comes, a listing shows which of these exist.
        names = [new_name(node_name, compute.KIND) for _ in range(min(count - len(made), _BULK_LIMIT))]
        bulk = len(names) > 1 and request_bodies.fits_bulk(request.body)
        came, failure = (_bulk if bulk else _one_by_one)(compute, zone, names, request)
        made += came
        if failure is not None:
            return made, failure
        if not came:
            # Bulk creation may end well with fewer than asked for; the rest, asked for once more, brings the reason.
            if asked_again:
                return made, _NO_REASON
            asked_again = True
    return made, None


def _bulk(
    compute: MachineApi, zone: str, names: Sequence[str], request: _MachineRequest
) -> tuple[list[str], Failure | None]:
    body: dict[str, Any] = {
        "count": str(len(names)),
        "minCount": "1",  # what can be created is kept
        "instanceProperties": request_bodies.of_many(request.body),
        "perInstanceProperties": {name: {} for name in names},
    }
    if request.template:
        body["sourceInstanceTemplate"] = request.template
    call = compute.instances.bulkInsert(project=compute.project_id, zone=zone, body=body, requestId=new_request_id())
    failure = None
    try:
        if not _fell_short(compute.wait(call.execute(), zone)):
            return compute.placed(zone, names), None
    except Exception as error:  # noqa: BLE001 - some may exist anyway
        failure = of_exception(error)
    return _left(compute, zone, names, request.purpose, failure)


def _one_by_one(
    compute: MachineApi, zone: str, names: Sequence[str], request: _MachineRequest
) -> tuple[list[str], Failure | None]:
    placed = request_bodies.in_zone(request.body, compute.project_id, zone)
    template = {"sourceInstanceTemplate": request.template} if request.template else {}

    def insert(name: str) -> None:
        call = compute.instances.insert(
            project=compute.project_id,
            zone=zone,
            body={**placed, "name": name},
            requestId=new_request_id(),
            **template,
        )
        if wait_s(request.body):
            compute.wait_or_queued(call.execute(), zone, name)
        else:
            compute.wait(call.execute(), zone)

    made, errors = call_each(insert, names)
    came = compute.placed(zone, [name for name in names if name in made])
    if not errors:
        return came, None
    # Those whose insert failed may exist anyway: a lost answer is a failure here, and may be none at Google.
    left, failure = _left(compute, zone, list(errors), request.purpose, of_exception(next(iter(errors.values()))))
    return came + left, failure


def _left(
    compute: MachineApi, zone: str, names: Sequence[str], purpose: Purpose, failure: Failure | None
) -> tuple[list[str], Failure | None]:
    """Return those of the names that exist after a failure, and that failure; an unknown result is one that passes."""
    try:
        return compute.existing(zone, names), failure
    except Exception:  # noqa: BLE001 - the failure before this one is the one to tell
        # The next launch asks about them before it asks for more; a listing finds them anyway. Until then they are not
        # bought elsewhere, or in another way.
        compute.hold(purpose, compute.placed(zone, names))
        return [], replace(failure or _NO_REASON, category=Category.UNAVAILABLE)


def purpose_of(labels: dict[str, str]) -> Purpose:
    """Return what a node is for, from its labels or its tags."""
    return tuple(from_label(labels.get(key, "")) for key in _ray.gcp_reuse_tags())


def _fell_short(operation: dict[str, Any]) -> bool:
    metadata = operation.get("instancesBulkInsertOperationMetadata") or {}
    # One for each zone or region that was tried.
    return any(place.get("failedToCreateVmCount") for place in (metadata.get("perLocationStatus") or {}).values())


def raise_if_short(
    launch: Launch,
    node_config: dict[str, Any],
    tags: dict[str, str],
    count: int,
    machines: Mapping[str, dict[str, Any]] | None = None,
) -> None:
    """Raise the failure of a launch that fell short; the nodes that came are kept, and found by the next listing.

    Raises:
        NodeLaunchException: with the kind of failure (launch_errors.Category) and Google's reason.
        click.ClickException: the same, for the head node, which `ray up` launches.
    """
    failure = launch.failure
    if failure is None:
        return
    names = " or ".join(map(_name_of, (machines or {"": node_config}).values()))
    name, zones = names, ", ".join(map(place_text, launch.zones))
    if _ray.is_head(tags):
        raise click.ClickException(
            f"the head node ({name}) could not be launched in {zones}: {failure.category.value}: Google says: {failure}"
        )
    came = f"{len(launch.nodes)} of {count} x {name} created and kept; for the rest " if launch.nodes else f"{name}: "
    raise _ray.node_launch_exception()(failure.category.value, f"{came}Google says: {failure} (tried in {zones})", None)


def _name_of(node_config: dict[str, Any]) -> str:
    """Return the name of what was to be launched, with the GPUs that are attached to it."""
    shape = node_config.get("acceleratorConfig") or {}
    name = (
        node_config.get("machineType")
        or node_config.get("acceleratorType")
        or (f"{shape.get('type')} {shape.get('topology')}" if shape else None)
        or node_config.get("sourceInstanceTemplate")
        or "?"
    )
    attached = [
        f"{guest.get('acceleratorCount', 1)} {str(guest.get('acceleratorType')).rsplit('/', 1)[-1]}"
        for guest in node_config.get("guestAccelerators") or []
    ]
    return " + ".join([str(name).rsplit("/", 1)[-1], *attached])
