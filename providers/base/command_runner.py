"""A command runner that notices a refused boot check, or one without an end, and tells the provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray
from accel_scaling.boot.start_prefix import has_boot_check
from accel_scaling.boot.verdict_file import VerdictRead, new_start, read_command, read_verdict, with_start
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED
from accel_scaling.providers.base import tpu_slice_start
from accel_scaling.quarantine.messages import NO_VERDICT

if TYPE_CHECKING:
    from collections.abc import Callable

_SSH_FAILED = 255  # ssh's own exit code: the connection broke, and nothing is known of the machine

_NO_END = "before its boot check came to a verdict; the autoscaler's log has its output"


class NodeRefusedError(click.ClickException):
    """The start command of a node that was not confirmed.

    Ray's updater prints ``cmd``, ``returncode`` and ``stderr`` of an error that has them, and a traceback otherwise.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.cmd = "ray start"
        self.returncode = EXIT_NOT_CONFIRMED
        self.stderr = sentence


class RefusingCommandRunner:
    """Ray's command runner of a node; after a start command, the node's hosts are asked for a verdict."""

    def __init__(
        self,
        runner: Any,
        on_refused: Callable[[str, str], bool],
        on_joined: Callable[[str, str], None],
        host_zero_seen: Callable[[], None] = lambda: None,
    ) -> None:
        """Tell ``on_refused`` or ``on_joined`` a verdict's word and sentence.

        Args:
            runner: Ray's.
            on_refused: the node may not join; says whether the machine is given up. ``NoVerdict`` is its word for a
                check without an end.
            on_joined: it may.
            host_zero_seen: of a slice with several hosts, returns when the autoscaler has seen host 0.
        """
        self._runner = runner
        self._host_zero_seen = host_zero_seen
        self._on_refused = on_refused
        self._on_joined = on_joined
        # One number for all start commands of this runner: the verdict is that of the one that starts Ray.
        self._start = new_start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def run(self, cmd: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Run a command on the node.

        Raises:
            NodeRefusedError: it was a start command, and the machine is given up: its verdict does not let it join,
                or there is none; or host 0 of a slice did not join.
        """
        starts = bool(cmd) and has_boot_check(str(cmd))
        if starts:
            cmd = with_start(str(cmd), self._start)
        try:
            # Host by host, in a way of our own: Ray's runner of a slice runs the command everywhere at once.
            if starts and len(_ray.hosts_of(self._runner)) > 1:
                output = tpu_slice_start.start(
                    self._runner, str(cmd), self._host_zero_seen, self._is_checked, *args, **kwargs
                )
            else:
                output = self._runner.run(cmd, *args, **kwargs)
        except tpu_slice_start.HostZeroMissingError as error:
            raise NodeRefusedError(str(error)) from None
        except _ray.command_failed() as error:
            # A set-up command that fails says nothing about the devices: its error stays Ray's.
            refusal = self._refusal(_exit_code(error)) if starts else None
            if refusal is None or not self._on_refused(*refusal):
                raise
            raise NodeRefusedError(refusal[1]) from None
        # Host 0 stands for all: each host of a slice has confirmed before it joined.
        if starts and (verdict := self._verdict_of(_ray.hosts_of(self._runner)[0])):
            self._on_joined(verdict.word, verdict.message)
        return output

    def _is_checked(self, host: Any) -> bool:
        text = _said_by(host, self._start)
        # A host that does not answer is started, as nothing is known of it.
        return text is None or read_verdict(text, self._start) is not None

    def _verdict_of(self, host: Any) -> VerdictRead | None:
        text = _said_by(host, self._start)
        return None if text is None else read_verdict(text, self._start)

    def _refusal(self, code: int | None) -> tuple[str, str] | None:
        """Return the word of the first host that may not join, and its sentence; None where nothing speaks against it.

        Args:
            code: with which the start command ended, where that is known.
        """
        hosts = _ray.hosts_of(self._runner)
        texts = [_said_by(host, self._start) for host in hosts]
        verdicts = [None if text is None else read_verdict(text, self._start) for text in texts]
        # A verdict counts even where ssh broke after it was written.
        for number, verdict in enumerate(verdicts):
            if verdict is not None and not verdict.joins:
                return verdict.word, f"{_where(number, hosts)}{verdict.word}: {verdict.message}"
        # Here each host has confirmed, is silent, or has written nothing; and a broken connection explains the last.
        if code == _SSH_FAILED:
            return None
        for number, verdict in enumerate(verdicts):
            if verdict is None and texts[number] is not None:
                how = "failed" if code is None else f"ended with {code}"
                sentence = f"`ray start` {how} {_NO_END}"
                return NO_VERDICT, f"{_where(number, hosts)}{NO_VERDICT}: {sentence}"
        return None


def _where(number: int, hosts: list[Any]) -> str:
    return "" if len(hosts) == 1 else f"host {number} of {len(hosts)}: "


def _exit_code(error: BaseException) -> int | None:
    """Return the exit code of a failed command; Ray's errors have it, or hide the one that has it."""
    # Ray raises its ClickException while it handles the error of the process; that one has the code.
    code = getattr(error, "code", None) or getattr(error.__context__, "returncode", None)
    return code if isinstance(code, int) else None


def _said_by(host: Any, start: str) -> bytes | str | None:
    """Return what a host prints of its verdict, nothing where there is none; None where the host does not answer."""
    try:
        output = host.run(read_command(start), with_output=True)
    except _ray.command_failed():
        return None
    return output if isinstance(output, bytes) else str(output)
