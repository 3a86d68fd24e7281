"""The states of moto's instances, and the end of an instance that EC2 itself has brought about."""

from __future__ import annotations

import time
from typing import Any

PENDING, RUNNING = ("pending", 0), ("running", 16)
STOPPING, STOPPED = ("stopping", 64), ("stopped", 80)
SHUTTING_DOWN, TERMINATED = ("shutting-down", 32), ("terminated", 48)
LIVE = (PENDING[0], RUNNING[0])

# The words of EC2's console; the codes are those of StateReason in EC2's API reference.
_REASONS = {
    "Client.InternalError": "Client error on launch",
    "Client.InvalidSnapshot.NotFound": "The specified snapshot was not found",
    "Client.VolumeLimitExceeded": "Volume limit exceeded",
    "Server.InsufficientInstanceCapacity": "Insufficient capacity to satisfy instance request",
    "Server.InternalError": "Internal error on launch",
    "Server.SpotInstanceTermination": "Spot instance termination",
}


def set_state(instance: Any, state: tuple[str, int]) -> None:
    """Put a moto instance into an EC2 state and note since when."""
    instance._state.name, instance._state.code = state  # noqa: SLF001 - moto has no public setter
    instance.rehearsal_since = time.monotonic()


def end_by_ec2(instance: Any, reason: str | None) -> None:
    """End an instance as EC2 does when a launch fails after RunInstances has answered; nobody asked for it."""
    from moto.ec2.models.instances import StateReason

    reason = reason or "Client.InternalError"
    instance.terminate()
    # By reports of such launches the code is the server's, and the client's mistake is in the message
    # (github.com/aws/karpenter-provider-aws/issues/1407).
    code = reason if reason.startswith("Server.") else "Server.InternalError"
    instance.state_reason = StateReason(f"{reason}: {_REASONS.get(reason, 'the instance was terminated')}", code)
    instance._reason = code  # noqa: SLF001 - moto has no public setter
    set_state(instance, TERMINATED)
