"""Random sequences over capacity types on EC2: nothing is bought outside of the user's order, nor twice, nor leaked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel_scaling.cluster import machine_lists
from accel_scaling.quarantine.gate import Gate
from accel_scaling.testing.ec2.launches import used_of
from accel_scaling.testing.faults import Fault, write_faults
from accel_scaling.testing.reservations import read_reservations
from tests.providers.aws.test_sequences import EmulatedEC2
from tests.support.aws_provider import EC2, A, B, ec2_in_process, node_config, provider_of
from tests.support.capacity_ledger import GRANTED, OPEN, REFUSED, Request, check_order
from tests.support.launch_sequences import EXAMPLES, Sequence, Step, sequence

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MACHINES = FIRST, SECOND = ("g5.xlarge", "g6.xlarge")  # a list of two; each reservation is for one of them
ORDER = [f"{way} {machine}" for way in ("reserved cr-0aa", "block cr-0bb", "spot", "on-demand") for machine in MACHINES]
CAPACITY = {"a10g": [{"reserved": "cr-0aa"}, {"block": "cr-0bb"}, "spot", "on-demand"]}
RESERVATIONS = (
    f"cr-0aa:count=2,zone={A},type={FIRST}",
    f"cr-0bb:count=2,zone={B},type={SECOND},begins=1h,ends=24h,kind=block",
)
ZONES = {f"reserved cr-0aa {FIRST}": {A}, f"block cr-0bb {SECOND}": {B}}
OF_OTHER_TYPE = {f"reserved cr-0aa {SECOND}", f"block cr-0bb {FIRST}"}
SOLD_OUT = {"InsufficientInstanceCapacity", "ReservationCapacityExceeded"}
# Answers of which nobody knows whether EC2 has launched.
UNKNOWN = {"RequestLimitExceeded", "Unavailable", "InternalError", "Mystery"}


class EC2WithReservations(EmulatedEC2):
    """EC2 with a node type of four capacity types and two machine types, and the account of what was asked."""

    kinds = ("a10g",)
    calls = (*EmulatedEC2.calls, "DescribeCapacityReservations")
    launch_calls = (*EmulatedEC2.launch_calls, "DescribeCapacityReservations")

    def begin(self, cluster: str) -> None:
        super().begin(cluster)
        self.ec2.now_s = 1_000_000.0
        self.ec2.reserve(*RESERVATIONS)
        self.reserved = read_reservations(self.ec2.reservations_file)
        self.requests: list[Request] = []
        call = EC2.call

        def recording(made: Any, client: Any, model: Any, request: Any, context: Any) -> Any:
            if model.name != "RunInstances":
                return call(self.ec2, made, client, model, request, context)
            unusable, before = self.unusable(), len(self.ec2.launches)
            try:
                http, answer = call(self.ec2, made, client, model, request, context)
            except Exception:
                self.record(request, self.lost(request, before), "", unusable)
                raise
            code = (answer.get("Error") or {}).get("Code", "")
            outcome = GRANTED if not code else self.lost(request, before) if code in UNKNOWN else REFUSED
            self.record(request, outcome, code, unusable)
            return http, answer

        self.ec2.call = recording  # type: ignore[method-assign]

    def lost(self, request: Any, before: int) -> str:
        """Return what became of a request without an answer: whose machines all came, a list of machines shows it."""
        token, carried_out = request["body"]["ClientToken"], self.ec2.launches[before:]
        if any(one.token == token and one.outcome == GRANTED for one in self.requests):
            return GRANTED  # it was carried out before, and its repetition launches nothing
        return GRANTED if carried_out and carried_out[-1].granted == carried_out[-1].count else OPEN

    def record(self, request: Any, outcome: str, code: str, unusable: frozenset[str]) -> None:
        """Note a request by the words that EC2 has in it."""
        body = request["body"]
        target = body.get("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId", "")
        market = body.get("InstanceMarketOptions.MarketType", "")
        kind = "block" if market == "capacity-block" else "reserved" if target else market or "on-demand"
        zone = {subnet: zone for zone, subnet in self.ec2.subnets.items()}[body["SubnetId"]]
        way = " ".join(word for word in (kind, target, body["InstanceType"]) if word)
        self.requests.append(Request(way, zone, outcome, code, body["ClientToken"], unusable))

    def unusable(self) -> frozenset[str]:
        """Return the reservations that take no machine now, by EC2's own count and clock."""
        backend, full = self.ec2._backend(), set(OF_OTHER_TYPE)
        for one in self.reserved:
            left = one.count - used_of(backend, one)
            soon = one.ends_at_s is not None and self.ec2.now_s > one.ends_at_s - 2 * 3600
            if left <= 0 or not one.has_begun(self.ec2.now_s) or soon:
                full.update(key for key in ORDER if f" {one.name} " in key)
        return frozenset(full)

    def provider(self, *, cache_stopped_nodes: bool, zones: int) -> Any:
        del zones
        listed = {machine_lists.MACHINES: {"a10g": {SECOND: {"InstanceType": SECOND}}}}
        made = provider_of(self.cluster, cache_stopped_nodes=cache_stopped_nodes, capacity=CAPACITY, **listed)
        # Not in an autoscaler: no place is in quarantine, so each launch tries all that it may. Its clock is EC2's.
        made.gate = Gate({}, None, Path("none.json"), lambda: self.ec2.now_s)
        return made

    def node_config(self, kind: str, zones: int) -> dict[str, Any]:
        del kind, zones  # both, or the block's zone would have no subnet
        return node_config(self.ec2, FIRST, (A, B))

    def sold_out(self, zones: set[str]) -> None:
        """Make spot sold out in these zones, and what is on demand in the first of them; of the second type, less."""
        names = [f"{FIRST}@{zone}/spot" for zone in zones]
        if A in zones:
            names += [f"{FIRST}@{A}/on-demand", f"{SECOND}@{A}/spot"]
        if zones == {A, B}:
            names += [f"{FIRST}@{B}/on-demand", f"{SECOND}@{B}/spot"]
        write_faults(self.ec2.faults_file, [Fault.no_capacity(name) for name in names])


