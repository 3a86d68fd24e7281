"""Quarantine in words: what the log, `ray status` and `accel-scaling status` say."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from accel_scaling.quarantine.ledger import EVERY_ZONE, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.quarantine.ledger import Quarantine

PAGE = "docs/quarantine.md"
_VERDICT = "see the verdict {} in docs/verdicts.md"

# A reason like a verdict's word, and none of `accel-scaling confirm`: the check has not come to one.
NO_VERDICT = "NoVerdict"


def where(quarantine: Quarantine) -> str:
    """Return ``in us-west-2a``, or ``everywhere``."""
    return "everywhere" if quarantine.zone in (EVERY_ZONE, "") else f"in {quarantine.zone}"


def why(quarantine: Quarantine) -> str:
    """Return the reason with its kind, e.g. ``refused: DriverMissing``."""
    return f"{quarantine.kind.value}: {quarantine.reason}"


def until(quarantine: Quarantine) -> str:
    """Return the end as UTC, as the autoscaler's log writes times on cloud machines."""
    return time.strftime("%H:%M:%S UTC", time.gmtime(quarantine.until_s))


def begun(node_type: str, quarantine: Quarantine) -> str:
    """Return the sentence for the log and the drivers when a quarantine begins."""
    minutes = (quarantine.until_s - quarantine.since_s) / 60
    return (
        f"node type {node_type} is left alone {where(quarantine)} for {minutes:g} min, until {until(quarantine)}"
        f" ({why(quarantine)}: {quarantine.message}); `accel-scaling status` on the head shows it"
    )


def ended(node_type: str) -> str:
    """Return the sentence for the log when a node type may be launched as before."""
    return f"node type {node_type} may be launched again everywhere"


def not_launched(node_type: str, active: Sequence[Quarantine]) -> str:
    """Return why nothing is launched now, for `ray status`."""
    parts = (f"{why(one)} {where(one)} until {until(one)}" for one in active)
    return f"{node_type} is left alone ({'; '.join(parts)}); `accel-scaling status --clear {node_type}` ends that"


def advice(quarantine: Quarantine) -> str:
    """Return what a person can do about it."""
    if quarantine.kind is Kind.SOLD_OUT:
        return "add zones, a reservation, or another node type that serves the same tasks"
    page = f"see {NO_VERDICT} in {PAGE}" if quarantine.reason == NO_VERDICT else _VERDICT.format(quarantine.reason)
    return f"{page}; it is tried again by itself after that time"
