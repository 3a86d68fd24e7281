"""Labels and names of nodes on Google Cloud: Ray's tags as labels, which are written behind, and names of machines.

A label value holds up to 63 of lower-case letters, digits, `_` and `-`; a key begins with a letter
(docs.cloud.google.com/compute/docs/labeling-resources). Ray's tags hold what users write: `ray.worker.gpu`. A value
that Google takes stays as it is; any other is written as `x--` and its text, each other character as `_` and two hex
digits of its UTF-8 bytes: `x--ray_2eworker_2egpu`. That can be read back, so nothing is lost.

A tag is visible at once and written a moment later, many tags in one call; nothing is lost when the process ends.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import signal
import threading
import time
import uuid
import weakref
from typing import TYPE_CHECKING

from accel_scaling import timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Write = Callable[[str, dict[str, str]], bool]

logger = logging.getLogger(__name__)

MAX_LABEL = 63
MAX_NAME = 63  # of an instance, docs.cloud.google.com/compute/docs/naming-resources; TPU nodes are the same

_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_CHARACTERS = re.compile(r"[a-z0-9_-]*")
_ENCODED = re.compile(r"x--(?:[a-z0-9-]|_[0-9a-f]{2})*")
_MARK = "x--"


def valid_key(key: str) -> bool:
    """Return whether Google takes this as a label's key."""
    return _KEY.fullmatch(key) is not None


def valid_value(value: str) -> bool:
    """Return whether Google takes this as a label's value."""
    return _VALUE.fullmatch(value) is not None


def is_plain(value: str) -> bool:
    """Return whether a tag's value is a label's as it is, of whatever length."""
    # A value that begins with the mark itself is encoded as well: read back, each label has one meaning.
    return _CHARACTERS.fullmatch(value) is not None and not value.startswith(_MARK)


def to_label(value: str) -> str:
    """Return a tag's value as a label's; longer than Google takes where the value is long."""
    if is_plain(value):
        return value
    # `_` is encoded too, though Google takes it: in an encoded value it begins a byte.
    return _MARK + "".join(
        char if re.fullmatch(r"[a-z0-9-]", char) else "".join(f"_{byte:02x}" for byte in char.encode())
        for char in value
    )