class OrderedSequence(Sequence):
    """A sequence whose launches are compared with the user's order."""

    at: EC2WithReservations

    def create(self, kind: int, count: int, at_once: int) -> None:
        before = len(self.at.requests)
        super().create(kind, count, at_once)
        if at_once == 1:  # of two launches at once, nobody could say whose a request is
            made, earlier = self.at.requests[before:], {one.token for one in self.at.requests[:before]}
            check_order(ORDER, lambda way: ZONES.get(way, {A, B}), made, SOLD_OUT, earlier)

    def time_passes(self, seconds: int) -> None:
        self.at.ec2.now_s += seconds


def with_time(steps: list[Step], seed: int) -> list[Step]:
    """Return the steps with time between them: the block begins after an hour, and ends after a day."""
    draw = random.Random(seed)
    waits: list[Step] = [("time_passes", {"seconds": draw.choice((20, 40, 3600, 80_000))}) for _ in steps]
    return [step for pair in zip(waits, steps, strict=True) for step in pair]


@pytest.fixture(name="region", scope="module")
def region_fixture() -> Iterator[EC2]:
    """One EC2 for all sequences."""
    from ray.autoscaler._private.aws import node_provider

    with pytest.MonkeyPatch.context() as patch, ec2_in_process() as ec2:
        patch.setattr(node_provider, "TAG_BATCH_DELAY", 0.0)
        patch.setattr(node_provider, "LIST_RETRY_DELAY_SEC", 0.0)
        yield ec2


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(cache=st.booleans(), seed=st.integers(0, 2**63), length=st.integers(4, 16))
def test_nothing_is_bought_outside_of_the_order_whatever_fails(
    region: EC2, cache: bool, seed: int, length: int
) -> None:
    run = OrderedSequence(EC2WithReservations(region), cache=cache, zones=2)
    run.run(with_time(sequence(seed, length), seed))
