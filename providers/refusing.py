"""A command runner that notices a refused boot check and hands its sentence to the provider."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray
from accel_scaling.node import wiring

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
    """Passes everything to Ray's command runner; after a failed start, the node's hosts are asked for a verdict."""

    def __init__(self, runner: Any, on_refused: Callable[[str], None]) -> None:
        self._runner = runner
        self._on_refused = on_refused

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def run(self, cmd: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Run a command on the node.

        Raises:
            NodeRefusedError: it was a start command, and the node's verdict is not Confirmed.
        """
        try:
            return self._runner.run(cmd, *args, **kwargs)
        except _ray.command_failed():
            sentence = self._verdict() if cmd and wiring.is_confirmed_start(cmd) else None
            if sentence is None:
                raise
            self._on_refused(sentence)
            raise NodeRefusedError(sentence) from None

    def _verdict(self) -> str | None:
        """Return the sentence of the first host whose verdict is not Confirmed, None where there is none to read."""
        hosts = _ray.hosts_of(self._runner)
        for number, host in enumerate(hosts):
            sentence = _verdict_of(host)
            if sentence is not None:
                return sentence if len(hosts) == 1 else f"host {number} of {len(hosts)}: {sentence}"
        return None


def _verdict_of(host: Any) -> str | None:
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
    if verdict.get("verdict") == "Confirmed":
        return None
    return f"{verdict.get('verdict')}: {verdict.get('message')}"