def from_label(value: str) -> str:
    """Return the tag's value that to_label() wrote; a label that it did not write comes back as it is."""
    if not _ENCODED.fullmatch(value):
        return value
    data = re.sub(rb"_([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), value[len(_MARK) :].encode())
    try:
        return data.decode()
    except UnicodeDecodeError:
        # another user's label, which only looks like one of ours.
        return value


def to_labels(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags as labels."""
    return {key: to_label(value) for key, value in tags.items()}


def from_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels as tags."""
    return {key: from_label(value) for key, value in labels.items()}


def new_name(node_name: str, ending_word: str) -> str:
    """Return a new machine's name, such as `ray-mine-worker-1a2b3c4d-compute`; Ray reads the kind at its end.

    Shortened and with dashes where Google takes no more: the label with the node's name has all of it.
    """
    # The random part keeps two machines of one node type apart, so it is never cut off, nor is the word at the end.
    ending = f"-{uuid.uuid4().hex[:8]}-{ending_word}"
    begin = re.sub(r"[^a-z0-9-]", "-", node_name.lower())[: MAX_NAME - len(ending)].strip("-")
    return (begin if begin[:1].isalpha() else f"ray-{begin}"[: MAX_NAME - len(ending)].rstrip("-")) + ending


# Weak: what is written as the process ends must not keep a provider alive that nobody uses any more.
_writers: weakref.WeakSet[LabelWriter] = weakref.WeakSet()


class LabelWriter:
    """The tags that were set, kept until Google has them, and for as long as an older listing may still come in.

    Tags that are set on a node within a short while are one write; a node is never written by two threads at once.

    Args:
        write: writes these tags of a node to Google; False if there is no such node. What it raises is logged, and
            the write tried again.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._changed = threading.Condition()
        self._tags: dict[str, dict[str, str]] = {}  # what was set and may not be in a listing yet
        self._unwritten: dict[str, dict[str, str]] = {}
        self._due: dict[str, float] = {}  # of each node in _unwritten: when to write it
        self._busy: set[str] = set()
        self._written_at: dict[str, float] = {}
        self._threads = 0
        _writers.add(self)
        _flush_on_sigterm()

    def set(self, node_id: str, tags: Mapping[str, str], within_s: float | None = None) -> None:
        """Set tags of a node: merged() has them from now on, Google soon, or within so many seconds.

        What is set later is written with it, and no later than that needs.
        """
        due = time.monotonic() + (timeouts.GCP_LABELS_DELAY_S if within_s is None else within_s)
        with self._changed:
            self._tags.setdefault(node_id, {}).update(tags)
            self._unwritten.setdefault(node_id, {}).update(tags)
            # Ray's updaters set four tags on each node, and a write takes Google a second or more: the first tag starts
            # the delay, and later ones join its write.
            self._due[node_id] = min(due, self._due.get(node_id, due))
            self._changed.notify_all()
            starts = self._threads < min(timeouts.GCP_PARALLEL, len(self._unwritten))
            self._threads += starts
        if starts:
            self._start_thread()

    def merged(self, node_id: str, labels: dict[str, str], asked_at: float) -> dict[str, str]:
        """Return a node's labels, as Google said them when asked at ``asked_at`` (monotonic), with what was set since.

        A tag is taken from here until Google was asked after it was written: an answer that was on its way
        meanwhile must not bring the old value back.
        """
        with self._changed:
            tags = self._tags.get(node_id)
            if tags is None:
                return labels
            if node_id in self._unwritten or node_id in self._busy or self._written_at[node_id] >= asked_at:
                return {**labels, **tags}
            self._forget(node_id)
            return labels

    def forget(self, node_id: str) -> None:
        """Drop what is unwritten of a node that is deleted."""
        with self._changed:
            self._forget(node_id)

    def abandon(self) -> None:
        """Drop everything that is unwritten."""
        with self._changed:
            for node_id in list(self._tags):
                self._forget(node_id)

    def flush(self, timeout_s: float) -> list[str]:
        """Write everything now; return the nodes whose tags could not be written in time."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._due = dict.fromkeys(self._due, 0.0)
            self._changed.notify_all()
        while (left := deadline - time.monotonic()) > 0:
            # When the interpreter ends, no thread can be started: this one writes. It might outstay its time there.
            if not self._threads and self._step():
                continue
            with self._changed:
                if not self._unwritten and not self._busy:
                    break
                self._changed.wait(min(left, self._wait_s()))
        with self._changed:
            return sorted({*self._unwritten, *self._busy})

    def _start_thread(self) -> None:
        try:
            threading.Thread(target=self._run, name="accel-gcp-labels", daemon=True).start()
        except RuntimeError:  # the interpreter ends; flush() writes
            with self._changed:
                self._threads -= 1

    def _run(self) -> None:
        while True:
            if self._step():
                continue
            with self._changed:
                if not self._unwritten:
                    self._threads -= 1
                    return
                self._changed.wait(self._wait_s())

    def _wait_s(self) -> float:
        """Return how long until a node that nobody writes is due; a change ends the wait earlier."""
        dues = [due for node_id, due in self._due.items() if node_id not in self._busy]
        return max(0.0, min(dues, default=time.monotonic() + 1) - time.monotonic()) + 0.001

    def _step(self) -> bool:
        """Write one node that is due, and say whether there was one."""
        with self._changed:
            now = time.monotonic()
            node_id = next((name for name, due in self._due.items() if due <= now and name not in self._busy), None)
            if node_id is None:
                return False
            tags = self._unwritten.pop(node_id)
            del self._due[node_id]
            self._busy.add(node_id)
        # Without the lock: set() and merged() are called by every thread of Ray's, and a write takes a second or more.
        failed, exists = False, True
        try:
            exists = self._write(node_id, tags)
        except Exception as error:  # noqa: BLE001 - whatever it is, the tags must not be lost
            failed = True
            logger.warning("tags of %s are not written yet: %s", node_id, error)
        with self._changed:
            self._busy.discard(node_id)
            self._written_at[node_id] = time.monotonic()
            if failed and node_id in self._tags:
                # What was set during the write is newer, and wins.
                self._unwritten[node_id] = {**tags, **self._unwritten.get(node_id, {})}
                self._due.setdefault(node_id, time.monotonic() + timeouts.GCP_LABELS_RETRY_S)
            elif not exists:
                self._forget(node_id)
            self._changed.notify_all()
        return True

    def _forget(self, node_id: str) -> None:
        for kept in (self._tags, self._unwritten, self._due):
            kept.pop(node_id, None)
        if node_id not in self._busy:
            self._written_at.pop(node_id, None)


def flush_all(timeout_s: float | None = None) -> None:
    """Write what is unwritten in this process, as it ends; a tag that cannot be written in this time is logged."""
    # One deadline for all writers together: SIGTERM leaves this process a few seconds.
    deadline = time.monotonic() + (timeouts.GCP_LABELS_EXIT_S if timeout_s is None else timeout_s)
    for writer in list(_writers):
        for node_id in writer.flush(max(0.0, deadline - time.monotonic())):
            logger.error("tags of %s could not be written before the process ended", node_id)


def abandon_all() -> None:
    """Give up what is unwritten in this process: for tests, whose cloud is gone."""
    for writer in list(_writers):
        writer.abandon()


def _flush_on_sigterm() -> None:
    """Write what is unwritten before SIGTERM ends this process: `ray stop` ends v2's autoscaler so.

    A process that has a handler of its own ends in its own way, and by `atexit` where that is Python's.
    """
    # Python sets handlers in the main thread only; elsewhere `atexit` has to be enough.
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends it at once
    flush_all(timeouts.GCP_LABELS_SIGTERM_S)
    # By the signal itself, not by an exit code: who sent it sees that the process ended of it.
    os.kill(os.getpid(), number)


atexit.register(flush_all)
