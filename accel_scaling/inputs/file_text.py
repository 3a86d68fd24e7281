"""Reads a file once and within bounds: a plain file, a pipe (`<(...)`), `-` for standard input; none without an end."""

from __future__ import annotations

import os
import select
import stat
from pathlib import Path

from accel_scaling.inputs import bounds

_CHUNK = 1 << 18
STANDARD_INPUT = Path("-")


class UnreadableError(Exception):
    """A file that cannot be read; the text is the end of a sentence: ``Is a directory``."""


class MissingFileError(UnreadableError):
    """A file that does not exist."""


class NotUtf8Error(UnreadableError):
    """A file that is not UTF-8.

    Attributes:
        line: where the first such byte is, counted from 1.
    """

    def __init__(self, line: int) -> None:
        super().__init__("it is not UTF-8; save it as UTF-8")
        self.line = line


def expanded(path: Path) -> Path:
    """Return a path with `~` expanded; as it is where there is no such account."""
    try:
        return path.expanduser()
    except RuntimeError:  # of `~nobody/a.csv`
        return path


def name_of(path: Path) -> str:
    """Return the name of a file for messages: `-` is standard input."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def is_file(path: Path) -> bool:
    """Return whether there is such a file; False also for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, one with a NUL character
        return False


def read_bytes(path: Path, *, most: int = bounds.MOST_BYTES) -> bytes:
    """Return a file's content.

    Args:
        path: the file, or `-` for standard input; it is opened once, so a pipe can be read too.
        most: its bytes at the most.

    Raises:
        MissingFileError: there is no such file.
        UnreadableError: it may not be read, it is too large, or a pipe stays silent.
    """
    try:
        # Not blocking: opening a named pipe waits for a writer, and nobody may come.
        opened = "/dev/stdin" if path == STANDARD_INPUT else path
        descriptor = os.open(opened, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise MissingFileError(error.strerror) from None
    except OSError as error:
        if path != STANDARD_INPUT:
            raise UnreadableError(error.strerror or str(error)) from None
        descriptor = _duplicate_of_input()
    except ValueError:  # Python's word for a name with a NUL character in it
        raise UnreadableError("No file has such a name") from None
    try:
        return _content(descriptor, most)
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from None
    finally:
        os.close(descriptor)


def read_text(path: Path, *, most: int = bounds.MOST_BYTES) -> str:
    """Return a file's text, its line breaks and a byte-order mark as they are.

    Args:
        path: as for ``read_bytes``.
        most: as for ``read_bytes``.

    Raises:
        UnreadableError: as ``read_bytes``.
        NotUtf8Error: it is not UTF-8.
    """
    content = read_bytes(path, most=most)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotUtf8Error(content.count(b"\n", 0, error.start) + 1) from None


def _duplicate_of_input() -> int:
    """Return standard input where it cannot be opened by its name: a socket, or a pipe of another user."""
    try:
        return os.dup(0)
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from None


def _content(descriptor: int, most: int) -> bytes:
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size > most:
        raise UnreadableError(f"It has {status.st_size / 1e6:,.1f} MB, and at most {most / 1e6:.1f} MB are read")
    content = bytearray()
    while chunk := _chunk(descriptor, first=not content and stat.S_ISFIFO(status.st_mode)):
        content += chunk
        if len(content) > most:
            raise UnreadableError(f"It has no end within {most / 1e6:.1f} MB, and no more is read")
    return bytes(content)


def _chunk(descriptor: int, *, first: bool) -> bytes:
    """Return the next bytes, waiting for them; none at the end. ``first`` of a pipe, into which nobody may write."""
    try:
        chunk = os.read(descriptor, _CHUNK)
        if chunk or not first or _is_ready(descriptor, bounds.PIPE_OPENS_S):
            return chunk or (os.read(descriptor, _CHUNK) if first else b"")
        # Still the end, and nobody has come: with a writer that waits, this raises BlockingIOError.
        if not (chunk := os.read(descriptor, _CHUNK)):
            raise UnreadableError(f"No program writes into this pipe, {bounds.PIPE_OPENS_S:g} s after it was opened")
        return chunk
    except BlockingIOError:
        if not _is_ready(descriptor, bounds.PIPE_SILENCE_S):
            raise UnreadableError(f"Nothing came from it for {bounds.PIPE_SILENCE_S:g} s") from None
        return os.read(descriptor, _CHUNK)


def _is_ready(descriptor: int, timeout_s: float) -> bool:
    """Wait until there is something to read, or the end; return False where neither came in time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
