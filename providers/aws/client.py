"""Questions to AWS at which a person waits: the settings of boto3, and a time by which there is an answer.

Ray's provider has boto try a call 13 times with waits that double: where there is no network, that takes half an hour
before its error is seen.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from accel_scaling import timeouts
from accel_scaling.providers.aws.errors import AWSRefusedError
from accel_scaling.providers.base.teardown import SilentError, within

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def quickly(credentials: dict[str, Any] | None) -> dict[str, Any]:
    """Return the credentials of a cluster file with settings that give up within a minute, for Ray's clients."""
    return {**(credentials or {}), "config": _settings()}


def in_time(question: Callable[[], T]) -> T:
    """Return what EC2 answers to a question; its errors are raised as they are.

    Raises:
        AWSRefusedError: it does not answer in time.
    """
    try:
        return within(timeouts.READ_ANSWER_S, question, "EC2 did not answer")
    except SilentError as error:
        raise AWSRefusedError(f"{error}; is the network up, and does a firewall let you out?") from None


# One object: Ray keeps its clients by their arguments, and boto's settings are equal to themselves only.
@functools.cache
def _settings() -> Any:
    from botocore.config import Config

    return Config(
        retries={"total_max_attempts": timeouts.AWS_READ_TRIES, "mode": "standard"},
        connect_timeout=timeouts.AWS_READ_CONNECT_S,
        read_timeout=timeouts.AWS_READ_CALL_S,
    )
