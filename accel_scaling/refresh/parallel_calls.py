"""Calls to several regions side by side, until all have answered or Ctrl-C comes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from accel_scaling import timeouts
from accel_scaling.catalog.launch_errors import Category, Failure
from accel_scaling.refresh.progress import progress
from accel_scaling.refresh.records import INTERRUPTED
from accel_scaling.refresh.retry import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from accel_scaling.refresh.retry import Sleep

    Call = Callable[["Asked", Callable[[float], None]], "Said"]

Asked = TypeVar("Asked")
Said = TypeVar("Said")


def at_once(
    call: Call[Asked, Said], asked: Sequence[Asked], *, sleep: Sleep, what: str, unit: str = "region"
) -> tuple[list[tuple[Asked, Said]], bool]:
    """Return (asked, answer) of each call that has answered, and whether Ctrl-C came before all had.

    After Ctrl-C no call begins; those that are under way may answer, and wait no more where a cloud is too busy.

    Args:
        call: asks, given what is asked and how to wait between tries.
        asked: what to ask, in the order in which answers are returned.
        sleep: waits for seconds; where it is None, until Ctrl-C at most.
        what: stands before the progress bar.
        unit: what a call is.

    Raises:
        KeyboardInterrupt: Ctrl-C came a second time.
    """
    stopped = Event()

    def wait(seconds: float) -> None:
        if stopped.wait(seconds):
            raise RefusedError(Failure(Category.UNAVAILABLE, INTERRUPTED, ""))

    futures: list[tuple[Asked, Future[Said]]] = []
    with progress(what, len(asked), unit) as step, ThreadPoolExecutor(timeouts.REFRESH_PARALLEL) as pool:
        try:
            for question in asked:
                futures.append((question, pool.submit(call, question, sleep or wait)))  # noqa: PERF401 - Ctrl-C may come here
            for _, future in futures:
                future.result()
                step()
        except KeyboardInterrupt:
            stopped.set()
            pool.shutdown(cancel_futures=True)
    done = [(question, future) for question, future in futures if not future.cancelled() and future.exception() is None]
    return [(question, future.result()) for question, future in done], stopped.is_set()
