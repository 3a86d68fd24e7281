"""The head's memory in trouble: a full disk, a damaged or foreign file, a clock put back, and what `--clear` leaves."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.cli.main import main
from accel_scaling.quarantine import store
from accel_scaling.quarantine.ledger import Ledger
from accel_scaling.quarantine.record import Record
from accel_scaling.quarantine.store import StateError, Store
from tests.support.quarantine import CONFIG, A, B, Head

QUARANTINE = {
    "zone": A,
    "kind": "refused",
    "reason": "NoDevice",
    "message": "none",
    "since_s": 0,
    "until_s": 300,
    "times": 1,
}


def test_a_ledger_is_parsed_once_until_a_user_writes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(content()))
    parsed, loads = [], store.loads
    monkeypatch.setattr(store, "loads", lambda text: parsed.append(text) or loads(text))
    mine = Store(path)
    assert [mine.read().record("p4d").zones for _ in range(3)] == [(A,)] * 3
    assert len(parsed) == 1
    mine.change(lambda ledger: ledger.with_record("l4", Record((B,))))
    assert mine.read().record("l4").zones == (B,)
    assert len(parsed) == 1, "it is what this store has written"
    other = Store(path)
    other.change(lambda ledger: ledger.with_record("t4", Record((A,))))
    assert mine.read().record("t4").zones == (A,), "another process has written it"
    path.unlink()
    assert mine.read() == Ledger()


def content(**changes: Any) -> dict[str, Any]:
    """A state file's content with one quarantine of p4d, changed."""
    return {
        "version": 1,
        "kept": {},
        "types": {"p4d": {"zones": [A], "boots": [], "quarantines": [{**QUARANTINE, **changes}]}},
    }


FOREIGN = [
    "",
    "[]",
    "null",
    "{}",
    "[" * 100_000,
    '{"version": "2"}',
    json.dumps({**content(), "kept": []}),
    json.dumps({**content(), "types": {"p4d": None}}),
    json.dumps({**content(), "judged": {"i-1": 1}}),
    json.dumps({**content(), "types": {"p4d": {"zones": None, "boots": [], "quarantines": []}}}),
    json.dumps({**content(), "types": {"p4d": {"zones": [A], "boots": [{"zone": A}], "quarantines": []}}}),
    *(
        json.dumps(content(**wrong))
        for wrong in (
            {"since_s": "0"},
            {"until_s": None},
            {"until_s": float("nan")},
            {"until_s": 1e300},
            {"until_s": True},
            {"times": 0},
            {"times": 1.5},
            {"kind": "bored"},
            {"message": 5},
        )
    ),
]


def wants_a_machine(head: Head) -> list[str]:
    """One round of an autoscaler: it lists, and asks whether it may launch."""
    head.tick()
    return head.gate.check("p4d", [A])


def status(head: Head, *arguments: str) -> int:
    return main(["status", "--state", str(head.state), *arguments])


