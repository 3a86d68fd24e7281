"""A command runner that notices what fails on a node: set-up commands, the boot check, the start of Ray."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray, timeouts
from accel_scaling.boot.start_prefix import as_written, has_boot_check
from accel_scaling.boot.verdict_file import VerdictRead, new_start, read_command, read_verdict, with_start
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED
from accel_scaling.message_text import one_line
from accel_scaling.providers.base import tpu_slice_start
from accel_scaling.providers.base.authentication import Authentication, bring_token, with_mode
from accel_scaling.providers.base.command_output import last_line
from accel_scaling.providers.base.machine_start import FailedCommand
from accel_scaling.quarantine.machine import NO_VERDICT, START_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_SSH_FAILED = 255  # ssh's own exit code: the connection broke, and nothing is known of the machine

_NO_END = "before its boot check had a verdict"


class NodeRefusedError(click.ClickException):
    """The start command of a node that was not confirmed.

    Ray's updater prints ``cmd``, ``returncode`` and ``stderr`` of an error that has them, and a traceback otherwise.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.cmd = "ray start"
        self.returncode = EXIT_NOT_CONFIRMED
        self.stderr = sentence


class Probes:
    """The machines that are asked just now whether ssh answers; with more of them, each is asked less often."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def __enter__(self) -> None:
        with self._lock:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._count -= 1

    def wait_s(self) -> float:
        """Return how long to wait before a machine is asked again; at most as long as Ray waits."""
        share = max(1.0, self._count / timeouts.SSH_PROBES_AT_ONCE)
        return min(timeouts.SSH_PROBE_WAIT_S * share, timeouts.SSH_PROBE_MOST_WAIT_S)


_PROBES = Probes()


class NodeStart:
    """Who is told how the start of one node goes; by itself, nobody."""

    def reachable(self) -> None:
        """Be told that ssh answers."""

    def start_begins(self) -> None:
        """Be told that a start command begins."""

    def command_failed(self, failed: FailedCommand) -> None:
        """Be told of a command that failed."""

    def no_verdict(self) -> None:
        """Be told that a start command ended with 0 and left no verdict."""


class RefusingCommandRunner:
    """Ray's command runner of a node; after a start command, the node's hosts are asked for a verdict."""

    def __init__(
        self,
        runner: Any,
        on_refused: Callable[[str, str], bool | str],
        on_joined: Callable[[str, str], None],
        host_zero_seen: Callable[[], None] = lambda: None,
        told: NodeStart | None = None,
        *,
        authentication: Callable[[], Authentication] = Authentication,
        policies: Callable[[str], str] = lambda command: command,
    ) -> None:
        """Tell ``on_refused`` or ``on_joined`` a verdict's word and sentence.

        Args:
            runner: Ray's.
            on_refused: the node may not join; says whether the machine is given up, or the sentence to say then.
                ``NoVerdict`` is its word for a check without an end, ``StartFailed`` for a host 0 that did not join.
            on_joined: it may.
            host_zero_seen: of a slice with several hosts, returns when the autoscaler has seen host 0.
            told: is told of everything else.
            authentication: says whether this node's Ray is to ask for a token, and which.
            policies: adds to a start command what the cluster file says of this node.
        """
        self._runner = runner
        self._host_zero_seen = host_zero_seen
        self._on_refused = on_refused
        self._on_joined = on_joined
        self._told = told or NodeStart()
        self._authentication_of = authentication
        self._with_policies = policies
        self._brought: Authentication | None = None
        # One number for all start commands of this runner: the verdict is that of the one that starts Ray.
        self._number = new_start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def run(self, cmd: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Run a command on the node.

        Raises:
            NodeRefusedError: it was a start command, and the machine is given up: its verdict does not let it join,
                or there is none; or host 0 of a slice did not join.
        """
        command = str(cmd or "")
        if has_boot_check(command):
            return self._start(command, *args, **kwargs)
        with self._failures_of(command):
            if command == _ray.PROBE_COMMAND and self._answers_soon(command, kwargs):
                output = None
            else:
                output = self._runner.run(_ray.stop_where_ray_runs(command) if cmd else cmd, *args, **kwargs)
        if command == _ray.PROBE_COMMAND:
            self._told.reachable()
        return output

    def _answers_soon(self, probe: str, options: Mapping[str, Any]) -> bool:
        """Return whether ssh has answered a quick try; Ray asks once, and then waits 5 s before it asks again."""
        if len(_ray.hosts_of(self._runner)) > 1:
            return False  # Ray's runner of a slice asks all of its hosts at once
        quick = {**options, **_ray.quick_probe(self._runner, timeouts.SSH_PROBE_CONNECT_S)}
        until_s = time.time() + timeouts.SSH_PROBES_S
        with _PROBES:
            while time.time() < until_s:
                if self._answers(probe, quick):
                    return True
                time.sleep(_PROBES.wait_s())
        return False

    def _answers(self, probe: str, options: Mapping[str, Any]) -> bool:
        try:
            self._runner.run(probe, **options)
        except _ray.command_failed():
            return False
        return True

    def run_init(self, *args: Any, **kwargs: Any) -> Any:
        """Start the node's container, where the cluster has containers."""
        with self._failures_of("the start of its container"):
            return self._runner.run_init(*args, **kwargs)

    def run_rsync_up(self, source: str, target: str, *args: Any, **kwargs: Any) -> Any:
        """Copy files to the node."""
        with self._failures_of(f"rsync to {target}"):
            return self._runner.run_rsync_up(source, target, *args, **kwargs)

    @contextlib.contextmanager
    def _failures_of(self, command: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # Its error stays Ray's, which may try again: a set-up command that fails says nothing about the devices.
            failed = _failed(command, error)
            self._told.command_failed(failed)
            _say_it_to_ray(error, failed)
            raise

    def _start(self, command: str, *args: Any, **kwargs: Any) -> Any:
        self._told.start_begins()
        cmd = with_mode(with_start(self._with_policies(command), self._number), self._authentication())
        try:
            # Host by host, in a way of our own: Ray's runner of a slice runs the command everywhere at once.
            if len(_ray.hosts_of(self._runner)) > 1:
                output = tpu_slice_start.start(
                    self._runner, cmd, self._host_zero_seen, self._is_checked, *args, **kwargs
                )
            else:
                output = self._runner.run(cmd, *args, **kwargs)
        except tpu_slice_start.HostZeroMissingError as error:
            self._refuse(START_FAILED, str(error))
            raise NodeRefusedError(str(error)) from None
        except _ray.command_failed() as error:
            failed = _failed(as_written(command), error, starts_ray=True)
            refusal = self._refusal(failed)
            if refusal and (sentence := self._refuse(*refusal)):
                raise NodeRefusedError(sentence) from None
            self._told.command_failed(failed)
            _say_it_to_ray(error, failed)
            raise
        self._ended_with_0()
        return output

    def _authentication(self) -> Authentication:
        """Return what the node is told, and bring it the token, once for all of its start commands."""
        if self._brought is None:
            authentication = self._authentication_of()
            with self._failures_of("the copy of Ray's token"):
                bring_token(self._runner, authentication)
            self._brought = authentication
        return self._brought

    def _ended_with_0(self) -> None:
        """Look at the verdicts after a start command whose exit code says that all is well.

        Raises:
            NodeRefusedError: a verdict does not let its host join; a pipe or ``|| true`` has hidden the exit code.
        """
        texts, verdicts = self._verdicts()
        refusal = self._refusal_of(verdicts)
        if refusal and (sentence := self._refuse(*refusal)):
            raise NodeRefusedError(sentence)
        # Host 0 stands for all: each host of a slice has confirmed before it joined.
        first = verdicts[0]
        if first is not None and not refusal:
            self._on_joined(first.word, first.message)
        elif texts[0] is not None and not refusal:
            self._told.no_verdict()

    def _refuse(self, word: str, sentence: str) -> str | None:
        """Return the sentence to say where the machine is given up, else None."""
        given_up = self._on_refused(word, sentence)
        return given_up if isinstance(given_up, str) else sentence if given_up else None

    def _is_checked(self, host: Any) -> bool:
        text = _said_by(host, self._number)
        # A host that does not answer is started, as nothing is known of it.
        return text is None or read_verdict(text, self._number) is not None

    def _verdicts(self) -> tuple[list[bytes | str | None], list[VerdictRead | None]]:
        texts = [_said_by(host, self._number) for host in _ray.hosts_of(self._runner)]
        return texts, [None if text is None else read_verdict(text, self._number) for text in texts]

    def _refusal_of(self, verdicts: list[VerdictRead | None]) -> tuple[str, str] | None:
        """Return the word of the first host whose verdict does not let it join, and its sentence."""
        for number, verdict in enumerate(verdicts):
            if verdict is not None and not verdict.joins:
                return verdict.word, f"{_where(number, verdicts)}{verdict.word}: {verdict.message}"
        return None

    def _refusal(self, failed: FailedCommand) -> tuple[str, str] | None:
        """Return the word of the first host that may not join, and its sentence; None where nothing speaks against it.

        Args:
            failed: the start command.
        """
        texts, verdicts = self._verdicts()
        # A verdict counts even where ssh broke after it was written.
        if refusal := self._refusal_of(verdicts):
            return refusal
        # Here each host has confirmed, is silent, or has written nothing; and a broken connection explains the last.
        if failed.connection_broke:
            return None
        for number, verdict in enumerate(verdicts):
            if verdict is None and texts[number] is not None:
                said = f": {failed.last_line}" if failed.last_line else "; the autoscaler's log has its output"
                return NO_VERDICT, f"{_where(number, verdicts)}{NO_VERDICT}: {failed.words} {_NO_END}{said}"
        return None


def _where(number: int, hosts: Sequence[Any]) -> str:
    return "" if len(hosts) == 1 else f"host {number} of {len(hosts)}: "


def _exit_code(error: BaseException) -> int | None:
    """Return the exit code of a failed command; Ray's errors have it, or hide the one that has it."""
    # Ray raises its ClickException while it handles the error of the process; that one has the code.
    code = getattr(error, "code", None) or getattr(error.__context__, "returncode", None)
    return code if isinstance(code, int) else None


def _failed(command: str, error: BaseException, *, starts_ray: bool = False) -> FailedCommand:
    code = _exit_code(error)
    # An error that does not come from a command (a file that is missing on the head) has its own sentence.
    said = last_line(error) or ("" if isinstance(error, _ray.command_failed()) else one_line(str(error), 200))
    return FailedCommand(command, code, said, starts_ray, code == _SSH_FAILED)


def _say_it_to_ray(error: BaseException, failed: FailedCommand) -> None:
    """Give the error of a command what Ray's updater prints in one line; without it, it prints a traceback."""
    if isinstance(error, _ray.command_failed()):
        error.cmd = failed.command  # type: ignore[attr-defined]
        error.returncode = failed.exit_code  # type: ignore[attr-defined]
        error.stderr = failed.last_line  # type: ignore[attr-defined]


def _said_by(host: Any, start: str) -> bytes | str | None:
    """Return what a host prints of its verdict, nothing where there is none; None where the host does not answer."""
    try:
        output = host.run(read_command(start), with_output=True)
    except _ray.command_failed():
        return None
    return output if isinstance(output, bytes) else str(output)
