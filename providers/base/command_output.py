"""The output of commands that the autoscaler runs on nodes: passed on as it comes, and its end is remembered.

Ray lets ssh write to the autoscaler's own output, and keeps nothing of it: why a set-up command failed would be known
to the log alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from typing import IO, Any

from accel_scaling.message_text import one_line

_TAIL = 4096  # bytes of an output that are remembered: its last line, however much ssh says after it
_MOST_LETTERS = 200  # of that line in a sentence

_DRAIN_S = 1.0  # after the end of ssh: what is in the pipe is read; a background process may hold it open for ever

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

# What ssh and an interactive bash without a terminal say of themselves.
_OF_SSH = re.compile(
    r"Shared connection to .* closed\.|Connection to .* closed\.|Warning: Permanently added .*"
    r"|bash: cannot set terminal process group .*|bash: no job control in this shell|.*: Inappropriate ioctl for device"
)


class TailingProcessRunner:
    """Ray's process runner (the module ``subprocess``) whose failed commands carry the end of their output."""

    def __init__(self, runner: Any = subprocess) -> None:
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def check_call(self, cmd: list[str], *, stdin: Any = None, stdout: Any = None, stderr: Any = None) -> int:
        """Run a command and pass its output on.

        Raises:
            subprocess.CalledProcessError: it failed; ``output`` has the last bytes of what it said.
        """
        del stderr  # in one stream with the rest, in the order in which it came
        tail = bytearray()
        with subprocess.Popen(cmd, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            pipe = process.stdout
            assert pipe is not None
            target = None if stdout == subprocess.DEVNULL else stdout or sys.stdout
            reader = threading.Thread(target=_copy, args=(pipe, target, tail), daemon=True)
            reader.start()
            code = process.wait()
            reader.join(_DRAIN_S)
            # Left open, where a background process holds the other end: closing it would wait for the reader.
            if reader.is_alive():
                process.stdout = None
        if code:
            raise subprocess.CalledProcessError(code, cmd, output=bytes(tail))
        return code


def _copy(pipe: IO[bytes], target: Any, tail: bytearray) -> None:
    while chunk := pipe.read1(65536):  # type: ignore[attr-defined]  # a BufferedReader
        tail += chunk
        del tail[:-_TAIL]
        if target is not None:
            target.write(chunk.decode(errors="replace"))
            target.flush()


def last_line(error: BaseException) -> str:
    """Return the last line that a failed command printed; empty where nothing is known of it."""
    # Ray raises its ClickException while it handles the error of the process; that one has the output.
    output = getattr(error, "output", None) or getattr(error.__context__, "output", None) or b""
    return last_line_of(output if isinstance(output, bytes) else str(output).encode())


def last_line_of(output: bytes) -> str:
    """Return the last line of an output, without what ssh says of itself, control characters, and its rest."""
    for line in reversed(re.split(r"[\r\n]+", output.decode(errors="replace"))):
        text = one_line(_COLOURS.sub("", line), _MOST_LETTERS)
        if text and not _OF_SSH.fullmatch(text):
            return text
    return ""
