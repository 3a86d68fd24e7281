"""Launches on EC2: stopped machines first, new ones zone after zone, and AWS's reason where machines are missing."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray
from accel_scaling.catalog.launch_errors import ELSEWHERE, Category, Failure
from accel_scaling.cluster.capacity import CAPACITY
from accel_scaling.providers.aws import placement
from accel_scaling.providers.aws.capacity import with_capacity
from accel_scaling.providers.aws.launch_failures import CallFailedError, Tries
from accel_scaling.providers.aws.network import in_subnets
from accel_scaling.providers.aws.stopped_machines import Started
from accel_scaling.providers.base.capacity_launch import Offer, offers
from accel_scaling.providers.base.zone_launch import Launch, Workers, gated, over_zones
from accel_scaling.quarantine.place import place_text, zone_in

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from accel_scaling.cluster.capacity import CapacityEntry
    from accel_scaling.providers.aws.reserved_launch import ReservedLaunches
    from accel_scaling.providers.aws.run_instances import NewMachines, Request
    from accel_scaling.providers.aws.stopped_machines import StoppedMachines
    from accel_scaling.providers.aws.subnet_zones import SubnetZones
    from accel_scaling.quarantine.gate import Gate


class MachineLaunch:
    """One launch of like machines; what came is kept, whatever becomes of the rest."""

    def __init__(
        self,
        new: NewMachines,
        stopped: StoppedMachines | None,
        zones: SubnetZones,
        gate: Gate,
        known: Collection[str],
        *,
        reserved: ReservedLaunches,
        order: Sequence[CapacityEntry] = (),
        machines: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        """Launch with the parts of one provider.

        Args:
            new: asks for new machines.
            stopped: starts stopped ones; None where they are not kept.
            zones: of subnets and machines.
            gate: which zones are in quarantine.
            known: the machines that Ray has listed.
            reserved: shapes launches into reservations.
            order: the node type's capacity types, in the order to try them; none where its node_config alone says how
                its machines are bought.
            machines: the node_config of each machine type of a list; none where the node type has one machine type.
        """
        self._order, self._reserved, self._machines = order, reserved, machines or {}
        self._names: Sequence[str] = ()  # the zones
        self._places: dict[str, str] = {}  # machine -> the place that it was launched in
        self._new = new
        self._stopped = stopped
        self._zones = zones
        self._gate = gate
        self._known = known
        self._made: dict[str, Any] = {}
        self.created: set[str] = set()  # those of it that were not there before
        self._undecided: Request | None = None

    def run(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        """Launch ``count`` machines, by each capacity and machine type, zone after zone in the order of ``SubnetIds``.

        Raises:
            NodeLaunchException: AWS's code and message, and how many came; those are kept.
            click.ClickException: the same, for the head node, which `ray up` launches.
        """
        by_zone = self._zones.by_zone(node_config.get("SubnetIds") or [])
        zones = list(by_zone) or [""]  # subnets whose zones EC2 did not say count as one zone without a name
        self._names = zones

        key = f"provider.{CAPACITY}.{_ray.node_type_of(tags)}"
        ways = offers(
            self._order, zones, node_config, tags, functools.partial(with_capacity, key), machines=self._machines
        )
        ways = self._reserved.in_their_zones(ways)

        def launch(allowed: list[str]) -> Launch:
            open_zones = {zone_in(place) for place in allowed}
            placed = {place: (ways[place], by_zone.get(ways[place].zone, ())) for place in allowed}
            return self._in_zones(placed, set(zones) - open_zones, tags, count)

        if _ray.is_head(tags):
            result = launch(list(ways))
        else:
            result = gated(self._gate, Workers(_ray.node_type_of(tags), count), list(ways), launch)
        if len(self._made) < count:
            raise self._shortfall(result, node_config, tags, count)
        return self._made

    def _in_zones(
        self,
        placed: Mapping[str, tuple[Offer, Sequence[str]]],
        closed: Collection[str],
        tags: dict[str, str],
        count: int,
    ) -> Launch:
        earlier = self._new.settle(tags, count, self._known)
        self._keep(earlier.machines)
        if earlier.undecided:
            self._undecided = earlier.undecided
            return Launch(self._by_zone(earlier.machines), earlier.failure, [])
        try:
            started = self._start_stopped(closed, tags, count - len(self._made))
        except CallFailedError as error:
            return Launch(self._by_zone(earlier.machines), error.failure, [])
        self._made.update(started.machines)
        self._zones.learn(started.machines.values())
        missing = count - len(self._made) - len(started.unknown)

        def try_zone(place: str, missing: int) -> tuple[list[str], Failure | None]:
            return self._in_place(*placed[place], missing)

        result = over_zones(placed, missing, try_zone) if missing > 0 else Launch({}, None, [])
        new = {name: self._made[name] for name in (*earlier.machines, *result.nodes)}
        return replace(
            result,
            made=self._by_zone(new),
            failure=result.failure or started.failure,
            started=self._by_zone(started.machines),
        )

    def _start_stopped(self, closed: Collection[str], tags: dict[str, str], count: int) -> Started:
        # What is started again would come before the first capacity type of an order: there, none is kept.
        if self._stopped is None or self._order or count <= 0:
            return Started()
        return self._stopped.start(tags, count, lambda zone: zone not in closed, Tries())

    def _in_place(self, way: Offer, subnets: Sequence[str], count: int) -> tuple[list[str], Failure | None]:
        """Launch in one place, as many as its reservation has places for, where it is in one."""
        shaped = self._reserved.shaped(way, count)
        if shaped.count <= 0:
            return [], shaped.failure
        node_config = self._reserved.node_config(way)
        made, failure = self._from_ec2(replace(way, node_config=node_config), subnets, shaped.count)
        return made, self._reserved.judged(way, failure) or shaped.failure

    def _from_ec2(self, way: Offer, subnets: Sequence[str], count: int) -> tuple[list[str], Failure | None]:
        """Launch in one zone, in one of its subnets after another; a short launch is asked again.

        EC2 gives no reason when it launches fewer than asked (MinCount is 1), only when it launches none; so the rest
        is asked for once more, and what EC2 answers then is the reason.
        """
        # One series of waits for the whole zone, in however many pieces the machines come.
        tries, made = Tries(), list[str]()
        failure: Failure | None = None
        for node_config in in_subnets(placement.in_zone(way.node_config, way.zone, self._names), subnets):
            while len(made) < count:
                answer = self._new.ask(self._new.request(node_config, way.tags, count - len(made)), tries)
                self._keep(answer.machines)
                if way.place != way.zone:
                    self._places.update((name, way.place) for name in answer.machines)
                made += answer.machines
                failure = answer.failure
                if answer.undecided:
                    self._undecided = answer.undecided
                    # Nobody knows whether there will be more: they are not bought elsewhere.
                    return made, failure and replace(failure, category=Category.UNAVAILABLE)
                if failure is not None:
                    break
            # Another subnet of the zone may have free addresses; a zone without a name may be several.
            if failure is None or failure.category not in ELSEWHERE:
                break
        return made, None if len(made) >= count else failure

    def _keep(self, machines: Mapping[str, Any]) -> None:
        self.created.update(machines)
        self._made.update(machines)
        self._zones.learn(machines.values())

    def _by_zone(self, machines: Mapping[str, Any]) -> dict[str, list[str]]:
        zones: dict[str, list[str]] = {}
        for name in machines:
            zones.setdefault(self._places.get(name) or self._zones.of_machine(name), []).append(name)
        return zones

    def _shortfall(self, launch: Launch, node_config: dict[str, Any], tags: dict[str, str], count: int) -> Exception:
        machine_type, failure = " or ".join(self._machines) or node_config.get("InstanceType", "?"), launch.failure
        tried = f" (tried in {', '.join(map(place_text, launch.zones))})" if any(launch.zones) else ""
        later = ""
        if self._undecided is not None:
            later = f"; {self._undecided.count} of them may still start, and are listed then"
        if failure is None or _ray.is_head(tags):
            later = later and "; it may still start: `ray up` then finds it, and `ray down` terminates it"
            return click.ClickException(
                f"the head node ({machine_type}) could not be launched: {failure}{tried}{later}"
            )
        made = len(self._made)
        came = f"{made} of {count} x {machine_type} launched and kept; for the rest AWS says: "
        exception: Exception = _ray.node_launch_exception()(
            failure.code, f"{came if made else f'{machine_type}: '}{failure.message}{tried}{later}", sys.exc_info()
        )
        return exception
