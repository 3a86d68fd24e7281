"""Calls of a refresh to a cloud: tried again while it has too much to do, side by side, with their progress."""

from __future__ import annotations

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from accel_scaling import timeouts
from accel_scaling.catalog.launch_errors import PASSING, Category, Failure
from accel_scaling.errors import INTERRUPTED_CODE, AccelScalingError
from accel_scaling.refresh.records import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    Sleep = Callable[[float], None] | None
    Call = Callable[["Question", Callable[[float], None]], "Reply"]

T = TypeVar("T")

Question = TypeVar("Question")
Reply = TypeVar("Reply")


class RefreshError(AccelScalingError):
    """The cloud's API could not be asked, or its answer cannot be written."""


class InterruptedRefreshError(RefreshError):
    """Ctrl-C came before anything was known that could be kept."""

    exit_code = INTERRUPTED_CODE


class RefusedError(Exception):
    """The cloud did not answer a call, in the end; one region's trouble need not be another's."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(" ".join(str(failure).split()))  # a cloud's sentences may have line breaks
        self.failure = failure


def patiently(
    call: Callable[[], T],
    failure_of: Callable[[Exception], Failure | None],
    *,
    sleep: Sleep = None,
) -> T:
    """Return what a call returns, tried again where that may help.

    Args:
        call: asks the cloud once.
        failure_of: what an exception means; None where it is none of the cloud's.
        sleep: waits for seconds; ``time.sleep`` where it is None.

    Raises:
        RefusedError: the cloud refused, or was too busy each time.
    """
    for wait_s in (*timeouts.REFRESH_RETRY_WAITS_S, None):
        try:
            return call()
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            if wait_s is None or failure.category not in PASSING:
                raise RefusedError(failure) from error
        # Several regions may be throttled at once: each waits its own time.
        (sleep or time.sleep)(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
    raise AssertionError("the last wait is None")  # pragma: no cover


@contextmanager
def progress(what: str, total: int | None = None, unit: str = "region") -> Iterator[Callable[[], None]]:
    """Show a bar on standard error while the block runs, where that is a terminal; yields the step.

    Args:
        what: the text before the bar.
        total: number of steps; None where that is not known.
        unit: what a step is.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from tqdm import tqdm  # here: only a terminal needs it

    with tqdm(desc=what, total=total, unit=f" {unit}", leave=False, dynamic_ncols=True, file=sys.stderr) as bar:

        def step() -> None:
            bar.update()

        yield step


def at_once(
    call: Call[Question, Reply], questions: Sequence[Question], *, sleep: Sleep, what: str, unit: str = "region"
) -> tuple[list[tuple[Question, Reply]], bool]:
    """Return (question, answer) of each call that has answered, and whether Ctrl-C came before all had.

    After Ctrl-C no call begins; those that are under way may answer, and wait no more where a cloud is too busy.

    Args:
        call: asks, given a question and how to wait between tries.
        questions: in the order in which answers are returned.
        sleep: waits for seconds; where it is None, until Ctrl-C at most.
        what: the text before the progress bar.
        unit: what a call is.

    Raises:
        KeyboardInterrupt: Ctrl-C came a second time.
    """
    stopped = Event()

    def wait(seconds: float) -> None:
        # Not time.sleep: Ctrl-C reaches the main thread alone, and the waits of the others must end with it.
        if stopped.wait(seconds):
            raise RefusedError(Failure(Category.UNAVAILABLE, INTERRUPTED, ""))

    futures: list[tuple[Question, Future[Reply]]] = []
    with progress(what, len(questions), unit) as step, ThreadPoolExecutor(timeouts.REFRESH_PARALLEL) as pool:
        try:
            for question in questions:
                futures.append((question, pool.submit(call, question, sleep or wait)))  # noqa: PERF401 - Ctrl-C may come here
            for _, future in futures:
                future.result()
                step()
        except KeyboardInterrupt:
            stopped.set()
            # Threads cannot be ended: the calls under way are waited for.
            pool.shutdown(cancel_futures=True)
    done = [(question, future) for question, future in futures if not future.cancelled() and future.exception() is None]
    return [(question, future.result()) for question, future in done], stopped.is_set()
