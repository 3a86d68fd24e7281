"""The start of one node, told to the machines that are being set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling import _ray
from accel_scaling.providers.base.command_runner import NodeStart

if TYPE_CHECKING:
    from collections.abc import Callable

    from accel_scaling.providers.base.machine_start import FailedCommand, MachineStarts


@dataclass(frozen=True)
class ToldStart(NodeStart):
    """Tells of one node to the machines that are being set up."""

    starts: MachineStarts
    node_id: str
    answers: Callable[..., None]

    def reachable(self) -> None:
        """Say that ssh has answered; then the cloud's own part of the set-up is done."""
        self.starts.reachable(self.node_id)
        head = _ray.updates_head()
        if head is not None:
            self.answers(self.node_id, head=head)

    def start_begins(self) -> None:
        """Say that a start command begins."""
        self.starts.start_begins(self.node_id)

    def command_failed(self, failed: FailedCommand) -> None:
        """Say that a command has failed."""
        self.starts.command_failed(self.node_id, failed)

    def no_verdict(self) -> None:
        """Say that a start command has ended without a verdict."""
        self.starts.no_verdict(self.node_id)