@pytest.mark.parametrize("text", FOREIGN, ids=range(len(FOREIGN)))
def test_a_file_that_is_not_ours_is_told_to_who_reads_and_put_aside_by_who_writes(
    text: str, head: Head, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    head.state.parent.mkdir()
    head.state.write_text(text)
    assert status(head) == 2
    output = capsys.readouterr().err
    assert output.startswith(f"accel-scaling: {head.state} is not a state file of accel-scaling (")
    assert len(output.splitlines()) == 1
    for _ in range(3):
        head.tick()
    assert head.state.read_text() == text, "listing changes nothing"
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1, (
        "told once, not each round"
    )
    assert wants_a_machine(head) == [A]
    (aside,) = head.state.parent.glob("*.broken-*")
    assert aside.read_text() == text
    assert status(head) == 0


def test_a_newer_versions_file_is_left_as_it_is_and_the_head_remembers_by_itself(
    head: Head, capsys: pytest.CaptureFixture[str]
) -> None:
    head.state.parent.mkdir()
    head.state.write_text('{"version": 2, "news": []}')
    head.lies("one")
    head.lies("two")
    assert head.most("p4d") == 0
    for arguments in ([], ["--clear"]):
        assert status(head, *arguments) == 2
        assert "was written by a newer accel-scaling (version 2): use that version" in capsys.readouterr().err
    assert [path.name for path in head.state.parent.iterdir() if "lock" not in path.name] == [head.state.name]
    assert head.state.read_text() == '{"version": 2, "news": []}'


def test_a_folder_in_the_files_place_is_one_sentence(head: Head, capsys: pytest.CaptureFixture[str]) -> None:
    head.state.mkdir(parents=True)
    assert status(head) == 2
    assert capsys.readouterr().err == f"accel-scaling: {head.state} cannot be read (Is a directory)\n"
    head.lies("one")
    head.lies("two")
    assert head.most("p4d") == 0, "the autoscaler continues"


def test_a_file_that_cannot_be_written_is_one_sentence(
    head: Head, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    head.lies("one")
    fill_the_disk(monkeypatch)
    assert status(head, "--clear") == 2
    assert capsys.readouterr().err == f"accel-scaling: {head.state} cannot be written (No space left on device)\n"


def fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)


def test_on_a_full_disk_healthy_machines_join_and_strikes_count_and_all_is_written_once_there_is_room(
    head: Head, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    head.lies("one")
    with monkeypatch.context() as disk:
        fill_the_disk(disk)
        head.gate.launched("g5", A, ["good"])
        head.gate.confirmed("good", "g5", A, "Confirmed")
        head.lies("two")
        assert not head.gate.keeps("two", "DriverMissing")
        messages = [record.getMessage() for record in caplog.records if "No space left" in record.getMessage()]
        assert len(messages) == 1
        assert head.most("p4d") == 0, "the config has room: it is limited"
        assert Store(head.state).read().record("p4d").quarantines == ()
    head.gate.confirmed("other", "g5", A, "Confirmed")
    assert [quarantine.reason for quarantine in Store(head.state).read().record("p4d").quarantines] == ["DriverMissing"]
    assert set(Store(head.state).read().judged) == {"one", "good", "two", "other"}


@pytest.mark.parametrize("text", ["a: [", "", "- 1", "provider: {}", "\x00"])
def test_a_config_that_is_not_readable_just_now_stops_no_round_and_is_limited_later(
    text: str, head: Head, caplog: pytest.LogCaptureFixture
) -> None:
    head.lies("one")
    head.path.write_text(text + "\n# accel_scaling_limits")
    head.lies("two")
    for _ in range(3):
        head.tick()
    assert len([record for record in caplog.records if "could not be limited" in record.getMessage()]) == 1
    head.path.write_text(yaml.safe_dump(CONFIG))
    head.tick()
    assert head.most("p4d") == 0


@pytest.mark.parametrize("emptied", ["removed", "cleared"])
def test_a_type_that_was_limited_is_open_again_where_the_state_went_while_the_autoscaler_was_down(
    emptied: str, head: Head
) -> None:
    head.lies("one")
    head.lies("two")
    assert head.most("p4d") == 0
    if emptied == "removed":
        head.state.unlink()
    else:
        assert status(head, "--clear") == 0
    head.restart()
    head.tick()
    assert yaml.safe_load(head.path.read_text()) == CONFIG


def test_the_gauge_of_a_zone_ends_with_clear(head: Head) -> None:
    head.gate.check("p4d", [A, B])
    head.gate.failed("p4d", A, "Dry", "none", sold_out=True)
    head.tick()
    assert head.value("accel_scaling_quarantined", node_type="p4d", zone=A, capacity="", reason="Dry") == 1
    assert status(head, "--clear", "p4d") == 0
    head.tick()
    assert head.value("accel_scaling_quarantined", node_type="p4d", zone=A, capacity="", reason="Dry") is None


def test_a_type_of_two_zones_that_is_cleared_while_its_machines_boot_is_quarantined_in_one_only(head: Head) -> None:
    head.gate.check("p4d", [A, B])
    head.gate.launched("p4d", A, ["one", "two"])
    assert status(head, "--clear") == 0
    for node in ("one", "two"):
        head.gate.refused(node, "p4d", A, "NoDevice", "none")
        head.gate.gone(node)
    assert head.gate.check("p4d", [A, B]) == [B]
    assert head.most("p4d") == 4


def test_a_type_of_one_zone_that_is_cleared_while_its_machines_boot_is_limited_at_once(head: Head) -> None:
    head.gate.check("p4d", [A])
    head.gate.launched("p4d", A, ["one", "two"])
    assert status(head, "--clear") == 0
    for node in ("one", "two"):
        head.gate.refused(node, "p4d", A, "NoDevice", "none")
        head.gate.gone(node)
    assert head.most("p4d") == 0


def test_a_type_whose_zones_nobody_knows_is_quarantined_nowhere_before_they_are(head: Head) -> None:
    for node in ("one", "two"):
        head.gate.refused(node, "p4d", A, "NoDevice", "none")
    assert head.most("p4d") == 4
    assert head.gate.check("p4d", [A, B]) == [B]


def test_clear_leaves_the_machine_that_is_kept_for_inspection_kept_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = Head(tmp_path, confirmation={"keep_for_inspection": True})
    assert head.gate.keeps("one", "NoDevice: none")
    assert status(head, "--clear") == 0
    assert "one is kept for inspection, and paid for, until `ray down`: NoDevice: none" in capsys.readouterr().out
    assert set(head.gate.hidden()) == {"one"}, "it would come back as a node of the cluster"
    assert not head.gate.keeps("two", "NoDevice: none")


def test_a_clock_that_was_put_back_by_a_year_quarantines_nothing_for_a_year(
    head: Head,
) -> None:
    head.now_s = 1e9
    head.lies("one")
    head.lies("two")
    head.now_s -= 5
    head.tick()
    assert head.most("p4d") == 0, "a clock that is corrected is the same clock"
    head.now_s -= 365 * 86400
    head.tick()
    assert head.most("p4d") == 1, "one machine, on trial"
    assert head.gate.check("p4d", [A]) == [A]


def test_a_reader_never_writes(tmp_path: Path) -> None:
    assert Store(tmp_path / "nowhere" / "quarantine.json").read() == Ledger()
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError):
        Store(tmp_path / "file" / "quarantine.json").read()
