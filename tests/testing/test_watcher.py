"""The timeline of a rehearsal with a host that writes what it likes: the lines stay clean; the watcher continues."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from accel_scaling.boot.verdict_file import VERDICT_FILE
from accel_scaling.quarantine.machine import Machine, Reason
from accel_scaling.quarantine.store import STATE_FILE
from accel_scaling.status_line import StatusLine
from accel_scaling.testing.fault_source import FaultSource
from accel_scaling.testing.hosts.events import Event, EventKind
from accel_scaling.testing.rehearse.run import grouped
from accel_scaling.testing.rehearse.timeline import Timeline
from accel_scaling.testing.rehearse.watcher import NodeTypes, Watcher

HEAD, WORKER = "i-head", "i-worker"
EVIL = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202edenrut\u2028next"
STATE = {
    "cause": "sold out",
    "reason": "InsufficientInstanceCapacity",
    "message": EVIL,
    "times": 1,
}


class Rehearsed:
    """A watcher of two machines whose files are in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, io.StringIO()
        self.timeline = Timeline(time.time(), StatusLine(self.out))
        events = [
            Event(time.time(), EventKind.ASKED, "g5.xlarge", count=1, granted=1, node_type="a10g"),
            *(Event(time.time(), EventKind.BOOTED, "g5.xlarge", name, "127.1.2.3") for name in (HEAD, WORKER)),
        ]
        self.events = events
        local: Any = SimpleNamespace(events=lambda: events, host_file=self.file)
        node_types = NodeTypes({"a10g": "a10g"}, {"g5.xlarge": ["a10g"]})
        self.watcher = Watcher(local, self.timeline, node_types, FaultSource())

    def file(self, instance_id: str, name: str) -> Path:
        path = self.folder / instance_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def look(self) -> str:
        self.watcher.look()
        return self.out.getvalue()


def test_an_output_that_nobody_reads_ends_the_look_without_a_traceback(
    rehearsed: Rehearsed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(rehearsed.timeline, "say", closed)
    rehearsed.watcher.run()  # it would poll until it is stopped
    with pytest.raises(BrokenPipeError):  # of the program's own thread, which ends the rehearsal
        rehearsed.watcher.look()


@pytest.fixture(name="rehearsed")
def rehearsed_fixture(tmp_path: Path) -> Rehearsed:
    return Rehearsed(tmp_path)


def verdict(**changes: Any) -> str:
    whole = {"verdict": "Confirmed", "message": "1 x A10G", "joins": True, "time_s": time.time(), **changes}
    return json.dumps(whole)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "{}",
        "[]",
        verdict(time_s="soon"),
        verdict(time_s=None),
        "x" * 100_000,
        '{"verdict": "Confirmed"}',
    ],
)
def test_a_verdict_of_another_form_is_passed_over_and_the_rest_is_watched(text: str, rehearsed: Rehearsed) -> None:
    rehearsed.file(WORKER, VERDICT_FILE).write_text(text)
    rehearsed.file(HEAD, VERDICT_FILE).write_text(verdict())
    assert rehearsed.look().count("confirmed") == 1
    assert rehearsed.timeline.machines[WORKER].verdict == ""


def test_a_machine_that_waits_for_capacity_has_no_host_to_ask_for_a_verdict(rehearsed: Rehearsed) -> None:
    rehearsed.events.append(Event(time.time(), EventKind.HAPPENED, "g5.xlarge", "waits", error="it waits"))
    assert "g5.xlarge waits: it waits" in rehearsed.look()
    assert not (rehearsed.folder / "waits").exists()


def test_a_pipe_or_a_link_in_the_place_of_the_verdict_holds_nobody_up(rehearsed: Rehearsed, tmp_path: Path) -> None:
    os.mkfifo(rehearsed.file(WORKER, VERDICT_FILE))
    (tmp_path / "elsewhere").write_text(verdict())
    rehearsed.file(HEAD, VERDICT_FILE).symlink_to(tmp_path / "elsewhere")
    assert "confirmed" not in rehearsed.look()


def test_no_control_character_of_a_host_reaches_the_terminal(rehearsed: Rehearsed) -> None:
    rehearsed.file(WORKER, VERDICT_FILE).write_text(verdict(verdict=EVIL, message=EVIL, joins="no"))
    rehearsed.timeline.machines.setdefault(WORKER, rehearsed.timeline.machine(WORKER, "g5.xlarge"))
    rehearsed.look()
    rehearsed.timeline.machines[WORKER].resources = {f"{EVIL}GPU": 1.0}
    text = rehearsed.out.getvalue() + rehearsed.timeline.closing_table({"a10g": {}})
    assert "refused" in text
    assert all(sign.isprintable() or sign == "\n" for sign in text)


