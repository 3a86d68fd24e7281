"""The launches that a cloud refused, as `accel-scaling status` lists them. Pure values; times are Unix seconds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.quarantine.values import checked, strings, time_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class LaunchFailure:
    """A launch that failed, and all later ones that failed alike.

    Attributes:
        node_type: what was asked for.
        zone: where; ``*`` for all zones.
        code: the cloud's.
        message: the cloud's.
        last_s: when it last failed so, within `LAUNCH_FAILURE_AGAIN_S`.
    """

    node_type: str
    zone: str
    code: str
    message: str
    last_s: float


def with_failure(failures: Sequence[LaunchFailure], new: LaunchFailure) -> tuple[LaunchFailure, ...]:
    """Return the failures with a new one, newest last; one that was written a moment ago stays as it is.

    Autoscaler v2 tries again every few seconds: each write of the state file would tell nothing new.
    """
    same = [one for one in failures if replace(one, message=new.message, last_s=new.last_s) == new]
    if same and 0 <= new.last_s - same[-1].last_s < timeouts.LAUNCH_FAILURE_AGAIN_S:
        return tuple(failures)
    others = [one for one in failures if one not in same]
    return (*others, new)[-timeouts.LAUNCH_FAILURES_REMEMBERED :]


def to_json(failure: LaunchFailure) -> dict[str, Any]:
    """Return a failure as the state file and ``status --json`` have it."""
    return asdict(failure)


def failure_from(content: Any, path: str) -> LaunchFailure:
    """Return the failure of a state file.

    Raises:
        ValueError: it is none; the text names the place.
    """
    words = strings(checked(content, dict, path), ("node_type", "zone", "code", "message"), path)
    return LaunchFailure(**words, last_s=time_of(content.get("last_s"), f"{path}.last_s"))
