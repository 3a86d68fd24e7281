"""What is told of a request for machines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """One request: how many of which type, where, how many came, and Google's code if fewer did."""

    machine_type: str
    count: int
    granted: int
    zone: str
    error: str | None = None
