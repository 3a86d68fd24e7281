"""A command runner that notices a refused boot check and hands its sentence to the provider."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray
from accel_scaling.node import wiring
from accel_scaling.providers import slice_starts

if TYPE_CHECKING:
    from collections.abc import Callable


class NodeRefusedError(click.ClickException):
    """The start command of a node that was not confirmed.

    Ray's updater prints ``cmd``, ``returncode`` and ``stderr`` of an error that has them, and a traceback otherwise.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.cmd = "ray start"
        self.returncode = wiring.EXIT_REFUSED
        self.stderr = sentence


class RefusingCommandRunner:
    """Passes everything to Ray's command runner; after a start command, the node's hosts are asked for a verdict."""

    def __init__(
        self,
        runner: Any,
        on_refused: Callable[[str, str], None],
        on_joined: Callable[[str, str], None],
        host_zero_seen: Callable[[], None] = lambda: None,
    ) -> None:
        """Tell ``on_refused`` or ``on_joined`` a verdict's word and sentence.

        Args:
            runner: Ray's.
            on_refused: the node may not join.
            on_joined: it may.
            host_zero_seen: of a slice with several hosts, returns when the autoscaler has seen host 0.
        """
        self._runner = runner
        self._host_zero_seen = host_zero_seen
        self._on_refused = on_refused
        self._on_joined = on_joined

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def run(self, cmd: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Run a command on the node.

        Raises:
            NodeRefusedError: it was a start command, and the node's verdict does not let it join, or host 0 of a slice
                did not join.
        """
        starts = bool(cmd) and wiring.is_confirmed_start(str(cmd))
        try:
            if starts and len(_ray.hosts_of(self._runner)) > 1:
                output = slice_starts.start(self._runner, str(cmd), self._host_zero_seen, *args, **kwargs)
            else:
                output = self._runner.run(cmd, *args, **kwargs)
        except slice_starts.HostZeroMissingError as error:
            raise NodeRefusedError(str(error)) from None
        except _ray.command_failed():
            refusal = self._refusal() if starts else None
            if refusal is None:
                raise
            word, sentence = refusal
            self._on_refused(word, sentence)
            raise NodeRefusedError(sentence) from None
        if starts and (verdict := _verdict_of(_ray.hosts_of(self._runner)[0])):
            self._on_joined(str(verdict.get("verdict")), str(verdict.get("message")))
        return output

    def _refusal(self) -> tuple[str, str] | None:
        """Return the word of the first host that may not join, and its sentence; None where there is none to read."""
        hosts = _ray.hosts_of(self._runner)
        for number, host in enumerate(hosts):
            verdict = _verdict_of(host)
            if verdict is not None and not verdict.get("joins"):
                where = "" if len(hosts) == 1 else f"host {number} of {len(hosts)}: "
                word = str(verdict.get("verdict"))
                return word, f"{where}{word}: {verdict.get('message')}"
        return None


def _verdict_of(host: Any) -> dict[str, Any] | None:
    try:
        output = host.run(f"cat ~/{wiring.VERDICT_FILE}", with_output=True)
    except _ray.command_failed():
        return None
    text = output.decode(errors="replace") if isinstance(output, bytes) else str(output)
    try:
        # A login shell may print around it.
        verdict = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except ValueError:
        return None
    return verdict if isinstance(verdict, dict) else None