def test_a_machine_that_is_still_up_at_the_end_has_not_joined_yet(rehearsed: Rehearsed) -> None:
    one = rehearsed.timeline.machine(WORKER, "g5.xlarge")
    assert "(had not joined when this ended)" in rehearsed.timeline.closing_table({})
    one.gone_s = 5.0
    assert "(never joined)" in rehearsed.timeline.closing_table({})


def test_a_quarantine_is_shown_from_its_begin_to_its_end(rehearsed: Rehearsed) -> None:
    file = rehearsed.file(HEAD, STATE_FILE)
    zones = [{**STATE, "zone": zone} for zone in ("us-west-2a", "us-west-2b")]
    rehearsed.look()
    write_state(file, zones)
    shown = rehearsed.look()
    assert "quarantine of a10g in us-west-2a, us-west-2b for 5 min, until " in shown
    assert "(sold out: InsufficientInstanceCapacity)" in shown
    assert rehearsed.timeline.reason_of(["a10g"]).startswith("node type a10g is quarantined in us-west-2a, us-west-2b")
    assert rehearsed.look() == shown
    write_state(file, [])
    assert "quarantine of a10g in us-west-2a, us-west-2b has ended" in rehearsed.look()


def test_a_machine_whose_command_failed_is_named_with_the_command_once(rehearsed: Rehearsed) -> None:
    """The boot check has said nothing of it: without this line, it would go without a reason."""
    sentence = "`conda activate x` ended with 127 before its boot check had a verdict: bash: conda: not found"
    rehearsed.look()
    quarantine = {**STATE, "cause": "refused", "reason": "NoVerdict", "zone": "*"}
    failed = {WORKER: Machine("a10g", failure=Reason("NoVerdict", sentence), given_up=True)}
    write_state(rehearsed.file(HEAD, STATE_FILE), [quarantine], failed)
    shown = rehearsed.look()
    assert f"failed     g5.xlarge {WORKER}: NoVerdict: {sentence}" in shown
    assert rehearsed.look() == shown
    assert rehearsed.timeline.reason_of(["a10g"]).endswith(f"(refused: NoVerdict): NoVerdict: {sentence}")
    assert rehearsed.timeline.machines[WORKER].verdict == "NoVerdict"


def write_state(
    file: Path, quarantines: list[dict[str, Any]], machines: Mapping[str, Machine] = MappingProxyType({})
) -> None:
    """Write a state file as the store does."""
    from accel_scaling.quarantine.ledger import Ledger
    from accel_scaling.quarantine.record import Cause, Quarantine, Record
    from accel_scaling.quarantine.store import to_json

    # From now on: this file is collected minutes before it runs.
    lasts = {"since_s": time.time(), "until_s": time.time() + 300}
    items = tuple(Quarantine(**{**row, **lasts, "cause": Cause(row["cause"])}) for row in quarantines)
    file.write_text(json.dumps(to_json(Ledger({"a10g": Record(quarantines=items)}, machines=machines))))


def test_keys_that_are_left_out_are_named_once() -> None:
    node_types = ["head", "a10g", "p5"]
    keys = [f"{name}.node_config.{key}" for name in node_types for key in ("KeyName", "SubnetIds")]
    keys = ["docker", *keys, "p5.node_config.NetworkInterfaces"]
    assert grouped(keys, node_types) == "docker; KeyName, SubnetIds (of all node types); NetworkInterfaces (of p5)"


def test_a_drain_is_one_line_with_its_reason_and_one_that_waits_is_another(rehearsed: Rehearsed) -> None:
    row = {"node_type": "a10g", "kind": "sick", "code": "Unhealthy", "message": "device 0 is lost", "told_s": 5}
    state = rehearsed.file(HEAD, STATE_FILE)
    content: dict[str, Any] = {"version": 1, "kept": {}, "types": {}, "drains": {WORKER: row}}
    state.write_text(json.dumps(content))
    rehearsed.look()
    content["drains"][WORKER] = {**row, "since_s": rehearsed.timeline.started_s + 7, "until_s": time.time() + 99}
    state.write_text(json.dumps(content))
    rehearsed.look()
    text = rehearsed.look()
    assert text.count(f"waits      g5.xlarge {WORKER} is drained after others: sick: Unhealthy: device 0 is lost") == 1
    assert text.count(f"drained    g5.xlarge {WORKER}, within ") == 1
    assert rehearsed.timeline.machines[WORKER].drained_s == pytest.approx(7)
