"""What a start command that failed means: a machine that is refused, one of which nothing is known, a broken line."""

from __future__ import annotations

import contextlib
import subprocess
from typing import Any

import click
import pytest
from ray.autoscaler._private.command_runner import ProcessRunnerError

from accel_scaling import timeouts
from accel_scaling.boot.start_prefix import as_written, with_boot_check
from accel_scaling.providers.base.command_runner import NodeRefusedError, NodeStart, Probes, RefusingCommandRunner
from accel_scaling.providers.base.machine_start import FailedCommand
from accel_scaling.quarantine.messages import NO_VERDICT
from tests.support.emulated_time import emulated_time

SILENT = "`ray start --address=x` ended with 3 before its boot check had a verdict; the autoscaler's log has its output"


class Node:
    """A node whose commands fail with this exit code, as Ray's runner says it, and which has this verdict file."""

    def __init__(self, verdict: str | None, *, login_shells: bool, code: int = 3, says: str = "") -> None:
        self.verdict, self.login_shells, self.code, self.says = verdict, login_shells, code, says

    def run(self, cmd: str, **_: Any) -> bytes:
        if cmd.startswith("cat ") and self.verdict is not None:
            return f"motd of {{a}} login shell\r\n{self.verdict}\r\n".encode()
        if not self.code:
            return b""
        if not self.login_shells:
            raise ProcessRunnerError("Command failed", "ssh_command_failed", code=self.code, command=cmd)
        try:
            words = ["sh", "-c", f"printf '%s' '{self.says}'; exit {self.code}"]
            subprocess.run(words, check=True, stdout=subprocess.PIPE)
        except subprocess.CalledProcessError:
            raise click.ClickException("SSH command failed.") from None
        raise AssertionError("unreachable: it fails")


@pytest.fixture(name="told")
def told_fixture() -> list[tuple[str, str]]:
    return []


def runner_on(node: Node, told: list[tuple[str, str]], *, gives_up: bool = True) -> RefusingCommandRunner:
    def refused(word: str, sentence: str) -> bool:
        told.append((word, sentence))
        return gives_up

    return RefusingCommandRunner(node, refused, lambda *_: None)


@pytest.mark.parametrize(
    ("verdict", "refused"),
    [
        (
            '{"verdict": "DriverMissing", "message": "no driver", "joins": false}',
            [("DriverMissing", "DriverMissing: no driver")],
        ),
        ('{"verdict": "Confirmed", "message": "fine", "joins": true}', []),
        (
            '{"verdict": "Driver\\u001b[31mMissing", "message": "\\u001b]0;x\\u0007no driver", "joins": "true"}',
            [("DrivermMissing", "DrivermMissing: ]0;x no driver")],
        ),
        ('{"verdict": "Confirmed", "joins": true, "start": "of yesterday"}', [(NO_VERDICT, f"{NO_VERDICT}: {SILENT}")]),
        ("[" * 200_000, [(NO_VERDICT, f"{NO_VERDICT}: {SILENT}")]),
        ("{damaged", [(NO_VERDICT, f"{NO_VERDICT}: {SILENT}")]),
        ("", [(NO_VERDICT, f"{NO_VERDICT}: {SILENT}")]),
        (None, []),  # the node does not answer: the line is broken
    ],
)
@pytest.mark.parametrize("login_shells", [True, False])
def test_a_failed_start_gives_a_machine_up_unless_it_was_confirmed_or_cannot_be_asked(
    verdict: str | None, refused: list[tuple[str, str]], login_shells: bool, told: list[tuple[str, str]]
) -> None:
    runner = runner_on(Node(verdict, login_shells=login_shells), told)
    rays = click.ClickException if login_shells else ProcessRunnerError
    with pytest.raises(NodeRefusedError if refused else rays):
        runner.run(with_boot_check("ray start --address=x"))
    with pytest.raises(rays):
        runner.run("pip install x")
    assert told == refused


@pytest.mark.parametrize("login_shells", [True, False])
def test_a_connection_that_broke_during_the_start_says_nothing_about_the_machine(
    login_shells: bool, told: list[tuple[str, str]]
) -> None:
    with pytest.raises((click.ClickException, ProcessRunnerError)) as error:
        runner_on(Node("", login_shells=login_shells, code=255), told).run(with_boot_check("ray start"))
    assert not isinstance(error.value, NodeRefusedError)
    assert told == []


def test_a_start_command_that_comes_to_no_check_is_named_with_its_last_line(told: list[tuple[str, str]]) -> None:
    node = Node("", login_shells=True, code=127, says="bash: conda: command not found\r\n")
    with pytest.raises(NodeRefusedError):
        runner_on(node, told).run(with_boot_check("conda activate x && ray start"))
    reason = f"ended with 127 before its boot check had a verdict: {node.says.strip()}"
    assert told == [(NO_VERDICT, f"{NO_VERDICT}: `conda activate x && ray start` {reason}")]


@pytest.mark.parametrize("command", ["pip install x", with_boot_check("conda activate x && ray start")])
def test_rays_updater_says_a_failed_command_in_one_line(command: str, told: list[tuple[str, str]]) -> None:
    """It prints a traceback for an error without these three names."""
    node = Node("", login_shells=True, code=127, says="command not found\r\n")
    with pytest.raises(click.ClickException) as error:
        runner_on(node, told, gives_up=False).run(command)
    said: Any = error.value
    assert (said.cmd, said.returncode, said.stderr) == (as_written(command), 127, "command not found")


