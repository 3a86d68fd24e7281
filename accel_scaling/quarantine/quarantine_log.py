"""The autoscaler's log of quarantines: each that begins; a place that waits for its time, only when that is news."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling.quarantine import messages
from accel_scaling.quarantine.record import Cause

if TYPE_CHECKING:
    from accel_scaling.quarantine.record import Quarantine

logger = logging.getLogger(__name__)


class QuarantineLog:
    """What one autoscaler process has logged of places that are not open yet; a new process begins again."""

    def __init__(self) -> None:
        """Remember nothing."""
        # Node type and place -> the reason that was logged last, and when.
        self._waits: dict[tuple[str, str], tuple[str, float]] = {}

    def begun(self, node_type: str, quarantine: Quarantine) -> None:
        """Log a quarantine that begins."""
        if quarantine.cause is not Cause.NOT_YET:
            logger.error("%s", messages.begun(node_type, quarantine))
        elif self._is_news(node_type, quarantine):
            logger.warning("%s", messages.begun(node_type, quarantine))

    def _is_news(self, node_type: str, quarantine: Quarantine) -> bool:
        """Return whether to log that a place waits: a reservation in use is asked again each minute, for days."""
        key, words = (node_type, quarantine.zone), f"{quarantine.reason}: {quarantine.message}"
        last, told_s = self._waits.get(key, ("", -math.inf))
        # Also after a clock that was set back.
        if words == last and 0 <= quarantine.since_s - told_s < timeouts.NOT_YET_LOGGED_AGAIN_S:
            return False
        self._waits[key] = (words, quarantine.since_s)
        return True
