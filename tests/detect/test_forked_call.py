"""A driver's library that hangs, crashes or talks nonsense: the check of the machine continues, and says so."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling import timeouts
from accel_scaling._ray.facts import OVERRIDE_RESOURCES
from accel_scaling.boot import start_hook
from accel_scaling.boot.compare import compare
from accel_scaling.boot.verdict_file import VERDICT_FILE
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED, VerdictWord
from accel_scaling.detect import forked_call
from accel_scaling.families.built_in.nvidia.nvml import LIBRARY
from accel_scaling.families.inventory import detect

PROMISE = {"GPU": 8, "accelerator_type:A100": 1}
ANSWERS = 'const char *nvmlErrorString(int code) { return "broken"; } int nvmlShutdown(void) { return 0; }\n'
LIBRARIES = {
    "hangs": "#include <unistd.h>\nint nvmlInit_v2(void) { for (;;) pause(); }",
    "crashes": "#include <stdlib.h>\nint nvmlInit_v2(void) { abort(); }",
    "exits": "#include <stdlib.h>\nint nvmlInit_v2(void) { _Exit(7); }",
    "lacks": "int nvmlInit_v2(void) { return 0; }",
    "counts": "int nvmlInit_v2(void) { return 0; }"
    " int nvmlDeviceGetCount_v2(unsigned *count) { *count = 4000000000u; return 0; }",
}
needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler here to build a broken library with")


@pytest.fixture(name="broken")
def broken_fixture(boot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Boot a p4d.24xlarge whose NVML is broken in this way, and wait for it but shortly."""
    monkeypatch.setattr(timeouts, "DRIVER_READY_S", 0.0)

    def break_it(how: str) -> None:
        monkeypatch.setattr(timeouts, "DRIVER_LIBRARY_TIMEOUT_S", 0.2 if how == "hangs" else 20.0)
        (library,) = boot("p4d.24xlarge").root.glob(f"usr/**/{LIBRARY}")
        source = tmp_path / "broken.c"
        source.write_text(ANSWERS + LIBRARIES[how])
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)

    return break_it


@needs_compiler
@pytest.mark.parametrize(
    ("how", "word", "words"),
    [
        ("hangs", VerdictWord.NOT_YET, "NVML gave no answer within 0.2 s"),
        ("crashes", VerdictWord.UNHEALTHY, "NVML failed: its process died of SIGABRT"),
        ("exits", VerdictWord.UNHEALTHY, "NVML failed: its process ended with 7 and no answer"),
        ("lacks", VerdictWord.UNHEALTHY, "undefined symbol: nvmlDeviceGetCount_v2"),
        ("counts", VerdictWord.UNHEALTHY, "NVML counts 4000000000 devices, more than any machine has"),
    ],
)
def test_a_broken_library_is_a_verdict_on_the_machine_and_a_node_with_it_leaves_one(
    how: str, word: VerdictWord, words: str, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(how)
    verdict = compare(PROMISE, detect())
    assert verdict.word is word, verdict.message
    assert words in verdict.message
    monkeypatch.setenv(OVERRIDE_RESOURCES, json.dumps(PROMISE))
    with pytest.raises(SystemExit) as refusal:
        start_hook.run(SimpleNamespace(labels={}), head=False)
    assert refusal.value.code == EXIT_NOT_CONFIRMED
    left = json.loads((Path.home() / VERDICT_FILE).read_text())
    assert (left["verdict"], left["joins"]) == (word.value, False)


@needs_compiler
def test_a_library_that_hangs_leaves_no_process_behind(broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken("hangs")
    children: list[int] = []
    fork = os.fork

    def noted() -> int:
        child = fork()
        children.append(child)
        return child

    monkeypatch.setattr(os, "fork", noted)
    detect()
    (child,) = children
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)


def test_an_answer_of_any_length_comes_through_and_nothing_else_of_the_child_does(
    capfd: pytest.CaptureFixture[str],
) -> None:
    sys.stdout.write("once")
    assert forked_call.call(lambda: "x" * 1_000_000, 20.0) == "x" * 1_000_000
    sys.stdout.flush()
    assert capfd.readouterr().out == "once"


def test_what_a_question_raises_is_told_and_what_never_answers_is_ended() -> None:
    def divide() -> float:
        return 1 / 0

    with pytest.raises(forked_call.CrashedError, match="ZeroDivisionError: division by zero"):
        forked_call.call(divide, 20.0)
    with pytest.raises(forked_call.NoAnswerError, match=r"no answer within 0\.05 s"):
        forked_call.call(signal.pause, 0.05)


def test_a_machine_without_room_for_a_process_is_not_judged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    with pytest.raises(forked_call.NoAnswerError, match="no process for it: Resource temporarily unavailable"):
        forked_call.call(lambda: 1, 20.0)


def test_a_check_that_fails_itself_is_a_verdict_and_its_machine_never_joins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> Any:
        raise RecursionError("maximum recursion depth exceeded\nin a driver's answer")

    monkeypatch.setattr(start_hook, "detect", fail)
    monkeypatch.setenv(OVERRIDE_RESOURCES, json.dumps(PROMISE))
    monkeypatch.setenv("ACCEL_SCALING_ON_MISMATCH", "join")
    with pytest.raises(SystemExit) as refusal:
        start_hook.run(SimpleNamespace(labels={}), head=False)
    assert refusal.value.code == EXIT_NOT_CONFIRMED
    left = json.loads((Path.home() / VERDICT_FILE).read_text())
    assert (left["verdict"], left["joins"], left["promised"]) == ("Unhealthy", False, PROMISE)
    assert (
        "the boot check itself failed (RecursionError: maximum recursion depth exceeded in a driver" in left["message"]
    )
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_promise_that_is_not_one_is_a_verdict_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OVERRIDE_RESOURCES, "{GPU: 8}")
    with pytest.raises(SystemExit):
        start_hook.run(SimpleNamespace(labels={}), head=False)
    left = json.loads((Path.home() / VERDICT_FILE).read_text())
    assert "RAY_OVERRIDE_RESOURCES is not JSON" in left["message"]
