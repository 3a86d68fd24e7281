"""The record of a machine: its steps, the state file, what `accel-scaling status` shows of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling import timeouts
from accel_scaling.cli.main import main
from accel_scaling.quarantine.machine import Machine, Moment, Reason, Step, bounded
from accel_scaling.quarantine.machine_json import machine_from, to_json
from accel_scaling.quarantine.record import Record
from accel_scaling.quarantine.store import BrokenStateError, Store, ledger_from
from tests.support.quarantine import A, Head

LAUNCHED = Machine("p4d", A).with_step(Step.ASKED, 1.0).with_step(Step.LAUNCHED, 2.0)

texts = st.text(max_size=5)
moments = st.builds(Moment, st.sampled_from(Step), st.floats(0, 1e9), texts)
reasons = st.none() | st.builds(Reason, texts, texts)
machines = st.builds(Machine, texts, texts, st.lists(moments, max_size=4).map(tuple), reasons, st.booleans())


def test_a_step_is_taken_once_and_none_after_the_end() -> None:
    joined = LAUNCHED.with_step(Step.JOINED, 3.0).with_step(Step.JOINED, 9.0)
    assert joined.time_of(Step.JOINED) == 3.0
    ended = joined.with_step(Step.ENDED, 4.0, "idle").with_step(Step.CHECKED, 5.0)
    assert (ended.end_reason, ended.time_of(Step.CHECKED)) == ("idle", None)


def test_the_first_reason_for_which_a_machine_is_given_up_stays() -> None:
    given_up = LAUNCHED.with_failure(Reason("SetUpFailed", "pip"), given_up=True)
    assert given_up.with_failure(Reason("Gone", ""), given_up=True) == given_up


def test_machines_that_finished_longest_ago_are_forgotten_and_those_under_way_are_not() -> None:
    many = {f"i-{number}": LAUNCHED.with_step(Step.JOINED, 3.0) for number in range(150)}
    kept = bounded({"first": LAUNCHED, **many})
    assert len(kept) == timeouts.FINISHED_MACHINES_REMEMBERED + 1
    assert "first" in kept
    assert "i-149" in kept
    assert "i-0" not in kept


def test_a_machine_whose_end_is_still_asked_for_is_not_forgotten() -> None:
    ending = LAUNCHED.with_failure(Reason("SetUpFailed", ""), given_up=True)
    many = {f"i-{number}": LAUNCHED.with_step(Step.JOINED, 3.0) for number in range(150)}
    assert "ending" in bounded({"ending": ending, **many})


@given(machines)
def test_a_record_survives_the_state_file(machine: Machine) -> None:
    assert machine_from(json.loads(json.dumps(to_json(machine))), "machines.i-1") == machine


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"node_type": "p4d"},
        {"node_type": "p4d", "zone": "", "steps": [{"step": "flown", "time_s": 1}]},
        {"node_type": "p4d", "zone": "", "steps": [{"step": "asked", "time_s": "now"}]},
        {"node_type": "p4d", "zone": "", "steps": [], "failure": "no"},
        {"node_type": "p4d", "zone": "", "steps": [], "given_up": 1},
    ],
)
def test_a_record_that_is_not_one_makes_a_broken_state_file(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "quarantine.json"
    path.write_text(json.dumps({"version": 1, "kept": {}, "types": {}, "machines": {"i-1": content}}))
    with pytest.raises(BrokenStateError):
        Store(path).read()


def test_a_state_file_of_an_earlier_version_is_read() -> None:
    record = {"zones": [A], "boots": [{"zone": A, "verdict": "DriverMissing"}], "quarantines": []}
    read = ledger_from({"version": 1, "kept": {}, "types": {"p4d": record}, "judged": {"i-1": "DriverMissing"}})
    assert read.machines == {}
    assert read.record("p4d").launch_errors == ()


def status(path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["status", "--state", str(path), *words]) == 0
    return capsys.readouterr().out


def test_status_shows_machines_that_never_joined_with_their_reasons(
    head: Head, capsys: pytest.CaptureFixture[str]
) -> None:
    with head.gate.launching("p4d", 3):
        head.gate.launched("p4d", A, ["i-1", "i-2", "i-3"])
    head.gate.refused("i-1", "p4d", A, "SetUpFailed", "`pip install x` ended with 1: ERROR: no such package")
    head.gate.machines.ended("i-2", "Client.UserInitiatedShutdown (the user)")
    head.gate.confirmed("i-3", "p4d", A, "Confirmed")
    head.gate.machines.step("i-3", "p4d", Step.JOINED)
    text = status(head.state, capsys)
    assert "no node type is quarantined" in text
    lines = text.splitlines()
    assert any(
        line.startswith("i-1") and "SetUpFailed: `pip install x` ended with 1: ERROR: no" in line for line in lines
    )
    assert any(line.startswith("i-2") and "Client.UserInitiatedShutdown" in line for line in lines)
    assert "i-3" not in text
    content = json.loads(status(head.state, capsys, "--json"))
    assert content["never_joined"] == ["i-1", "i-2"]
    steps = [step["step"] for step in content["machines"]["i-3"]["steps"]]
    assert steps == ["asked", "launched", "checked", "joined"]


def test_status_of_a_cluster_without_such_machines_is_as_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "quarantine.json"
    Store(path).change(lambda old: old.with_record("p4d", Record((A,))))
    assert status(path, capsys) == "no node type is quarantined\n"


def test_a_thousand_machines_make_no_large_state_file(head: Head) -> None:
    for start in range(0, 1000, 50):
        nodes = [f"i-{number:017x}" for number in range(start, start + 50)]
        with head.gate.launching("p4d", 50):
            head.gate.launched("p4d", A, nodes)
        for node in nodes:
            head.gate.machines.step(node, "p4d", Step.JOINED)
    assert head.state.stat().st_size < 80_000
