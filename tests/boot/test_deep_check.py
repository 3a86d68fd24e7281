"""The active check of devices: NVIDIA's or a user's command, its limits, and every verdict that it can end with."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from accel_scaling.boot.deep_check import DEEP_CHECK, deep_check_of, tried, with_deep_check
from accel_scaling.boot.verdicts import Verdict, VerdictWord
from accel_scaling.cli.main import main
from accel_scaling.cluster.deep_check_policy import MEASURED, DeepCheck
from accel_scaling.cluster.policies import confirmation_policy
from accel_scaling.errors import ClusterConfigError
from tests.cluster.test_confirmation_policy import NEEDED_BY_RAY, of_cloud
from tests.support.doors import of_fill, of_plan, of_ray_up

T4 = {"GPU": 1.0, "accelerator_type:T4": 1.0}
GOOD = Verdict(VerdictWord.CONFIRMED, "promised 1 x T4; 1 seen", T4)


def of(command: str, **limits: Any) -> Verdict:
    return tried(GOOD, DeepCheck(command, memory=False, **limits))


@pytest.mark.parametrize(
    ("command", "limits", "word", "says"),
    [
        ("true", {}, "Confirmed", "; true passed in 0."),
        ("echo 'link 3 is down' >&2; exit 4", {}, "Unhealthy", "ended with 4: link 3 is down; replace this machine"),
        ("exit 1", {}, "Unhealthy", "ended with 1: it printed nothing"),
        ("no-such-command-here", {}, "Unhealthy", "ended with 127"),
        ("printf 'gib_s: 12.5\\n'", {"at_least": {"gib_s": 10}}, "Confirmed", "passed"),
        ("printf 'gib_s = 9\\n'", {"at_least": {"gib_s": 10}}, "TooSlow", "found gib_s 9; at least 10 is expected"),
        ("printf 'my_gib_s 99\\n'", {"at_least": {"gib_s": 10}}, "Unhealthy", "prints no number gib_s"),
        ("kill -9 $$", {}, "Unhealthy", "ended with -9"),
    ],
)
def test_a_command_decides_by_its_exit_code_and_its_numbers(
    command: str, limits: dict[str, Any], word: str, says: str
) -> None:
    verdict = of(command, **limits)
    assert (verdict.word.value, says in verdict.message) == (word, True), verdict.message
    assert verdict.message.startswith(GOOD.message)


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    began_s = time.monotonic()
    verdict = of(f"(sleep 60; touch {tmp_path}/late) & echo $! > {tmp_path}/child; sleep 60", within_s=0.2)
    assert verdict.word is VerdictWord.TOO_SLOW
    assert "took longer than the 0.2 s allowed" in verdict.message
    assert time.monotonic() - began_s < 30
    child = Path("/proc", (tmp_path / "child").read_text().strip())
    until_s = time.monotonic() + 10
    while (child / "cmdline").exists() and (child / "cmdline").read_bytes():
        assert time.monotonic() < until_s
        time.sleep(0.02)


@pytest.mark.parametrize(
    "verdict",
    [Verdict(VerdictWord.NO_DEVICE, "none", T4), Verdict(VerdictWord.CONFIRMED, "no accelerator", {"CPU": 4.0})],
)
def test_only_machines_with_the_promised_accelerators_are_tried(verdict: Verdict, tmp_path: Path) -> None:
    assert tried(verdict, DeepCheck(f"touch {tmp_path}/ran")) is verdict
    assert not (tmp_path / "ran").exists()
    assert tried(GOOD, None) is GOOD


@pytest.mark.parametrize(
    ("script", "word", "says"),
    [
        ("echo '| GPU Memory | Pass |'", "Confirmed", "dcgmi diag -r 1 passed in"),
        ("echo '| GPU Memory | Fail - GPU 0 |'", "Unhealthy", "GPU Memory | Fail - GPU 0"),
        ("echo 'Error: Unable to connect to host engine. x'; exit 1", "Confirmed", "reaches no nv-hostengine"),
        (None, "Confirmed", "dcgmi is not installed, so it did not run"),
    ],
)
def test_nvidias_own_check_fails_by_its_words_too_and_is_passed_over_where_it_cannot_run(
    script: str | None, word: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if script is not None:
        (tmp_path / "dcgmi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "dcgmi").chmod(0o755)
    verdict = tried(GOOD, DeepCheck())
    assert (verdict.word.value, says in verdict.message) == (word, True), verdict.message


@pytest.mark.parametrize(
    ("fault", "word", "code"), [("", "Confirmed", 0), ("slow", "TooSlow", 3), ("diag-fails", "Unhealthy", 3)]
)
def test_confirm_deep_tries_the_devices_of_an_emulated_machine(
    fault: str, word: str, code: int, boot: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    boot("g4dn.xlarge", fault) if fault else boot("g4dn.xlarge")
    words = ["--deep", "--only", "command", "--within", "1"]
    assert main(["confirm", "--expect", '{"GPU": 1, "accelerator_type:T4": 1}', *words]) == code
    assert capsys.readouterr().out.startswith(f"{word}: ")


def test_a_start_command_brings_the_check_of_its_node_type() -> None:
    check = DeepCheck('it\'s a "check" $HOME', False, 7.5, {"gib_s": 10})
    told = subprocess.run(
        ["sh", "-c", with_deep_check(f"printenv {DEEP_CHECK}", check)], capture_output=True, text=True, check=True
    ).stdout
    assert deep_check_of({DEEP_CHECK: told}) == check
    assert with_deep_check("ray start", None) == "ray start"
    assert deep_check_of({}) is None
    assert shlex.split(with_deep_check("x", check))[0] == "export"


def test_a_node_type_has_a_check_of_its_own_or_none() -> None:
    policy = confirmation_policy(
        {"confirmation": {"deep": {"within_s": 60, "node_types": {"h100": {"at_least": {"gib_s": 40}}, "t4": False}}}}
    ).deep
    assert policy.of("other") == DeepCheck(within_s=60)
    assert policy.of("h100") == DeepCheck(within_s=60, at_least={"gib_s": 40})
    assert policy.of("t4") is None
    assert confirmation_policy({"confirmation": {"deep": True}}).deep.of("x") == DeepCheck()
    assert confirmation_policy({"confirmation": {"deep": {"command": False}}}).deep.of("x") == DeepCheck(command="")
    memory = {"memory": False, "node_types": {"h100": {"memory": True, "at_least": {"peer_gb_s": 300}}}}
    policy = confirmation_policy({"confirmation": {"deep": memory}}).deep
    assert (policy.of("x"), policy.of("h100")) == (
        DeepCheck(memory=False),
        DeepCheck(at_least={"peer_gb_s": 300}),
    )
    assert confirmation_policy({}).deep.of("x") is None


DEEP, KEYS = "provider.confirmation.deep", "command, memory, within_s, at_least"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (1, f"{DEEP} is 1: write true, false or a mapping with {KEYS}, node_types"),
        (
            {"comand": "x"},
            f"{DEEP}.comand is a key that nothing reads; nearest: command; the keys there are {KEYS}, node_types",
        ),
        ({"command": ""}, f"{DEEP}.command is '': write a command line, or false"),
        ({"command": True}, f"{DEEP}.command is True: write a command line, or false"),
        ({"memory": "yes"}, f"{DEEP}.memory is 'yes': write true or false"),
        (
            {"command": False, "memory": False},
            f"{DEEP} has neither a command nor the memory test: write {DEEP}: false instead",
        ),
        (
            {"command": False, "at_least": {"pear": 1}},
            f"{DEEP}.at_least.pear is a number that nothing finds; the memory test finds {', '.join(MEASURED)}",
        ),
        ({"within_s": 0}, f"{DEEP}.within_s is 0: write a number of at least 1 and at most 3600"),
        ({"within_s": True}, f"{DEEP}.within_s is True: write a number of at least 1 and at most 3600"),
        ({"at_least": {"x": "fast"}}, f"{DEEP}.at_least.x is 'fast': write a number of at least 0"),
        ({"node_types": {"odd": 3}}, f"{DEEP}.node_types.odd is 3: write true, false or a mapping with {KEYS}"),
        (
            {"node_types": {"od": {}}},
            f"{DEEP}.node_types names 'od', which available_node_types does not have; nearest: odd",
        ),
    ],
)
def test_every_door_refuses_a_wrong_check_in_one_sentence(given: Any, sentence: str) -> None:
    config = {**of_cloud("aws"), **NEEDED_BY_RAY}
    config["provider"]["confirmation"] = {"deep": given}
    assert {of_fill(config), of_plan(config), of_ray_up(config)} == {sentence}


def test_a_policy_is_no_mapping_of_lists() -> None:
    with pytest.raises(ClusterConfigError, match=r"deep\.node_types is \['odd'\]: write a mapping"):
        confirmation_policy({"confirmation": {"deep": {"node_types": ["odd"]}}})
