"""What a person at a terminal gets and a program does not: completion, colours, a line that says what is going on."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from accel_scaling import _ray, terminal, timeouts
from accel_scaling.cli.completion import SHELLS
from accel_scaling.cli.main import COMMANDS, main
from accel_scaling.quarantine.ledger import Ledger
from accel_scaling.quarantine.record import Cause, Quarantine, Record
from accel_scaling.quarantine.store import to_json
from accel_scaling.status_line import StatusLine
from accel_scaling.testing.rehearse.timeline import Timeline

GREEN = "\033[32m"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


# --- completion ---


@pytest.fixture(name="script")
def script_fixture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["completion", "bash"]) == 0
    path = tmp_path / "completion.bash"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path


def typed_in_bash(script: Path, folder: Path, keys: str) -> str:
    """What an interactive bash on a terminal calls `accel-scaling` with, for these keys and Enter."""
    setup = f"PS1=; accel-scaling() {{ printf '<%s>' \"$@\"; echo .; }}; source {shlex.quote(str(script))}\n"
    ours, its = pty.openpty()
    bash = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        stdin=its, stdout=its, stderr=its, cwd=folder, start_new_session=True, close_fds=True,
    )  # fmt: skip
    os.close(its)
    os.write(ours, f"{setup}{keys}\nexit\n".encode())
    output = b""
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:  # Linux says that the other end is closed
            break
        if not more:
            break
        output += more
    bash.wait(timeout=30)
    os.close(ours)
    called = re.findall(rb"((?:<[^<>%]*>)+)\.", output)
    assert called, output.decode(errors="replace")
    return called[-1].decode()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("accel-scaling cat\t sho\t p4d.24xlarge --js\t", "<catalog><show><p4d.24xlarge><--json>"),
        ("accel-scaling fill my-clu\t", "<fill><my-cluster.yaml>"),
        ("accel-scaling init g\t --acc\t T4", "<init><gcp><--accelerator><T4>"),
        ("accel-scaling rehearse my-clu\t --hosts iso\t", "<rehearse><my-cluster.yaml><--hosts><isolated>"),
    ],
)
def test_a_real_bash_completes_commands_options_and_files(script: Path, tmp_path: Path, keys: str, words: str) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    (folder / "my-cluster.yaml").touch()
    assert typed_in_bash(script, folder, keys) == words


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_a_script_with_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert [command for command in COMMANDS if command not in script] == []


def test_a_shell_that_the_installed_shtab_does_not_know_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shtab

    monkeypatch.setattr(shtab, "SUPPORTED_SHELLS", ["bash"])  # as shtab 1.7's, without fish
    assert main(["completion", "fish"]) == 2
    assert "writes nothing for fish; `pip install --upgrade shtab`" in capsys.readouterr().err


def test_no_other_command_imports_shtab() -> None:
    code = (
        "import sys; from accel_scaling.cli.main import main; main(['catalog', 'show', 'g5.xlarge']); "
        "sys.exit('shtab' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


# --- colours ---


def test_colours_are_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert terminal.painted("Confirmed", terminal.Paint.GOOD, Terminal()) == f"{GREEN}Confirmed\033[0m"
    assert terminal.painted("Confirmed", terminal.Paint.GOOD, io.StringIO()) == "Confirmed"
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.wants_colours(Terminal())


@pytest.mark.parametrize(
    ("environment", "on_terminal", "off_terminal"),
    [({"NO_COLOR": "1"}, False, False), ({"FORCE_COLOR": "1"}, True, True), ({"NO_COLOR": ""}, True, False),
     ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False)],
)  # fmt: skip
def test_no_color_and_force_color_decide(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], on_terminal: bool, off_terminal: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert terminal.wants_colours(Terminal()) is on_terminal
    assert terminal.wants_colours(io.StringIO()) is off_terminal


def test_errors_verdicts_and_the_story_of_a_rehearsal_are_coloured_by_the_same_rule(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["fill", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err == "\033[31maccel-scaling:\033[0m nowhere.yaml does not exist\n"
    assert main(["confirm", "--expect", '{"CPU": 1}']) == 0
    assert capsys.readouterr().out.startswith(GREEN)
    story = io.StringIO()
    Timeline(0.0, story).say(1.0, "confirmed", "g5.xlarge")
    assert f"{GREEN}confirmed " in story.getvalue()


# --- the line of status ---


def test_off_a_terminal_there_is_no_line_of_status_and_texts_pass_as_they_are() -> None:
    out = io.StringIO()
    line = StatusLine(out)
    with line.doing("`ray up`"):
        line.write("confirmed\n")
    assert out.getvalue() == "confirmed\n"


def test_on_a_terminal_the_line_says_what_is_done_for_how_long_gives_way_to_texts_and_vanishes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr("accel_scaling.status_line.STATUS_LINE_S", 0.001)
    shown, out = threading.Event(), Terminal()
    line = StatusLine(out, iter(range(0, 10**6, 7)).__next__)
    original = line.show
    monkeypatch.setattr(line, "show", lambda status: (original(status), shown.set()))
    with line.doing("ray up"):
        assert shown.wait(30)
    assert out.getvalue().startswith("\r\033[Kray up ... 7 s")
    assert out.getvalue().endswith("\r\033[K")
    out.truncate(0)
    line.show("a status that is longer than the terminal")
    line.write("confirmed\n")
    line.write("running\n")
    assert out.getvalue().strip("\0") == "\r\033[Ka status that is lo\r\033[Kconfirmed\nrunning\n"
    assert timeouts.STATUS_LINE_S > 0


def test_an_error_while_something_is_done_ends_the_line_too() -> None:
    out = Terminal()
    line = StatusLine(out)

    def interrupted() -> None:
        with line.doing("ray up"):
            line.show("ray up ... 1 s")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert out.getvalue().endswith("\r\033[K")
    assert [thread.name for thread in threading.enumerate() if thread.name == "status line"] == []


# --- texts from nodes ---


EVIL = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202edenrut\u2028next"


def test_a_text_from_elsewhere_commands_no_terminal_and_our_colours_stay() -> None:
    text = terminal.without_controls(f"\033[32mconfirmed\033[0m {EVIL}\nnext line\t\u00fc \u4e2d")
    assert text == "\033[32mconfirmed\033[0m ?]0;owned??[2J ?31m?denrut next\nnext line \u00fc \u4e2d"


def test_status_shows_what_a_hostile_node_has_said_without_its_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = {"zone": f"z{EVIL}", "cause": "refused", "reason": f"R{EVIL}", "message": EVIL}
    quarantine = Quarantine(**{**item, "cause": Cause.REFUSED}, since_s=time.time(), until_s=time.time() + 300)  # type: ignore[arg-type]
    ledger = Ledger(types={"p4d": Record(quarantines=(quarantine,))}, kept={"i-1": EVIL})
    (tmp_path / "state.json").write_text(json.dumps(to_json(ledger)))
    assert main(["status", "--state", str(tmp_path / "state.json")]) == 0
    shown = capsys.readouterr().out
    assert "owned" in shown
    assert all(sign.isprintable() or sign == "\n" for sign in shown)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_sentence_for_all_drivers_has_no_commands_for_their_terminals(
    version: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ray._private.event import event_logger

    told: list[str] = []
    events = {"AUTOSCALER": SimpleNamespace(error=told.append)} if version == "v2" else {}
    monkeypatch.setattr(event_logger, "_event_logger", events)
    with caplog.at_level("INFO"):
        _ray.tell_drivers(f"node type p4d is quarantined: {EVIL}")
    (text,) = told or [caplog.records[-1].getMessage()]
    assert "owned" in text
    assert text.isprintable()