def test_where_the_provider_does_not_give_it_up_rays_own_error_is_seen(told: list[tuple[str, str]]) -> None:
    with pytest.raises(ProcessRunnerError):
        runner_on(Node("", login_shells=False), told, gives_up=False).run(with_boot_check("ray start --head"))
    assert [word for word, _ in told] == [NO_VERDICT]


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize(
    "around",
    [
        "Welcome {{user}} to {host}\n%s",
        "%s\n{motd} logout",
        '{"verdict": "Confirmed", "message": "an older one", "joins": true}\n%s',
        "\x1b[2J{\r\n  %s  \r\n}",
    ],
)
def test_a_banner_with_brackets_before_or_after_a_verdict_hides_it_not(
    around: str, code: int, told: list[tuple[str, str]]
) -> None:
    verdict = '{"verdict": "DriverMissing", "message": "no driver", "joins": false}'
    node = Node(around % verdict, login_shells=False, code=code)
    with pytest.raises(NodeRefusedError, match="DriverMissing: no driver"):
        runner_on(node, told).run(with_boot_check("ray start"))
    assert told == [("DriverMissing", "DriverMissing: no driver")]


@pytest.mark.parametrize("joins", ['"false"', "null", "0", "1", "[]", '"true"'])
def test_a_verdict_lets_a_machine_join_by_true_alone(joins: str, told: list[tuple[str, str]]) -> None:
    node = Node(f'{{"verdict": "OtherType", "message": "m", "joins": {joins}}}', login_shells=False, code=0)
    with pytest.raises(NodeRefusedError):
        runner_on(node, told).run(with_boot_check("ray start"))
    assert [word for word, _ in told] == ["OtherType"]


def test_a_text_of_many_brackets_is_no_verdict(told: list[tuple[str, str]]) -> None:
    with pytest.raises(NodeRefusedError):
        runner_on(Node("[" * 200_000 + "{" * 200_000 + "}", login_shells=False), told).run(with_boot_check("ray start"))
    assert [word for word, _ in told] == [NO_VERDICT]


def test_rays_runner_lets_the_exit_code_be_seen() -> None:
    import inspect

    from ray.autoscaler._private.command_runner import SSHCommandRunner

    source = inspect.getsource(SSHCommandRunner._run_helper)
    handler = source.partition("except subprocess.CalledProcessError")[2]
    assert "raise click.ClickException" in handler, "refusing.py finds no exit code: a broken line is a strike"
    assert "code=e.returncode" in handler


class Booting:
    """A machine that answers ssh at the given try; what it is asked is noted."""

    def __init__(self, answers_at: int) -> None:
        self.answers_at = answers_at
        self.asked: list[dict[str, Any]] = []

    def run(self, cmd: str, *, timeout: int = 120, run_env: str = "auto", silent: bool = False) -> bytes:
        self.asked.append({"cmd": cmd, "timeout": timeout, "silent": silent})
        if len(self.asked) < self.answers_at:
            raise click.ClickException("SSH command failed.")
        return b""


def reached(node: Any) -> tuple[RefusingCommandRunner, list[str]]:
    heard: list[str] = []

    class Told(NodeStart):
        def reachable(self) -> None:
            heard.append("reachable")

        def command_failed(self, failed: FailedCommand) -> None:
            heard.append(failed.command)

    return RefusingCommandRunner(node, lambda *_: True, lambda *_: None, told=Told()), heard


def test_ssh_is_tried_until_it_answers_without_rays_pause_of_five_seconds() -> None:
    node = Booting(answers_at=8)
    with emulated_time() as clock:
        began_s = clock.now()
        runner, heard = reached(node)
        runner.run("uptime", timeout=10, run_env="host")
        assert clock.now() - began_s == pytest.approx(7 * timeouts.SSH_PROBE_WAIT_S)
    assert heard == ["reachable"]
    assert all(asked["silent"] and asked["timeout"] == timeouts.SSH_PROBE_CONNECT_S for asked in node.asked)


def test_a_machine_that_does_not_answer_quick_tries_gets_rays_own_and_its_error_is_rays() -> None:
    node = Booting(answers_at=10_000)
    with emulated_time() as clock:
        began_s = clock.now()
        runner, heard = reached(node)
        with pytest.raises(click.ClickException):
            runner.run("uptime", timeout=10, run_env="host")
        assert clock.now() - began_s <= timeouts.SSH_PROBES_S + 1
    assert heard == ["uptime"], "one failure for Ray's one question"
    assert node.asked[-1] == {"cmd": "uptime", "timeout": 10, "silent": False}


def test_a_thousand_machines_that_boot_are_tried_as_often_as_by_ray() -> None:
    probes = Probes()
    waits = []
    with contextlib.ExitStack() as stack:
        for count in range(1, 1001):
            stack.enter_context(probes)
            if count in (1, 8, 80, 1000):
                waits.append(probes.wait_s())
    assert waits == [0.25, 0.25, 2.5, 5.0]


def test_ray_stop_is_sent_with_a_look_whether_ray_runs_and_fails_under_its_own_name() -> None:
    node = Booting(answers_at=2)
    runner, heard = reached(node)
    with pytest.raises(click.ClickException):
        runner.run("export RAY_HEAD_IP=10.0.0.1; ray stop", run_env="auto")
    assert node.asked[0]["cmd"].endswith("|| ray stop")
    assert heard == ["export RAY_HEAD_IP=10.0.0.1; ray stop"]
