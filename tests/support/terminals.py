"""Runs a command on a terminal of a given width, as a person has it: a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ROWS = 50
_TIMEOUT_S = 120
_STATUS = re.compile(r"\r\033\[K[^\r\n]*(?=\r\033\[K)")  # a status line that the next one replaces
_CODES = re.compile(r"\033\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Screen:
    """What a terminal got.

    Attributes:
        written: everything, with colours.
        code: the command's exit code.
    """

    written: str
    code: int

    @property
    def shown(self) -> str:
        """What stands on the terminal in the end, with colours."""
        return _STATUS.sub("", self.written).replace("\r\n", "\n").replace("\r\033[K", "").replace("\r", "")

    @property
    def text(self) -> str:
        """The same without colours."""
        return _CODES.sub("", self.shown)

    @property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.rstrip("\n").split("\n")


def on_terminal(
    words: Sequence[str], columns: int = 80, *, environment: Mapping[str, str] | None = None, folder: Path = ROOT
) -> Screen:
    """Run `accel-scaling` with these words on a terminal of so many columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
    outside = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "NO_COLOR", "FORCE_COLOR"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "accel_scaling", *words], stdin=subprocess.DEVNULL, stdout=its, stderr=its, cwd=folder,
        env={**outside, "TERM": "xterm", "PYTHONPATH": str(ROOT), **(environment or {})},
    )  # fmt: skip
    os.close(its)
    output = b""
    try:
        while more := _read(ours):
            output += more
        return Screen(output.decode(), process.wait(_TIMEOUT_S))
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux's word for a terminal whose other end is closed
        return b""
