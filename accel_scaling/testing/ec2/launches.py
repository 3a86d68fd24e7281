"""Launches of moto as EC2 carries them out: by counts, by client tokens, and with the capacity that there is."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.ec2.client_tokens import launched_before, note_launched
from accel_scaling.testing.ec2.interfaces import check_interfaces, efa_devices, primary
from accel_scaling.testing.ec2.interruptible import with_lender
from accel_scaling.testing.ec2.placement_groups import check_group, patch_placement_groups
from accel_scaling.testing.ec2.reservations import (
    Places,
    RefusedError,
    Wanted,
    capacity_word,
    described,
    insufficient,
    matching,
    places_for,
)
from accel_scaling.testing.ec2.states import LIVE, PENDING, RUNNING, STOPPED, TERMINATED, set_state
from accel_scaling.testing.faults import granted, read_faults
from accel_scaling.testing.reservations import ReservationKind, read_reservations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from accel_scaling.testing.hosts.events import EventLog
    from accel_scaling.testing.reservations import Reservation, Reservations

_launching = threading.Lock()  # two requests at once must not share the last free machine


class Capacity:
    """What this EC2 has to give: faults say how much of a type, reservations what is kept for the account.

    Args:
        faults_file: read at each question.
        reservations_file: the same; None where the account has none.
        clock: Unix seconds.
    """

    def __init__(
        self, faults_file: Path, reservations_file: Path | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._faults_file, self._reservations_file, self.clock = faults_file, reservations_file, clock
        self._ends: dict[str, float] = {}

    def reservations(self, backend: Any) -> Reservations:
        """Return the reservations; those without a zone are in the first one."""
        if self._reservations_file is None:
            return ()
        first = next((zone.name for zone in backend.describe_availability_zones()), "")
        return tuple(
            replace(one, zone=one.zone or first, ends_s=self._ends.get(one.name, one.ends_s))
            for one in read_reservations(self._reservations_file)
        )

    def end(self, reservation: Reservation, at_s: float) -> None:
        """Let a reservation end at another time than it says."""
        self._ends.setdefault(reservation.name, at_s - reservation.since_s)

    def left(self, backend: Any, wanted: Wanted, requested: int) -> int:
        """Return how many machines there are outside of reservations, as the faults of type, zone and pool say."""
        instance_type, zone, pool = wanted.instance_type, wanted.zone, wanted.pool
        free = [
            one
            for one in backend.all_instances()
            if one.instance_type == instance_type and one.state in LIVE and not _reservation_of(one)
        ]
        in_zone = [one for one in free if one.placement.zone == zone]
        faults = read_faults(self._faults_file)
        live = {instance_type: free, f"{instance_type}@{zone}": in_zone}
        of_pool = {f"{name}/{pool}": [one for one in some if _pool_of(one) == pool] for name, some in live.items()}
        limits = [granted(faults, name, requested, len(some)) for name, some in {**live, **of_pool}.items()]
        return min(limits)


def patch_launches(
    faults_file: Path,
    events: EventLog,
    reservations_file: Path | None = None,
    clock: Callable[[], float] = time.time,
) -> Capacity:
    """Make launches and starts of stopped machines need capacity, and launches follow their counts and tokens."""
    capacity = Capacity(faults_file, reservations_file, clock)
    _patch_run_instances(capacity, events)
    _patch_start_instances(capacity)
    _patch_reservations(capacity)
    patch_placement_groups()
    return capacity


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    from moto.ec2.exceptions import EC2ClientError

    try:
        yield
    except RefusedError as error:
        raise EC2ClientError(error.code, error.message) from None


def _reservation_of(instance: Any) -> str:
    return getattr(instance, "capacity_reservation_id", None) or ""


def _pool_of(instance: Any) -> str:
    return "spot" if instance.lifecycle == "spot" else "on-demand"


def used_of(backend: Any, reservation: Reservation) -> int:
    """Return how many places of a reservation are taken: a machine that shuts down has its place until it is gone."""
    gone = (TERMINATED[0], STOPPED[0])
    return sum(_reservation_of(one) == reservation.name and one.state not in gone for one in backend.all_instances())


def _patch_run_instances(capacity: Capacity, events: EventLog) -> None:
    """Launch up to MaxCount machines, once for each client token, and refuse below MinCount; moto launches MinCount."""
    from moto.core.responses import ActionResult
    from moto.ec2.models.instances import InstanceBackend
    from moto.ec2.responses.instances import InstanceResponse

    respond, launch = InstanceResponse.run_instances, InstanceBackend.run_instances

    def run_instances(self: Any) -> Any:
        param, backend = self._get_param, self.ec2_backend
        least = int(param("MinCount") or 1)
        most = int(param("MaxCount") or least)
        # Held over the count and the launch: what is free now must still be free when it is taken.
        with _launching, _answered():
            # Before the count: what was launched needs no capacity a second time.
            if (known := launched_before(self)) is not None:
                return ActionResult(known)
            wanted = _wanted(backend, param)
            check_interfaces(backend, wanted.instance_type, param("NetworkInterfaces") or [])
            check_group(backend, wanted.placement_group, wanted.zone)
            # As moto reads them: the name depends on how the client's version writes a request.
            tags = _instance_tags(param("TagSpecification", []) or param("TagSpecifications", []))

            def record(count: int, word: str, error: str | None) -> None:
                events.launch_request(
                    wanted.instance_type, most, count, param("SubnetId"), error=error, tags=tags, capacity=word
                )

            try:
                places, count = _given(capacity, backend, wanted, least, most)
            except RefusedError as error:
                record(0, wanted.target or wanted.pool, error.code)
                raise
            record(count, capacity_word(places.reserved[0][0] if places.reserved else None, wanted.pool), None)
            # moto makes a response object for each request: what is replaced here ends with this one.
            self._get_param = lambda key, *rest, **named: (
                str(count) if key == "MinCount" else param(key, *rest, **named)
            )
            answer = respond(self)
            _place(answer.result.instances, places, wanted)
            for instance in answer.result.instances:
                instance.rehearsal_group = wanted.placement_group
                instance.placement.group_name = wanted.placement_group or None
            return answer

    def backend_run_instances(self: Any, *args: Any, **named: Any) -> Any:
        if not named.get("subnet_id") and not named.get("nics"):
            named["subnet_id"] = _default_subnet(self)  # as EC2 does; moto would give an address of no subnet
        interfaces = named.get("nics") or []
        reservation = launch(self, *args, **{**named, "nics": primary(interfaces)})
        for instance in reservation.instances:
            set_state(instance, PENDING)
            instance.rehearsal_efa = efa_devices(interfaces)
        note_launched(self, named.get("client_token"), reservation)
        return reservation

    InstanceResponse.run_instances = run_instances
    InstanceBackend.run_instances = backend_run_instances


def _wanted(backend: Any, param: Any) -> Wanted:
    target = "CapacityReservationSpecification.CapacityReservationTarget"
    return Wanted(
        # EC2's default for a request that names no type.
        param("InstanceType") or "m1.small",
        _zone_of(backend, param("SubnetId"), param("NetworkInterfaces") or []),
        market=param("InstanceMarketOptions.MarketType") or "",
        target=param(f"{target}.CapacityReservationId") or "",
        group=param(f"{target}.CapacityReservationResourceGroupArn") or "",
        preference=param("CapacityReservationSpecification.CapacityReservationPreference") or "",
        placement_group=param("Placement.GroupName") or param("Placement.GroupId") or "",
    )


def _given(capacity: Capacity, backend: Any, wanted: Wanted, least: int, most: int) -> tuple[Places, int]:
    """Return where a launch gets its machines, and how many.

    Raises:
        RefusedError: fewer than it must have.
    """
    places = places_for(wanted, capacity.reservations(backend), lambda one: used_of(backend, one), capacity.clock())
    count = min(most, places.free)
    if count < most and places.otherwise:
        count += capacity.left(backend, wanted, most - count)
    if count < least:
        raise places.refusal or insufficient(wanted.instance_type)
    return places, count


def _place(instances: list[Any], places: Places, wanted: Wanted) -> None:
    """Put the new machines into the places that they got."""
    taken = [one for one, free in places.reserved for _ in range(free)]
    for index, instance in enumerate(instances):
        one = taken[index] if index < len(taken) else None
        instance.rehearsal_capacity = capacity_word(one, wanted.pool)
        # moto writes spot for whatever market there is.
        instance.lifecycle = wanted.market if wanted.market not in ("", "on-demand") else None
        if one is not None:
            instance.capacity_reservation_id = one.name


def _zone_of(backend: Any, subnet: str | None, interfaces: list[dict[str, Any]]) -> str:
    named = subnet or next((one["SubnetId"] for one in interfaces if one.get("SubnetId")), None)
    found = named or _default_subnet(backend)
    return str(backend.get_subnet(found).availability_zone) if found else ""


def _instance_tags(specifications: list[dict[str, Any]]) -> dict[str, str]:
    """Return the tags that a request has for its instances."""
    of_instances = [row for row in specifications if row.get("ResourceType") == "instance"]
    return {tag["Key"]: tag.get("Value", "") for row in of_instances for tag in row.get("Tag") or row.get("Tags") or []}


def _default_subnet(backend: Any) -> str | None:
    subnets = backend.describe_subnets(filters={"default-for-az": "true"})
    return next((str(subnet.id) for subnet in subnets), None)


def _patch_start_instances(capacity: Capacity) -> None:
    """Let a stopped machine need capacity too, and boot again."""
    from moto.ec2.models.instances import InstanceBackend

    start = InstanceBackend.start_instances

    def start_instances(self: Any, instance_ids: list[str]) -> Any:
        for instance in self.get_multi_instances_by_id(instance_ids):
            wanted = Wanted(instance.instance_type, instance.placement.zone, market=instance.lifecycle or "")
            with _answered():
                if not _reservation_of(instance) and not capacity.left(self, wanted, 1):
                    raise insufficient(instance.instance_type)
                _check_place(capacity, self, instance)
        started = start(self, instance_ids)
        for instance, previous in started:
            # EC2 takes the start of a running machine for done; it must not boot a second time.
            if previous.name != RUNNING[0]:
                set_state(instance, PENDING)
        return started

    InstanceBackend.start_instances = start_instances


def _check_place(capacity: Capacity, backend: Any, instance: Any) -> None:
    """Refuse to start a stopped machine whose reservation is over or full (capacity-blocks-using.html)."""
    if not (name := _reservation_of(instance)) or instance.state in LIVE:
        return
    wanted = Wanted(instance.instance_type, instance.placement.zone, instance.lifecycle or "", target=name)
    places = places_for(wanted, capacity.reservations(backend), lambda one: used_of(backend, one), capacity.clock())
    if not places.free:
        raise places.refusal or insufficient(instance.instance_type)


def _patch_reservations(capacity: Capacity) -> None:
    """Answer DescribeCapacityReservations, which moto does not know."""
    from moto.core.responses import ActionResult
    from moto.ec2.responses import EC2Response

    def describe_capacity_reservations(self: Any) -> Any:
        self.error_on_dryrun()
        backend, now_s = self.ec2_backend, capacity.clock()
        zones = {zone.name: zone.zone_id for zone in backend.describe_availability_zones()}
        place = {"account": self.current_account, "region": self.region}
        all_of_them = {
            row["CapacityReservationId"]: row
            for one in capacity.reservations(backend)
            for row in with_lender(
                one, described(one, used_of(backend, one), now_s, zone_id=zones.get(one.zone, ""), **place), now_s
            )
        }
        wanted = self._get_param("CapacityReservationIds") or self._get_param("CapacityReservationId") or []
        with _answered():
            for name in wanted:
                if name not in all_of_them:
                    text = f"The specified Capacity Reservation ID '{name}' does not exist."
                    raise RefusedError("InvalidCapacityReservationId.NotFound", text)
            rows = [row for name, row in all_of_them.items() if not wanted or name in wanted]
            rows = matching(rows, self._filters_from_querystring())
        return ActionResult({"CapacityReservations": rows})

    EC2Response.describe_capacity_reservations = describe_capacity_reservations


def ends_with_its_reservation(one: Reservation) -> bool:
    """Return whether EC2 ends the machines of a reservation at its end; in others they run on."""
    return one.kind in (ReservationKind.BLOCK, ReservationKind.INTERRUPTIBLE)
