"""Many calls at once, of which some may fail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
R = TypeVar("R")


def each(
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

    def one(item: T) -> None:
        try:
            results[item] = function(item)
        except Exception as error:  # noqa: BLE001 - handed to the caller, who has the other results too
            errors[item] = error

    todo = list(dict.fromkeys(items))
    if len(todo) <= 1:
        for item in todo:
            one(item)
        return results, errors
    if pool is not None:
        list(pool.map(one, todo))
        return results, errors
    with ThreadPoolExecutor(min(timeouts.GCP_PARALLEL, len(todo)), thread_name_prefix="accel-gcp") as own:
        list(own.map(one, todo))
    return results, errors
