"""The places of a node type with several capacity types: each has its own quarantine, and the user's order stays."""

from __future__ import annotations

import pytest

from accel_scaling import _ray
from accel_scaling.quarantine.place import capacity_in, everywhere, meet, place_of, place_text, zone_in
from tests.support.quarantine import A, B, Head, head_fixture

__all__ = ["head_fixture"]

RESERVED, SPOT, ON_DEMAND = "reserved cr-1", "spot", "on-demand"
PLACES = [place_of(zone, capacity) for capacity in (RESERVED, SPOT, ON_DEMAND) for zone in (A, B)]


def test_a_place_is_a_zone_or_a_capacity_type_in_it() -> None:
    assert (zone_in(PLACES[0]), capacity_in(PLACES[0])) == (A, RESERVED)
    assert (zone_in(A), capacity_in(A)) == (A, "")
    assert place_of("", "reserved arn:aws:x:group/mine").partition("/")[2] == "reserved arn:aws:x:group/mine"
    assert [place_text(one) for one in (A, PLACES[2], everywhere(PLACES[2]), everywhere(A))] == [
        A,
        f"{A} (spot)",
        "all zones (spot)",
        "all zones",
    ]


def test_a_zone_alone_meets_all_of_its_capacity_types_and_two_types_do_not_meet() -> None:
    spot, on_demand = place_of(A, SPOT), place_of(A, ON_DEMAND)
    assert meet(A, spot)
    assert meet("*", spot)
    assert meet("*/spot", spot)
    assert meet("/spot", spot), "a zone without a name may be any"
    assert not meet(spot, on_demand)
    assert not meet("*/spot", on_demand)
    assert not meet(spot, place_of(B, SPOT))


def test_spot_that_is_sold_out_leaves_what_is_on_demand_open(head: Head) -> None:
    head.gate.check("p4d", PLACES)
    for zone in (A, B):
        head.gate.failed("p4d", place_of(zone, SPOT), "NoCapacity", "none", sold_out=True)
    assert head.gate.check("p4d", PLACES) == [one for one in PLACES if capacity_in(one) != SPOT]
    assert head.most("p4d") == 4, "it can be launched in other ways"


def test_machines_that_are_refused_close_the_zone_for_all_capacity_types(head: Head) -> None:
    head.gate.check("p4d", PLACES)
    for node in ("i-1", "i-2"):
        head.gate.launched("p4d", place_of(A, SPOT), [node])
        head.gate.refused(node, "p4d", A, "DriverMissing", "promised 8; 0 seen")
    assert head.gate.check("p4d", PLACES) == [one for one in PLACES if zone_in(one) == B]


def test_a_doubtful_zone_comes_last_among_its_capacity_type_only(head: Head) -> None:
    head.gate.check("p4d", PLACES)
    head.gate.launched("p4d", place_of(A, RESERVED), ["i-1"])
    head.gate.refused("i-1", "p4d", A, "DriverMissing", "promised 8; 0 seen")
    expected = [place_of(zone, capacity) for capacity in (RESERVED, SPOT, ON_DEMAND) for zone in (B, A)]
    assert head.gate.check("p4d", PLACES) == expected


def test_a_reservation_that_is_refused_permanently_says_nothing_of_spot(head: Head) -> None:
    for zone in (A, A, A, B, B, B):
        head.gate.check("p4d", PLACES)
        head.gate.failed(
            "p4d", place_of(zone, RESERVED), "Invalid", "no such reservation", sold_out=False, for_good=True
        )
    assert {capacity_in(one) for one in head.gate.check("p4d", PLACES)} == {SPOT, ON_DEMAND}


def test_a_block_that_has_not_begun_is_open_the_second_it_begins_and_no_wait_doubles(head: Head) -> None:
    block = place_of(A, "block cr-9")
    for _ in range(3):
        head.gate.check("p4d", [block])
        head.gate.not_yet("p4d", block, "BlockNotBegun", "it begins soon", head.now_s + 60)
        assert head.most("p4d") == 0, "nothing is asked for until then"
        with pytest.raises(_ray.node_launch_exception(), match="not yet: BlockNotBegun"):
            head.gate.check("p4d", [block])
        head.now_s += 60
        head.tick()
        assert head.most("p4d") == 4
        assert head.gate.check("p4d", [block]) == [block]


def test_a_reservation_that_is_in_use_is_a_warning_once_an_hour_and_at_each_change(
    head: Head, caplog: pytest.LogCaptureFixture
) -> None:
    place, free = place_of(A, "reserved cr-9"), "0 free of 4"

    def logged_in(minutes: int) -> int:
        caplog.clear()
        for _ in range(minutes):
            head.gate.not_yet("p4d", place, "ReservationInUse", f"{free} places", head.now_s + 60)
            head.now_s += 60
        assert {record.levelname for record in caplog.records} <= {"WARNING"}
        return caplog.text.count(f"{free} places")

    assert logged_in(60) == 1
    assert logged_in(60) == 1
    free = "1 free of 4"
    assert logged_in(10) == 1
    free = "0 free of 4"
    assert logged_in(10) == 1


def test_a_machine_remembers_how_it_was_bought_also_after_a_restart(head: Head) -> None:
    head.gate.launched("p4d", place_of(A, RESERVED), ["i-1"])
    head.restart()
    machine = head.gate.machines.get("i-1")
    assert machine is not None
    assert (machine.zone, machine.capacity) == (A, RESERVED)
