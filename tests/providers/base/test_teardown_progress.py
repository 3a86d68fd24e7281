"""What `ray down` says about the machines that it ends: which, how many have ended, and which are left."""

from __future__ import annotations

import io
import threading

import pytest

from accel_scaling import status_line, timeouts
from accel_scaling.providers.base.teardown_progress import TeardownProgress

MACHINES = {"i-0": "head", "i-2": "a10g", "i-1": "a10g"}


class Output(io.StringIO):
    """Standard error, a terminal or a log, that knows when a text came."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal, self.awaited, self.came = terminal, "", threading.Event()

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str, /) -> int:
        written = super().write(text)
        if self.awaited in text:
            self.came.set()
        return written


def test_the_machines_are_named_by_node_type_and_only_a_change_is_told_again() -> None:
    lines: list[str] = []
    progress = TeardownProgress(stops=False, say=lines.append)
    for left in (MACHINES, MACHINES, {"i-0": "head"}, {"i-0": "head"}):
        with progress.ending(left):
            pass
    assert lines == ["Terminating 3 machines: a10g i-1, i-2; head i-0", "1 of 3 machines left: head i-0"]


def test_of_many_machines_of_a_node_type_a_few_are_named() -> None:
    lines: list[str] = []
    with TeardownProgress(stops=True, say=lines.append).ending({f"i-{number}": "t4" for number in range(9)}):
        pass
    assert lines == ["Stopping 9 machines: t4 i-0, i-1, i-2, i-3, i-4 and 4 more"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_slow_end_counts_on_a_terminal_and_in_a_log(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Output(terminal=terminal)
    screen.awaited = "2 of 3 machines terminated, 1 left ... "
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(status_line, "STATUS_LINE_S", 0.001)
    monkeypatch.setattr(timeouts, "LOG_PROGRESS_S", 0.001)
    with TeardownProgress(stops=False, say=lambda _: None).ending(MACHINES) as note:
        note(["i-0"])
        note(["i-1"])
        assert screen.came.wait(30)
    text = screen.getvalue()
    assert ("\033" in text) is terminal
    assert text.endswith("\r\033[K" if terminal else " s\n")


def test_a_command_on_all_machines_is_told_once() -> None:
    lines: list[str] = []
    progress = TeardownProgress(stops=False, say=lines.append)
    for command in ("ray stop", "docker stop ray_container", "docker stop ray_container"):
        progress.runs(command, 60)
    assert lines == [
        "Running `ray stop` before the machines end, for at most 60 s on each",
        "Running `docker stop ray_container` before the machines end, for at most 60 s on each",
    ]
