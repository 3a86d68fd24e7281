"""The settings of boto3 for questions at which a person waits.

Ray's provider has boto try a call 13 times with waits that double: where there is no network, that takes half an hour
before its error is seen.
"""

from __future__ import annotations

import functools
from typing import Any

from accel_scaling import timeouts


def quickly(credentials: dict[str, Any] | None) -> dict[str, Any]:
    """Return the credentials of a cluster file with settings that give up within a minute, for Ray's clients."""
    return {**(credentials or {}), "config": _settings()}


# One object: Ray keeps its clients by their arguments, and boto's settings are equal to themselves only.
@functools.cache
def _settings() -> Any:
    from botocore.config import Config

    return Config(
        retries={"total_max_attempts": timeouts.AWS_READ_TRIES, "mode": "standard"},
        connect_timeout=timeouts.AWS_READ_CONNECT_S,
        read_timeout=timeouts.AWS_READ_CALL_S,
    )
