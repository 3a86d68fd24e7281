"""Calls to Google's APIs: many at once, of which some may fail, and again after a conflict."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
R = TypeVar("R")


def call_each(
    function: Callable[[T], R], items: Iterable[T], *, pool: ThreadPoolExecutor | None = None
) -> tuple[dict[T, R], dict[T, Exception]]:
    """Call ``function`` with each item, many at once; return the results, and what the others raised.

    Args:
        function: what to call.
        items: what to call it with; each once, though it is named twice.
        pool: the threads to use; new ones where it is None.
    """
    results: dict[T, R] = {}
    errors: dict[T, Exception] = {}

    def call(item: T) -> None:
        try:
            results[item] = function(item)
        except Exception as error:  # noqa: BLE001 - handed to the caller, who has the other results too
            errors[item] = error

    todo = list(dict.fromkeys(items))
    if len(todo) <= 1:
        for item in todo:
            call(item)
        return results, errors
    if pool is not None:
        list(pool.map(call, todo))
        return results, errors
    with ThreadPoolExecutor(min(timeouts.GCP_PARALLEL, len(todo)), thread_name_prefix="accel-gcp") as threads:
        list(threads.map(call, todo))
    return results, errors


def retry_on_conflict(change: Callable[[], T], is_conflict: Callable[[Exception], bool]) -> T:
    """Make a change that reads first, again where another change came between; return what it returns.

    Args:
        change: reads and writes.
        is_conflict: says whether what it raised means that another change came between.

    Raises:
        Exception: what ``change`` raised for another reason, or at the last try (GCP_CONFLICT_TRIES).
    """
    for attempt in range(1, timeouts.GCP_CONFLICT_TRIES):
        try:
            return change()
        except Exception as error:
            if not is_conflict(error):
                raise
        time.sleep(attempt * timeouts.GCP_CONFLICT_WAIT_S)
    return change()
