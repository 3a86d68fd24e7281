"""Failures of EC2's calls: what an error means, and whether the call may have been carried out anyway."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError

from accel_scaling import _ray, timeouts
from accel_scaling.catalog.launch_errors import PASSING, Category, Failure, classified
from accel_scaling.providers.aws.cloud import CLOUD
from accel_scaling.providers.aws.errors import sentence_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

# What a lost, silent or garbled connection raises.
BROKEN = (
    HTTPClientError,
    BotoConnectionError,
    IncompleteReadError,
    ResponseParserError,
    OSError,
    http.client.HTTPException,
)


class CallFailedError(Exception):
    """A call of EC2 that failed, after all its tries.

    Attributes:
        failure: what it means.
        undecided: whether EC2 may have carried it out.
    """

    def __init__(self, failure: Failure, *, undecided: bool) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.undecided = undecided


def failure_of(error: BaseException) -> Failure:
    """Return what an error of a call means."""
    if isinstance(error, CallFailedError):
        return error.failure
    if isinstance(error, _ray.node_launch_exception()):
        # Ray's provider has wrapped AWS's error into its own, with the code as the category.
        return classified(CLOUD.name, [error.category], error.description)
    if isinstance(error, BROKEN):
        return Failure(
            Category.CONNECTION, type(error).__name__, sentence_of(error) or str(error) or "no answer from EC2"
        )
    response = getattr(error, "response", None) or {}
    details = response.get("Error", {}) if isinstance(response, dict) else {}
    # An error without an answer has no code: the name of its class, or of a class that it is of, stands for one.
    codes = [details["Code"]] if details.get("Code") else [one.__name__ for one in type(error).__mro__]
    return classified(CLOUD.name, codes, details.get("Message") or sentence_of(error) or str(error))


def is_undecided(error: BaseException) -> bool:
    """Return whether a call that raised this may have been carried out: only EC2 knows then."""
    if isinstance(error, CallFailedError):
        return error.undecided
    cause = _cause(error)
    if isinstance(cause, (ClientError, _ray.node_launch_exception())):
        category = failure_of(error).category
        # EC2 answers a lack of capacity with a 5xx too, but that is an answer; a 5xx of an unknown code is none.
        return category is Category.UNAVAILABLE or (category is Category.UNKNOWN and _status(cause) >= 500)
    # Of botocore's other errors, those of parameters and credentials come before anything is sent. What is none of
    # botocore's comes from an answer that could not be read.
    return isinstance(cause, BROKEN) or not isinstance(cause, BotoCoreError)


class Tries:
    """The tries of one call or of several that belong together: the waits between them, and a time after which none.

    Args:
        sleep: waits so many seconds.
        clock: seconds that only grow.
        waits: before each further try; None for those of launches.
    """

    def __init__(
        self,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        waits: Iterable[float] | None = None,
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._until_s = clock() + timeouts.AWS_LAUNCH_UNTIL_S
        self._waits: Iterator[float] = iter(timeouts.AWS_LAUNCH_RETRY_WAITS_S if waits is None else waits)

    def wait(self) -> bool:
        """Wait before the next try; return False at once where there is none."""
        wait_s = None if self._clock() > self._until_s else next(self._waits, None)
        if wait_s is None:
            return False
        self._sleep(wait_s)
        return True

    def call(self, call: Callable[[], T]) -> T:
        """Make a call that does no harm when it is repeated, until it is answered; return the answer.

        Raises:
            CallFailedError: EC2 refuses it, or there is no further try.
        """
        undecided = False
        while True:
            try:
                return call()
            except Exception as error:  # noqa: PERF203 - the loop is for this
                undecided = undecided or is_undecided(error)
                failure = failure_of(error)
                if failure.category not in PASSING or not self.wait():
                    raise CallFailedError(failure, undecided=undecided) from error


def _cause(error: BaseException) -> BaseException:
    """Return AWS's own error behind the one that Ray's provider made of it."""
    info = getattr(error, "src_exc_info", None)
    cause = info[1] if info else None
    return cause if isinstance(cause, BaseException) else error


def _status(error: BaseException) -> int:
    response = getattr(error, "response", None) or {}
    return int((response.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 0)
