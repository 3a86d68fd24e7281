"""`ray status` under "Recent failures", and v2's lines to drivers: the node types that are not launched now, and why.

While a node type has no workers left to launch, Ray does not ask the provider for one, so no launch fails and
`ray status` has nothing to show. v2 makes the list in each round from its records of instances, in one static method;
v1 has a tracker of launches that failed, and shows what is in it.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from accel_scaling._ray.autoscaler import autoscaler_version
from accel_scaling._ray.infeasible_lines import give_reason
from accel_scaling._ray.launcher import node_launch_exception, variable_of_callers

if TYPE_CHECKING:
    from collections.abc import Mapping


class BlockedType(NamedTuple):
    """A node type that is not launched now.

    Attributes:
        why: a few words, which `ray status` shows.
        sentence: all of it, which `ray status -v` shows.
        since_s: since when, in Unix seconds.
    """

    why: str
    sentence: str
    since_s: float


# One autoscaler in a process, whose classes are as global. The wrapped method reads it.
_blocked: dict[str, BlockedType] = {}


class RecentFailures:
    """The list of one autoscaler process."""

    def __init__(self, tracker: Any | None) -> None:
        """Use v1's tracker of launches, or v2's method, where there is none."""
        self._tracker = tracker
        self._shown: frozenset[str] = frozenset()

    def show(self, blocked: Mapping[str, BlockedType]) -> None:
        """Show these node types from now on, and no longer those of before."""
        if self._tracker is None:
            _blocked.clear()
            _blocked.update(blocked)
            return
        for name in self._shown - blocked.keys():
            # As after a launch that succeeded: v1 would prefer other node types for half an hour.
            self._tracker.update_node_availability(name, 0, None)
        for name, one in blocked.items():
            error = node_launch_exception()(one.why, one.sentence, None)
            self._tracker.update_node_availability(name, int(one.since_s), error)
        self._shown = frozenset(blocked)


def shown_failures() -> RecentFailures:
    """Return the list of the autoscaler that is making its provider just now; of any other process one that is unread.

    A Ray that is newer than those that were checked may have no such method: it does what Ray does.
    """
    if autoscaler_version() == "v1":
        return RecentFailures(variable_of_callers("node_provider_availability_tracker", "update_node_availability"))
    from ray.autoscaler.v2.event_logger import AutoscalerEventLogger
    from ray.autoscaler.v2.instance_manager.reconciler import Reconciler

    wrap(Reconciler)
    give_reason(AutoscalerEventLogger, lambda: {name: one.why for name, one in list(_blocked.items())})
    return RecentFailures(None)


def wrap(reconciler: Any) -> None:
    """Add our node types to what v2's reconciler reports, once."""
    of_ray = getattr(reconciler, "_fill_autoscaling_state", None)
    if of_ray is None or hasattr(of_ray, "__wrapped__"):
        return

    @functools.wraps(of_ray)
    def fill(*arguments: Any, **named: Any) -> None:
        of_ray(*arguments, **named)
        # What a newer Ray does differently must not stop its round: then `ray status` lacks our lines.
        with contextlib.suppress(AttributeError, TypeError, ValueError, IndexError):
            add_to(named["autoscaling_state"] if "autoscaling_state" in named else arguments[1])

    reconciler._fill_autoscaling_state = staticmethod(fill)  # noqa: SLF001 - Ray's


def add_to(autoscaling_state: Any) -> None:
    """Add our node types to an ``AutoscalingState`` of v2, as launches that failed."""
    for name, one in list(_blocked.items()):
        autoscaling_state.failed_instance_requests.add(
            # The text of `ray status` has the node type's name, and no reason: so the reason is beside the name.
            ray_node_type_name=f"{name} ({one.why})",
            instance_type_name=name,
            count=1,
            start_ts=int(one.since_s),
            failed_ts=int(one.since_s),
            reason=one.sentence,
        )


def blocked_in(autoscaling_state: Any) -> dict[str, str]:
    """Return the node types that a cluster's v2 reports by ``add_to``, each with the few words why."""
    blocked = {}
    for one in autoscaling_state.failed_instance_requests:
        shown, name = str(one.ray_node_type_name), str(one.instance_type_name)
        # Of a launch that failed, Ray has the bare name of the node type there.
        if shown.startswith(f"{name} (") and shown.endswith(")"):
            blocked[name] = shown.removeprefix(f"{name} (").removesuffix(")")
    return blocked
