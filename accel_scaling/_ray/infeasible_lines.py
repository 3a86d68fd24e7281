"""v2's line to drivers about tasks that no node type can run, while node types are not launched for another reason.

Ray tells a driver every few seconds to "add suitable node types", also where one is in the file and in quarantine:
its `max_workers` is used up then, and Ray knows no other reason. The line gets that reason; all else of it stays. v1
compares tasks with node types alone, and does not print the line then.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ADVICE = "Add suitable node types to this cluster to resolve this issue."
"""How Ray's line ends (autoscaler/v2/event_logger.py)."""


class _ReasonLogger:
    """An event logger of Ray's whose warnings of that kind have our reason."""

    def __init__(self, logger: Any, reason: str) -> None:
        self._logger, self._reason = logger, reason

    def warning(self, message: str, **more: Any) -> None:
        """Log a warning, with the reason in the place of Ray's advice."""
        self._logger.warning(message.replace(ADVICE, self._reason), **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)


def give_reason(event_logger: Any, blocked: Callable[[], Mapping[str, str]]) -> None:
    """Make v2's event logger say why node types are not launched now, once.

    Args:
        event_logger: Ray's class.
        blocked: returns the node types that are not launched now, each with a few words why.
    """
    of_ray = getattr(event_logger, "log_cluster_scheduling_update", None)
    if of_ray is None or hasattr(of_ray, "__wrapped__"):
        return

    @functools.wraps(of_ray)
    def log(self: Any, *arguments: Any, **named: Any) -> None:
        speaker = self
        # A newer Ray whose logger is made otherwise says what it says.
        with contextlib.suppress(AttributeError, TypeError):
            if now := blocked():
                with_reason = copy.copy(self)
                with_reason._logger = _ReasonLogger(self._logger, _reason(now))  # noqa: SLF001 - Ray's
                speaker = with_reason
        of_ray(speaker, *arguments, **named)

    event_logger.log_cluster_scheduling_update = log


def _reason(blocked: Mapping[str, str]) -> str:
    names = "; ".join(f"{name} ({why})" for name, why in blocked.items())
    return f"These node types are not launched now: {names}. If none of them fits, add suitable node types."
