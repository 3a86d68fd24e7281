"""The ledger: strikes, zones, trials, and how long a node type is quarantined. Clocks are given."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling.cli.main import main
from accel_scaling.cluster.policies import QuarantinePolicy, confirmation_policy, quarantine_policy
from accel_scaling.errors import ClusterConfigError
from accel_scaling.quarantine import ledger
from accel_scaling.quarantine.ledger import Ledger
from accel_scaling.quarantine.machine import Reason
from accel_scaling.quarantine.record import EVERY_ZONE, Cause, Record
from accel_scaling.quarantine.store import BrokenStateError, Store, ledger_from, to_json

POLICY = QuarantinePolicy()
A, B, C = "us-west-2a", "us-west-2b", "us-west-2c"
LIES = Reason("DriverMissing", "promised 8; 0 seen")
DRY = Reason("InsufficientInstanceCapacity", "none left")


def refused(record: Record, *zones: str, now_s: float = 0.0) -> Record:
    for zone in zones:
        record = ledger.refused(record, POLICY, zone, LIES, now_s)
    return record


def test_one_broken_machine_does_not_make_a_type_bad() -> None:
    assert refused(Record((A,)), A).quarantines == ()


def test_the_second_of_four_boots_that_fails_is_the_last_strike() -> None:
    record = refused(Record((A,)), A)
    for _ in range(2):
        record = ledger.confirmed(record, A)
    record = refused(record, A, now_s=100)
    (quarantine,) = record.quarantines
    assert (quarantine.zone, quarantine.reason, quarantine.until_s - quarantine.since_s) == (
        A,
        "DriverMissing",
        POLICY.first_s,
    )
    assert record.quarantined(100)


def test_a_strike_that_is_four_boots_old_does_not_count() -> None:
    record = refused(Record((A,)), A)
    for _ in range(3):
        record = ledger.confirmed(record, A)
    assert refused(record, A).quarantines == ()


def test_a_zone_that_lies_leaves_the_others_open() -> None:
    record = refused(Record((A, B)), A, A)
    assert record.open_zones([A, B], 0) == [B]
    assert not record.quarantined(0)


def test_what_fails_in_a_second_zone_too_is_quarantined_in_every_one_after_two_machines() -> None:
    record = refused(Record((A, B, C)), A)
    assert record.open_zones([A, B, C], 0) == [B, C, A], "the next machine tells whether it is the zone"
    record = refused(record, B)
    assert [quarantine.zone for quarantine in record.quarantines] == [EVERY_ZONE]
    assert record.quarantined(0)


def test_a_zone_with_good_machines_keeps_its_place_and_two_bad_ones_do_not_quarantine_its_type_everywhere() -> None:
    record = refused(ledger.confirmed(Record((A, B)), A), A)
    assert record.open_zones([A, B], 0) == [A, B], "a reservation may be there"
    record = refused(record, B)
    assert record.quarantines == (), "its machines are good, and two are not: each zone is judged by its own"


def test_three_strikes_in_two_zones_are_three() -> None:
    three = QuarantinePolicy(strikes=3)
    record = Record((A, B))
    for zone in (A, B):
        record = ledger.refused(record, three, zone, LIES, 0)
    assert record.quarantines == ()
    (quarantine,) = ledger.refused(record, three, A, LIES, 0).quarantines
    assert quarantine.zone == EVERY_ZONE


def test_what_fails_in_a_zone_until_it_is_shut_and_then_in_another_is_quarantined_everywhere() -> None:
    record = refused(Record((A, B, C)), A, A, B)
    assert [quarantine.zone for quarantine in record.quarantines] == [EVERY_ZONE]
    assert record.open_zones([A, B, C], 0) == []


def test_after_its_time_a_type_is_on_trial_and_one_failure_counts_twice_as_long() -> None:
    record = refused(Record((A,)), A, A)
    later_s = POLICY.first_s + 1
    assert record.on_trial(later_s)
    assert not record.quarantined(later_s)
    record = refused(record, A, now_s=later_s)
    (quarantine,) = record.quarantines
    assert (quarantine.times, quarantine.until_s - later_s) == (2, 2 * POLICY.first_s)


def test_a_confirmed_machine_on_trial_clears_the_type() -> None:
    record = ledger.confirmed(refused(Record((A,)), A, A), A)
    assert record.quarantines == ()
    assert refused(record, A).quarantines == (), "the old strikes are forgotten"


def test_a_sold_out_zone_is_quarantined_at_once_and_longer_each_time_until_there_is_a_machine() -> None:
    record, now_s, lasted = Record((A,)), 0.0, []
    for _ in range(9):
        record = ledger.sold_out(record, POLICY, A, DRY, now_s)
        (quarantine,) = record.quarantines
        lasted.append(quarantine.until_s - now_s)
        now_s = quarantine.until_s
    assert lasted == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert ledger.launched(record, A).quarantines == ()


def test_several_launches_that_were_under_way_count_as_one_failure() -> None:
    record = ledger.sold_out(Record((A,)), POLICY, A, DRY, 0.0)
    assert ledger.sold_out(record, POLICY, A, DRY, 1.0) == record


def test_a_machine_that_came_says_nothing_about_lies_and_a_confirmed_one_nothing_about_stock() -> None:
    record = ledger.sold_out(refused(Record((A, B)), A, A), POLICY, A, DRY, 0.0)
    assert [quarantine.cause for quarantine in ledger.launched(record, A).quarantines] == [Cause.REFUSED]
    assert [quarantine.cause for quarantine in ledger.confirmed(record, A).quarantines] == [Cause.SOLD_OUT]


EVENTS = st.lists(
    st.tuples(st.sampled_from(["refused", "confirmed", "sold out", "launched"]), st.sampled_from([A, B, C]))
)


@given(EVENTS, st.floats(0, 5000))
def test_whatever_happens_it_ends_it_can_be_written_and_it_never_outlasts_the_longest_time(
    events: list[tuple[str, str]], step_s: float
) -> None:
    record, now_s = Record((A, B, C)), 0.0
    for what, zone in events:
        if what == "refused":
            record = ledger.refused(record, POLICY, zone, LIES, now_s)
        elif what == "sold out":
            record = ledger.sold_out(record, POLICY, zone, DRY, now_s)
        else:
            record = (ledger.confirmed if what == "confirmed" else ledger.launched)(record, zone)
        assert all(quarantine.until_s - quarantine.since_s <= POLICY.longest_s for quarantine in record.quarantines)
        assert len({(quarantine.zone, quarantine.cause) for quarantine in record.quarantines}) == len(
            record.quarantines
        )
        now_s += step_s
    assert not record.quarantined(now_s + POLICY.longest_s)
    whole = Ledger({"p4d": record}, {"i-1": "DriverMissing"})
    assert ledger_from(json.loads(json.dumps(to_json(whole)))) == whole


@given(st.integers(1, 10_000), st.floats(1, 1e6), st.booleans())
def test_no_number_of_times_is_too_many(times: int, growth: float, sold_out: bool) -> None:
    policy = QuarantinePolicy(growth=growth)
    assert 0 < policy.duration_s(times, sold_out=sold_out) <= policy.longest_s


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        ({"quarantine": {"strikes": 5}}, "5 strikes of 4 boots can never be counted"),
        (
            {"quarantine": {"strike": 5}},
            "provider.quarantine.strike is a key that nothing reads; nearest: strikes; the keys there are strikes,",
        ),
        ({"quarantine": {"strikes": 1.5}}, "provider.quarantine.strikes is 1.5: write a whole number"),
        ({"quarantine": {"first_s": "5m"}}, "provider.quarantine.first_s is '5m': write a number of at least 1"),
        ({"quarantine": {"strikes": True}}, "strikes is True"),
        ({"quarantine": {"longest_s": 10}}, "longest_s (10) is shorter than the first time (300 s)"),
        ({"quarantine": []}, "provider.quarantine is []: write a mapping"),
        ({"confirmation": {"on_mismatch": "ignore"}}, "on_mismatch is 'ignore': write refuse, join, report or skip"),
        ({"confirmation": {"keep_for_inspection": 1}}, "keep_for_inspection is 1: write true or false"),
        ({"confirmation": "join"}, "provider.confirmation is 'join': write a mapping"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_in_one_sentence(provider: dict[str, Any], words: str) -> None:
    read = confirmation_policy if "confirmation" in provider else quarantine_policy
    with pytest.raises(ClusterConfigError) as error:
        read(provider)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("quarantin", "quarantine"),
        ("quarentine", "quarantine"),
        ("Quarantine", "quarantine"),
        ("confirmations", "confirmation"),
        ("confirm", "confirmation"),
        ("catalogue", "catalog"),
    ],
)
def test_a_misspelt_section_is_refused_with_the_file_and_the_line(
    name: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = (Path(__file__).parents[2] / "example_clusters" / "aws-gpu.yaml").read_text()
    path = tmp_path / "cluster.yaml"
    path.write_text(example.replace("\nprovider:\n", f"\nprovider:\n  {name}: {{}}\n"))
    line = path.read_text().splitlines().index(f"  {name}: {{}}") + 1
    assert main(["fill", str(path)]) == 2
    output = capsys.readouterr().err
    assert output == f"accel-scaling: {path}:{line}: provider.{name} is a key that nothing reads; nearest: {meant}\n"


def test_the_state_survives_in_its_file_and_a_damaged_one_is_put_aside_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "state" / "quarantine.json"
    Store(path).change(lambda old: old.with_record("p4d", refused(Record((A,)), A, A)))
    assert Store(path).read().record("p4d").quarantined(0)
    path.write_text('{"version": 1, "types"')
    with pytest.raises(BrokenStateError):
        Store(path).read()
    assert path.exists(), "who only reads moves nothing"
    assert Store(path).change(lambda old: old) == Ledger()
    (aside,) = path.parent.glob("*.broken-*")
    assert aside.read_text() == '{"version": 1, "types"'


def _count(path: Path) -> None:
    for _ in range(20):
        Store(path).change(lambda old: old.with_record("p4d", ledger.confirmed(old.record("p4d"), A)))


def test_two_processes_that_change_it_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.json"
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_count, [path, path])
    assert len(Store(path).read().record("p4d").boots) == 40


def test_zones_without_a_history_come_before_one_on_trial_and_are_not_held_back_by_it() -> None:
    record = refused(Record((A, B)), A, A)
    later_s = POLICY.first_s + 1
    assert record.open_zones([A, B], later_s) == [B, A]
    assert not record.on_trial(later_s)
    assert ledger.sold_out(record, POLICY, B, DRY, later_s).on_trial(later_s), "only the one on trial is left"


def test_what_ended_an_hour_before_is_a_new_story() -> None:
    record = ledger.sold_out(Record((A,)), POLICY, A, DRY, 0.0)
    long_after_s = POLICY.sold_out_first_s + POLICY.longest_s
    (quarantine,) = ledger.sold_out(record, POLICY, A, DRY, long_after_s).quarantines
    assert quarantine.times == 1
    assert ledger.before_launch(record, POLICY, [A], long_after_s).quarantines == ()
