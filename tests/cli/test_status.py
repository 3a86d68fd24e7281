"""`accel-scaling status`: it never says that all is well if it looked at nothing; failed launches; zones in one row."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from accel_scaling.errors import AccelScalingError
from accel_scaling.providers.base.zone_launch import Launch, Workers, gated
from accel_scaling.quarantine.drain_record import DrainRecord
from accel_scaling.quarantine.place import place_of
from accel_scaling.timeouts import LAUNCH_FAILURE_AGAIN_S, LAUNCH_FAILURES_REMEMBERED
from tests.support.quarantine import A, B, Head

pytest_plugins = ("tests.support.quarantine",)


def status(head: Head, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["status", "--state", str(head.state), *options]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("option", [[], ["--json"], ["--clear"]])
def test_a_state_file_that_does_not_exist_is_an_error(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--state", str(tmp_path / "typo.json"), *option]) == 2
    written = capsys.readouterr()
    assert not written.out
    assert f"--state {tmp_path / 'typo.json'} does not exist" in written.err


def test_a_state_file_of_standard_input_is_shown_and_cannot_be_cleared(
    head: Head, capsys: pytest.CaptureFixture[str]
) -> None:
    head.gate.failed("a10g", A, "InsufficientInstanceCapacity", "none left", sold_out=True)
    shown = status(head, capsys)
    command = [sys.executable, "-m", "accel_scaling", "status", "--state", "-"]
    with head.state.open("rb") as state:
        assert subprocess.run(command, stdin=state, capture_output=True, text=True, check=True).stdout == shown
    assert main(["status", "--state", "-", "--clear"]) == 2
    assert "--clear changes a state file, and --state - is standard input" in capsys.readouterr().err


def test_away_from_a_head_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["status"]) == 2
    written = capsys.readouterr()
    assert not written.out
    assert "this machine is not the head of a cluster" in written.err
    assert "ray exec CLUSTER.yaml 'accel-scaling status'" in written.err
    (tmp_path / "ray_bootstrap_config.yaml").write_text("cluster_name: mine\n", encoding="utf-8")
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "no node type is quarantined\n"


def test_a_launch_that_fails_is_listed_with_its_reason_whatever_it_is(
    head: Head, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: head.now_s)
    head.gate.check("p4d", [A, B])
    head.gate.failed("p4d", A, "InternalError", "An internal error has occurred", sold_out=False)
    head.gate.failed(
        "g5", "*", "InvalidParameterValue", "Invalid value 'x' for SubnetId", sold_out=False, for_good=True
    )
    text = status(head, capsys)
    assert text.startswith("no node type is quarantined\n\nfailed launch  zone ")
    assert "InternalError: An internal error has occurred" in text
    assert "InvalidParameterValue: Invalid value 'x' for SubnetId" in text
    first, second = json.loads(status(head, capsys, "--json"))["failed_launches"]
    assert (first["node_type"], first["zone"], first["code"]) == ("p4d", A, "InternalError")
    assert second["zone"] == "*"
    head.now_s += 3601
    assert status(head, capsys) == "no node type is quarantined\n"


def test_drained_nodes_are_listed_with_their_reason_and_end_until_an_hour_after_it(
    head: Head, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: head.now_s)
    record = DrainRecord("p4d", "sick", "DriverMissing", "the driver is not loaded", head.now_s)
    head.gate.drains.waits("i-2", record)
    head.gate.drains.begins("i-1", replace(record, since_s=head.now_s, until_s=head.now_s + 300))
    text = status(head, capsys)
    assert text.startswith("no node type is quarantined\n\ndrained node ")
    assert "sick: DriverMissing: the driver is not loaded" in text
    assert [word in text for word in ("within 300 s", "waits for others", "ended")] == [True, True, False]
    shown = json.loads(status(head, capsys, "--json"))["drains"]
    assert (shown["i-1"]["until_s"], shown["i-2"]["until_s"]) == (head.now_s + 300, None)
    head.gate.drains.ended("i-1")
    head.gate.drains.withdrawn("i-2")
    head.now_s += 120
    assert "ended 2 min ago" in status(head, capsys)
    head.now_s += 3600
    assert status(head, capsys) == "no node type is quarantined\n"


def test_an_exception_of_an_sdk_is_listed_too(head: Head, capsys: pytest.CaptureFixture[str]) -> None:
    def launch(_: list[str]) -> Launch:
        raise AccelScalingError("Parameter validation failed:\nUnknown parameter")

    with pytest.raises(AccelScalingError):
        gated(head.gate, Workers("p4d", 1), [A], launch)
    (failure,) = json.loads(status(head, capsys, "--json"))["failed_launches"]
    assert failure["code"] == "AccelScalingError"
    assert failure["message"] == "Parameter validation failed: Unknown parameter"


def test_tries_every_few_seconds_write_the_file_once_in_a_while_and_it_stays_short(head: Head) -> None:
    head.gate.failed("p4d", A, "InternalError", "try again, id 1", sold_out=False)
    written = head.state.read_text(encoding="utf-8")
    head.now_s += 5
    head.gate.failed("p4d", A, "InternalError", "try again, id 2", sold_out=False)
    assert head.state.read_text(encoding="utf-8") == written
    head.now_s += LAUNCH_FAILURE_AGAIN_S
    head.gate.failed("p4d", A, "InternalError", "try again, id 3", sold_out=False)
    (failure,) = json.loads(head.state.read_text(encoding="utf-8"))["failures"]
    assert failure["message"] == "try again, id 3"
    for number in range(LAUNCH_FAILURES_REMEMBERED + 5):
        head.gate.failed(f"t{number}", A, "InternalError", "x", sold_out=False)
    assert len(json.loads(head.state.read_text(encoding="utf-8"))["failures"]) == LAUNCH_FAILURES_REMEMBERED


def test_what_is_sold_out_in_four_zones_is_one_paragraph(
    head: Head, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: head.now_s)
    zones = [f"us-west-2{letter}" for letter in "abcd"]
    head.gate.check("p4d", zones)
    for zone in zones:
        words = f"We currently do not have sufficient capacity in zone {zone}"
        head.gate.failed("p4d", zone, "InsufficientInstanceCapacity", words, sold_out=True)
    text = status(head, capsys)
    assert text.count("add zones, a reservation") == 1
    assert f"\np4d in {', '.join(zones)}: We currently do not have" in text
    assert "failed launch" not in text, "the quarantine stands for it"


def test_a_quarantine_a_failed_launch_and_a_machine_of_an_order_say_their_capacity_type(
    head: Head, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: head.now_s)
    spot, reserved = place_of(A, "spot"), place_of(A, "reserved cr-1")
    head.gate.check("p4d", [reserved, spot, place_of(A, "on-demand")])
    head.gate.failed("p4d", spot, "NoCapacity", "no spot here", sold_out=True)
    head.gate.failed("p4d", place_of("*", "on-demand"), "InternalError", "an error", sold_out=False)
    head.gate.launched("p4d", reserved, ["i-1"])
    head.gate.refused("i-1", "p4d", A, "DriverMissing", "promised 8; 0 seen")
    said = json.loads(status(head, capsys, "--json"))
    (quarantine,), failure = said["left_alone"], said["failed_launches"][-1]
    assert (quarantine["zone"], quarantine["capacity"], quarantine["kind"]) == (A, "spot", "sold out")
    assert (failure["zone"], failure["capacity"]) == ("*", "on-demand")
    assert (said["machines"]["i-1"]["zone"], said["machines"]["i-1"]["capacity"]) == (A, "reserved cr-1")
    text = status(head, capsys)
    assert f"p4d        in {A} (spot)  sold out: NoCapacity" in text
    assert "the rest of its order in provider.capacity is tried; " in text
    assert "all zones (on-demand)" in text
    assert f"i-1           p4d        {A}  reserved cr-1" in text
    assert head.value("accel_scaling_quarantined", node_type="p4d", zone=A, capacity="spot", reason="NoCapacity") == 1


def test_drivers_are_told_again_as_long_as_a_quarantine_lasts_once_a_minute(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("accel_scaling._ray.tell_drivers", told.append)
    head.gate.check("p4d", [A])
    head.gate.failed("p4d", A, "InsufficientInstanceCapacity", "none left", sold_out=True)
    assert len(told) == 1
    for _ in range(12):  # a minute of rounds; it ends with the quarantine
        head.now_s += 5
        head.tick()
    assert len(told) == 1
    head.gate.failed("p4d", A, "InsufficientInstanceCapacity", "none left", sold_out=True)  # for two minutes
    for _ in range(23):
        head.now_s += 5
        head.tick()
    assert len(told) == 3
    assert told[-1].startswith("node type p4d is still quarantined in us-west-2a, until ")
    assert "(sold out: InsufficientInstanceCapacity: none left); tasks that need it wait" in told[-1]
