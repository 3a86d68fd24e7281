"""The quarantine's sentences, for the autoscaler's log, `ray status` and `accel-scaling status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from accel_scaling import documentation
from accel_scaling.quarantine.machine import FAILURES, GONE, NO_VERDICT
from accel_scaling.quarantine.place import capacity_in, place_text
from accel_scaling.quarantine.record import Cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.quarantine.machine import Machine
    from accel_scaling.quarantine.record import Quarantine

__all__ = [
    "NO_VERDICT",
    "PAGE",
    "advice",
    "begun",
    "blocked",
    "end_of",
    "end_text",
    "ended",
    "not_launched",
    "paragraphs",
    "reason_text",
    "still",
    "zone_text",
]

PAGE = "quarantine"
_VERDICTS = "verdicts"


def zone_text(quarantine: Quarantine) -> str:
    """Return ``in us-west-2a``, ``in all zones``, or ``in us-west-2a (spot)``."""
    return f"in {place_text(quarantine.zone)}"


def reason_text(quarantine: Quarantine) -> str:
    """Return the cause and the reason, e.g. ``refused: DriverMissing``."""
    return f"{quarantine.cause.value}: {quarantine.reason}"


def end_text(quarantine: Quarantine) -> str:
    """Return the end as UTC, as the autoscaler's log writes times on cloud machines."""
    return time.strftime("%H:%M:%S UTC", time.gmtime(quarantine.until_s))


def begun(node_type: str, quarantine: Quarantine) -> str:
    """Return the sentence for the log and the drivers when a quarantine begins."""
    minutes = (quarantine.until_s - quarantine.since_s) / 60
    if quarantine.cause is Cause.NOT_YET:
        return (
            f"node type {node_type} is not launched {zone_text(quarantine)} until {end_text(quarantine)} "
            f"({quarantine.reason}: {quarantine.message})"
        )
    return (
        f"node type {node_type} is quarantined {zone_text(quarantine)} for {minutes:g} min, until"
        f" {end_text(quarantine)} ({reason_text(quarantine)}: {quarantine.message}); run `accel-scaling status` on the"
        " head to see it"
    )


def ended(node_type: str) -> str:
    """Return the sentence for the log when a node type may be launched as before."""
    return f"node type {node_type} is no longer quarantined: it may be launched again"


def not_launched(node_type: str, active: Sequence[Quarantine]) -> str:
    """Return the reason why a node type is not launched now, for `ray status`."""
    parts = (f"{reason_text(item)} {zone_text(item)} until {end_text(item)}" for item in active)
    return f"{node_type} is quarantined ({'; '.join(parts)}); `accel-scaling status --clear {node_type}` ends that"


def blocked(active: Sequence[Quarantine]) -> str:
    """Return in a few words why a node type is not launched now, for `ray status`."""
    last = max(active, key=lambda item: item.since_s)
    first_end = min(active, key=lambda item: item.until_s)
    return f"quarantined until {end_text(first_end)}, {reason_text(last)}"


def advice(quarantine: Quarantine) -> str:
    """Return what the user can do about a quarantine."""
    if quarantine.cause is Cause.SOLD_OUT:
        if capacity_in(quarantine.zone):
            return "the rest of its order in provider.capacity is tried; add zones, or capacity types at the end of it"
        return "add zones, a reservation, or another node type that can run the same tasks"
    if quarantine.cause is Cause.NOT_YET:
        return "nothing is wrong: the autoscaler launches it there when that time has come"
    if quarantine.cause is Cause.LAUNCH_ERROR:
        return "the cloud refuses this request each time: correct the node type's node_config, or grant the permission"
    if quarantine.reason in FAILURES:
        page = f"see {quarantine.reason} in {documentation.page(PAGE, quarantine.reason.lower())}"
    elif quarantine.cause is Cause.FAILED:
        page = f"the cloud ended its machines; see {GONE} in {documentation.page(PAGE, GONE.lower())}"
    else:
        page = f"see the verdict {quarantine.reason} in {documentation.page(_VERDICTS, quarantine.reason.lower())}"
    return f"{page}; after that time the autoscaler tries it again"


def paragraphs(quarantines: Sequence[tuple[str, Quarantine]]) -> list[str]:
    """Return the last message and the advice of quarantines; one paragraph for all zones that are alike.

    Args:
        quarantines: node types with their quarantines.
    """
    alike: dict[tuple[str, str, str], list[Quarantine]] = {}
    for name, item in quarantines:
        alike.setdefault((name, reason_text(item), advice(item)), []).append(item)
    return [
        f"{name} {_zones_text(items)}: {max(items, key=lambda item: item.since_s).message}\n  {what_to_do}"
        for (name, _, what_to_do), items in alike.items()
    ]


def _zones_text(items: Sequence[Quarantine]) -> str:
    zones = list(dict.fromkeys(place_text(item.zone) for item in items))
    return f"in {', '.join(zones)}"


def still(node_type: str, active: Sequence[Quarantine]) -> str:
    """Return the sentence that the drivers are told again while a node type is quarantined in all its zones."""
    last = max(active, key=lambda item: item.since_s)
    first_end = min(active, key=lambda item: item.until_s)
    return (
        f"node type {node_type} is still quarantined {_zones_text(active)}, until {end_text(first_end)} "
        f"({reason_text(last)}: {last.message}); tasks that need it wait, and no node type is missing; run "
        "`accel-scaling status` on the head to see it"
    )


def end_of(machine: Machine) -> str:
    """Return why a machine ended, or is given up, before it joined."""
    if machine.failure and machine.given_up:
        return f"{machine.failure.code}: {machine.failure.message}"
    # One that another user ended, after a first try that failed.
    return machine.end_reason or (machine.failure.message if machine.failure else "not known")
