"""Calls of a driver's library in a forked child, with a timeout: a library may hang, or take its process along.

A fork rather than a new interpreter: it costs a few milliseconds, and every boot waits for it. The child calls the
library, answers through a pipe and ends; it runs none of what its parent's other threads were doing.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import select
import signal
import time
import warnings
from typing import TYPE_CHECKING, NoReturn, TypeVar

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Callable

_Answer = TypeVar("_Answer")
_CHUNK_BYTES = 65536


class NoAnswerError(Exception):
    """There was no answer in time."""


class CrashedError(Exception):
    """The child ended without an answer; the text says how, as the middle of a sentence."""


def call(question: Callable[[], _Answer], timeout_s: float) -> _Answer:
    """Return what ``question`` returns in a child process.

    Args:
        question: called in the child; its answer must be picklable, and what it raises counts as a crash.
        timeout_s: how long an answer may take.

    Raises:
        NoAnswerError: it took longer, or there can be no child just now.
        CrashedError: the child died, or the question raised.
    """
    reading, writing = os.pipe()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 of any fork beside threads
            child = os.fork()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        raise NoAnswerError(f"no process for it: {error.strerror}") from error
    if child == 0:
        _answer(question, writing)
    # The parent's end: while it is open, the end of what the child writes is never seen.
    os.close(writing)
    reply = None
    try:
        # Before the wait for its end: a child whose answer is larger than the pipe ends only when it has been read.
        reply = _read(reading, time.monotonic() + timeout_s)
    finally:  # Ctrl-C among the reasons
        os.close(reading)
        status = _ended(child, wait_s=0.0 if reply is None else timeouts.DRIVER_LIBRARY_END_S)
    if reply is None:
        raise NoAnswerError(f"no answer within {timeout_s:g} s")
    if not reply:
        raise CrashedError(_how(status))
    ok, answer = pickle.loads(reply)  # noqa: S301 - from a child of this very process
    if not ok:
        raise CrashedError(answer)
    return answer  # type: ignore[no-any-return]


def _answer(question: Callable[[], object], writing: int) -> NoReturn:
    """Answer and end, in the child: without the parent's exit handlers, and without flushing what it had buffered."""
    # _exit and no exception out of here: else the child would continue in its parent's code, beside it.
    code = 1
    faulthandler.disable()  # where the parent has it: a crash is one sentence, not a page of stack
    try:
        try:
            reply = (True, question())
        except Exception as error:  # noqa: BLE001 - the parent says it
            reply = (False, f"{type(error).__name__}: {error}")
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps(reply))
        code = 0
    finally:
        os._exit(code)


def _read(reading: int, deadline_s: float) -> bytes | None:
    """Return all that comes until the child's end is closed; None where that lasts too long."""
    poll = select.poll()  # not select(): a process with many files has large numbers for them
    poll.register(reading, select.POLLIN)
    reply = b""
    while (left_s := deadline_s - time.monotonic()) > 0:
        if not poll.poll(left_s * 1000):
            continue
        part = os.read(reading, _CHUNK_BYTES)
        if not part:
            return reply
        reply += part
    return None


def _ended(child: int, wait_s: float) -> int:
    """Have the child end, by itself within ``wait_s`` or killed, and return its status; 0 where it cannot be known.

    A process in an uninterruptible call of a broken driver does not even die of SIGKILL; that is not waited for.
    """
    deadline_s = time.monotonic() + wait_s
    killed = False
    with contextlib.suppress(ChildProcessError):  # where the parent has SIGCHLD ignored
        while True:
            # Asked again and again, as a wait that blocks has no time limit.
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
            if time.monotonic() > deadline_s:
                if killed:
                    return 0
                os.kill(child, signal.SIGKILL)
                killed, deadline_s = True, time.monotonic() + timeouts.DRIVER_LIBRARY_END_S
            time.sleep(timeouts.DRIVER_LIBRARY_POLL_S)
    return 0


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(ValueError):
            return f"its process died of {signal.Signals(number).name}"
        return f"its process died of signal {number}"
    return f"its process ended with {os.waitstatus_to_exitcode(status)} and no answer"
