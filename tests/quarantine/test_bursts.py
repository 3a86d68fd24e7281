"""A burst of bad machines counts once; launches that the cloud refuses permanently; zones that are not known."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from botocore import exceptions
from hypothesis import given
from hypothesis import strategies as st
from ray.autoscaler.node_launch_exception import NodeLaunchException

from accel_scaling.catalog.launch_errors import FOR_GOOD, PASSING, Category, Failure
from accel_scaling.cluster.policies import QuarantinePolicy
from accel_scaling.providers.aws.launch_failures import failure_of
from accel_scaling.providers.base.zone_launch import Launch, Workers, gated
from accel_scaling.quarantine import ledger
from accel_scaling.quarantine.machine import Reason
from accel_scaling.quarantine.record import EVERY_ZONE, Cause, Record
from tests.support.quarantine import A, B, Head

POLICY = QuarantinePolicy()
LIES = Reason("DriverMissing", "promised 8; 0 seen")


@pytest.mark.parametrize("size", [2, 3, 4, 8, 100])
def test_a_burst_of_bad_machines_is_one_quarantine_of_five_minutes_whatever_its_size(size: int, head: Head) -> None:
    nodes = [f"i-{number}" for number in range(size)]
    head.gate.check("p4d", [A])
    with head.gate.launching("p4d", size):
        head.gate.launched("p4d", A, nodes)
    for node in nodes:
        head.now_s += 1
        head.gate.refused(node, "p4d", A, "DriverMissing", "promised 8; 0 seen")
        head.gate.gone(node)
    (quarantine,) = head.gate._store.read().record("p4d").quarantines
    assert quarantine.times == 1
    assert quarantine.until_s - quarantine.since_s == POLICY.first_s


def test_a_machine_that_was_asked_for_before_the_quarantine_and_fails_after_it_prolongs_nothing(head: Head) -> None:
    head.gate.check("p4d", [A])
    with head.gate.launching("p4d", 3):
        head.gate.launched("p4d", A, ["one", "two", "late"])
    for node in ("one", "two"):
        head.gate.refused(node, "p4d", A, "DriverMissing", "none")
    head.now_s += 400  # the quarantine has ended, the node type is on trial
    head.gate.refused("late", "p4d", A, "DriverMissing", "none")
    (quarantine,) = head.gate._store.read().record("p4d").quarantines
    assert quarantine.times == 1
    head.lies("trial")
    (quarantine,) = head.gate._store.read().record("p4d").quarantines
    assert quarantine.times == 2


def test_a_burst_over_two_zones_closes_both_for_five_minutes() -> None:
    record = Record((A, B))
    for number, zone in enumerate([A, B, A, B, A, B]):
        record = ledger.refused(record, POLICY, zone, LIES, number, asked_s=0)
    (quarantine,) = record.quarantines
    assert (quarantine.zone, quarantine.times) == (EVERY_ZONE, 1)
    assert quarantine.until_s == 1 + POLICY.first_s, "from the second, which said that it is all zones"


def fail(record: Record, zone: str, now_s: float, code: str = "InvalidGroup.NotFound") -> Record:
    return ledger.launch_error(record, POLICY, zone, Reason(code, "it does not exist"), now_s)


def test_a_launch_that_is_refused_permanently_three_times_in_a_row_is_quarantined_and_longer_each_time() -> None:
    record = fail(fail(Record((A,)), A, 0), A, 5)
    assert record.quarantines == ()
    record = fail(record, A, 10)
    (quarantine,) = record.quarantines
    assert (quarantine.cause, quarantine.reason) == (Cause.LAUNCH_ERROR, "InvalidGroup.NotFound")
    assert quarantine.until_s - quarantine.since_s == POLICY.sold_out_first_s
    record = fail(record, A, quarantine.until_s)
    (quarantine,) = record.quarantines
    assert (quarantine.times, quarantine.until_s - quarantine.since_s) == (2, 2 * POLICY.sold_out_first_s)


def test_one_success_forgets_the_launches_that_were_refused() -> None:
    record = ledger.launched(fail(fail(Record((A,)), A, 0), A, 5), A)
    assert fail(fail(record, A, 10), A, 15).quarantines == ()
    record = fail(fail(fail(record, A, 10), A, 15), A, 20)
    assert ledger.launched(record, A) == Record((A,))


def test_a_wrong_subnet_leaves_the_other_zone_open_and_a_wrong_node_config_closes_it_after_one_more() -> None:
    record = Record((A, B))
    for now_s in (0, 5, 10):
        record = fail(record, A, now_s)
    assert record.open_zones([A, B], 10) == [B]
    record = fail(record, B, 15)
    assert record.open_zones([A, B], 15) == []
    assert record.quarantined(15)


@pytest.mark.parametrize(
    ("category", "closes"),
    [
        (Category.BAD_REQUEST, True),
        (Category.PERMISSION, True),
        (Category.UNKNOWN, True),
        (Category.THROTTLED, False),
        (Category.UNAVAILABLE, False),
        (Category.CONNECTION, False),
    ],
)
def test_what_the_cloud_will_say_again_closes_a_node_type_and_throttling_and_outages_do_not(
    category: Category, closes: bool, head: Head
) -> None:
    asked = 0

    def launch(zones: list[str]) -> Launch:
        nonlocal asked
        asked += 1
        failure = Failure(category, "Code", "The cloud's sentence.")
        return Launch({}, failure, zones[:1], {zones[0]: failure})

    for _ in range(12):  # a minute
        head.tick()
        if head.most("p4d"):
            gated(head.gate, Workers("p4d", 1), [A], launch)
        head.now_s += 5
    assert asked == (3 if closes else 12)
    if closes:
        with pytest.raises(NodeLaunchException, match="launch error: Code in us-west-2a"):
            head.gate.check("p4d", [A])
        assert head.most("p4d") == 0, "v2 gives the demand to another node type"


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectTimeoutError(endpoint_url="https://ec2"),
        exceptions.EndpointConnectionError(endpoint_url="https://ec2"),
        exceptions.ReadTimeoutError(endpoint_url="https://ec2"),
        exceptions.ConnectionClosedError(endpoint_url="https://ec2"),
        exceptions.SSLError(endpoint_url="https://ec2", error="x"),
        exceptions.ProxyConnectionError(proxy_url="http://proxy"),
        exceptions.NoCredentialsError(),
        ConnectionResetError("reset"),
        TimeoutError("timed out"),
    ],
)
def test_an_ec2_that_does_not_answer_is_no_refusal_and_is_not_asked_again_at_once(error: Exception) -> None:
    """A launch that was sent and not answered may have been carried out."""
    failure = failure_of(error)
    assert failure.code == type(error).__name__
    assert failure.category is Category.CONNECTION
    assert failure.category not in PASSING | FOR_GOOD


def test_a_request_that_boto_refuses_to_send_is_refused_permanently() -> None:
    assert failure_of(exceptions.ParamValidationError(report="MaxPrice")).category in FOR_GOOD


def test_over_ten_minutes_a_launch_that_is_refused_permanently_is_asked_for_a_few_times(head: Head) -> None:
    asked = 0
    for _ in range(120):
        head.tick()
        if head.most("p4d"):
            head.gate.check("p4d", [A])
            head.gate.failed("p4d", A, "ParamValidationError", "MaxPrice", sold_out=False, for_good=True)
            asked += 1
        head.now_s += 5
    assert asked == 6, "three, and after 1, 2 and 4 minutes one each"


@pytest.mark.parametrize("asked", [[""], [A], [A, B], ["", B]])
@pytest.mark.parametrize("counted", ["", A])
def test_strikes_and_checks_meet_whether_or_not_either_knows_the_zone(
    asked: list[str], counted: str, head: Head
) -> None:
    launches = 0
    for number in range(6):
        head.tick()
        if head.most("p4d") == 0:
            break
        try:
            zone = head.gate.check("p4d", asked)[0]
        except NodeLaunchException:
            break
        with head.gate.launching("p4d", 1):
            head.gate.launched("p4d", zone, [f"i-{number}"])
        real = zone if zone == B else counted
        head.gate.refused(f"i-{number}", "p4d", real, "DriverMissing", "none")
        head.gate.gone(f"i-{number}")
        launches += 1
    assert launches <= 3
    assert head.gate._store.read().record("p4d").quarantined(head.now_s)


def test_a_quarantine_that_was_written_with_the_real_zone_holds_where_zones_are_no_longer_known(head: Head) -> None:
    head.lies("one")
    head.lies("two")
    with pytest.raises(NodeLaunchException):
        head.gate.check("p4d", [""])
    head.tick()
    assert head.most("p4d") == 0
    head.now_s += 301
    assert head.gate.check("p4d", [""]) == [""]
    head.tick()
    assert head.most("p4d") == 1, "on trial"


def test_a_quarantine_that_was_written_without_a_zone_holds_in_each_zone(head: Head) -> None:
    head.lies("one", "")
    head.lies("two", "")
    with pytest.raises(NodeLaunchException):
        head.gate.check("p4d", [A, B])
    head.now_s += 301
    head.gate.confirmed("three", "p4d", A, "Confirmed")
    assert head.gate._store.read().record("p4d").quarantines == ()


zones = st.sampled_from(["", A, B])


@given(st.lists(st.tuples(zones, zones), min_size=2, max_size=12), st.lists(zones, min_size=1, max_size=3, unique=True))
def test_no_mixture_of_known_and_unknown_zones_lets_a_type_be_launched_for_ever(
    machines: list[tuple[str, str]], asked: list[str]
) -> None:
    record = Record()
    launches = 0
    for (_, counted), now_s in zip(itertools.cycle(machines), range(40), strict=False):
        record = ledger.before_launch(record, POLICY, asked, now_s)
        open_zones = record.open_zones(asked, now_s)
        if not open_zones:
            break
        launches += 1
        zone = open_zones[0] or counted
        record = ledger.refused(record, POLICY, zone, LIES, now_s, asked_s=now_s)
    assert launches <= 4


@given(st.data())
def test_times_never_grow_faster_than_quarantines_end(data: Any) -> None:
    record, now_s, began = Record((A,)), 0.0, 0
    for _ in range(data.draw(st.integers(1, 40))):
        now_s += data.draw(st.floats(0, 400))
        asked_s = now_s - data.draw(st.floats(0, 1200))
        before = record.quarantines
        record = ledger.refused(record, POLICY, A, LIES, now_s, asked_s=asked_s)
        if record.quarantines != before and record.quarantines:
            (quarantine,) = record.quarantines
            assert quarantine.since_s == now_s
            assert not before or before[0].until_s <= now_s
            began += 1
            assert quarantine.times <= began
