"""The verdict as a file on the node: the start hook writes it, and who started the command reads it over ssh.

What is read comes from a machine that may be broken or hostile, through a login shell that prints what it likes. So it
is read as data of bounded size; its text has no control characters; and it counts only with the number of the very
start that was asked for, so a file that an earlier start has left, and that nobody can remove, says nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.message_text import one_line
from accel_scaling.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from accel_scaling.boot.verdicts import Verdict

VERDICT_FILE = ".accel_scaling/verdict.json"  # under the home of the account that runs the start command
START = "ACCEL_SCALING_START"
"""The number of a start: who runs a start command sets it there, and the verdict has it."""
FOLDER = "ACCEL_SCALING_HOME"
"""Where before_ray_start.sh says that the file belongs: `sudo` may give `ray start` another home."""

MOST_BYTES = 65_536  # sixteen devices with all their evidence have some 10,000
_MOST_OUTPUT = 5 * MOST_BYTES  # of a login shell's own words and three such files
_MOST_MESSAGE = 2_000  # characters; our longest sentence has some 400
_MOST_WORD = 40
_MOST_OBJECTS = 8  # `{` in one line that may begin the verdict: a banner of a login shell may have some
_NUMBER = re.compile(r"[0-9a-f]{32}")
_SPARE_FOLDER = Path("/tmp")  # noqa: S108 - Ray needs it; the file's name has the start's number, which nobody guesses


@dataclass(frozen=True)
class VerdictRead:
    """A verdict as a node has left it; its texts are safe to print.

    Attributes:
        word: of the verdict, such as ``NoDevice``; a machine may write any word.
        message: its sentence.
        joins: whether the machine may join.
        start: the number of the start that it is of; empty where nobody gave it one.
    """

    word: str
    message: str
    joins: bool
    start: str = ""


def new_start() -> str:
    """Return a number for one start, which no other has."""
    return os.urandom(16).hex()


def with_start(command: str, start: str) -> str:
    """Return a start command whose verdict has this number."""
    return f"export {START}={start}; {command}"


def read_command(start: str = "") -> str:
    """Return the shell command that prints a node's verdict, never much of it; it ends with 0 where there is none.

    Args:
        start: the number that the start command was given; the verdict of another start is not printed.
    """
    known = _NUMBER.fullmatch(start) is not None
    spare, of_start = (f" {_spare_file(start)}", f" | grep -F {start}") if known else ("", "")
    files = f"~/{VERDICT_FILE} ~/{_of_host(Path(VERDICT_FILE), '$(uname -n)')}{spare}"
    # `|| true`: a host without the file has answered, and must not look like one that does not answer.
    return f"cat {files} 2>/dev/null | head -c {3 * MOST_BYTES}{of_start} || true"


def read_verdict(text: str | bytes, start: str = "") -> VerdictRead | None:
    """Return the verdict in what a node printed, None where there is none: the last line that is one.

    Args:
        text: what `read_command` printed, and what the node's login shell printed around it.
        start: the number that the start command was given; a verdict of another start is passed over.
    """
    # The end: a login shell prints first.
    text = text[-_MOST_OUTPUT:]
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    for line in reversed(text.splitlines()):
        for found in _objects(line):
            number = one_line(str(found.get("start") or ""), 32)
            # One without a number is what `read_command` let through, so it is of this start.
            if {"verdict", "joins"} & set(found) and (not start or number in ("", start)):
                word = re.sub(r"[^A-Za-z]", "", str(found.get("verdict") or ""))[:_MOST_WORD] or "Unknown"
                message = one_line(str(found.get("message") or ""), _MOST_MESSAGE)
                # Not whatever counts as true: "joins": "no" is no leave to join.
                return VerdictRead(word, message, found.get("joins") is True, number)
    return None


def write_verdict(verdict: Verdict, *, head: bool, joins: bool, environment: Mapping[str, str] | None = None) -> Path:
    """Write the verdict where the provider reads it, and return the file.

    Args:
        verdict: of this machine.
        head: whether this is the head node.
        joins: whether the machine may join.
        environment: this process's, by default.

    Raises:
        OSError: no place for it can be written.
    """
    environment = os.environ if environment is None else environment
    start = environment.get(START, "")
    content = {
        **verdict.to_json(),
        "version": __version__,
        "kind": "head" if head else "worker",
        "joins": joins,
        "time_s": time.time(),
        "start": start,
        "tried": verdict.tried,
    }
    file = _file(environment)
    text = _bounded(content)
    try:
        # Last the one that people look at: where nodes have their homes on one server, it is another's a moment later.
        _replace(_of_host(file, os.uname().nodename), text)
        _replace(file, text)
    except OSError:
        # A read-only root file system, `--user` with another user's home: the spare place is read, too.
        if not _NUMBER.fullmatch(start):
            raise
        file = _spare_file(start)
        _replace(file, text)
    return file


def tried_before(environment: Mapping[str, str]) -> str:
    """Return what the active check has found in an earlier command of this very start; empty where none has run.

    The hosts of a slice are confirmed by one command and join by another: minutes of tests need not run twice.

    Args:
        environment: this process's.
    """
    start = environment.get(START, "")
    if not _NUMBER.fullmatch(start):
        return ""
    for file in (_of_host(_file(environment), os.uname().nodename), _spare_file(start)):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            with file.open("rb") as stream:
                content = json.loads(stream.read(MOST_BYTES))
            if isinstance(content, dict) and content.get("start") == start and content.get("joins") is True:
                return one_line(str(content.get("tried") or ""), _MOST_MESSAGE)
    return ""


def _of_host(file: Path, host: str) -> Path:
    return file.with_name(f"{file.stem}-{host}{file.suffix}")


def _file(environment: Mapping[str, str]) -> Path:
    folder = environment.get(FOLDER)
    return Path(folder, Path(VERDICT_FILE).name) if folder else Path.home() / VERDICT_FILE


def _objects(line: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a line, of which there are a few at most."""
    at = 0
    for _ in range(_MOST_OBJECTS):
        at = line.find("{", at)
        if at < 0:
            return
        try:
            found, at = json.JSONDecoder().raw_decode(line, at)
            yield found
        except (ValueError, RecursionError):  # the latter of thousands of brackets
            at += 1


def _bounded(content: dict[str, Any]) -> str:
    """Return the content as one line that `read_command` prints whole."""
    text = json.dumps(content)
    if len(text) >= MOST_BYTES:
        # All that the provider needs is short; the devices are for people.
        promised = {str(name)[:_MOST_WORD]: amount for name, amount in list(content["promised"].items())[:100]}
        shorter = {"message": content["message"][:_MOST_MESSAGE], "advice": content["advice"][:_MOST_MESSAGE]}
        text = json.dumps({**content, **shorter, "promised": promised, "detected": []})
    return text + "\n"


def _replace(file: Path, text: str) -> None:
    """Write a file in one step: half a verdict on a full disk, or a file that belongs to another user, is none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)
    fresh = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        fresh.chmod(0o644)  # mkstemp's 0600: who runs ray may be another than who reads
        fresh.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise


def _spare_file(start: str) -> Path:
    return _SPARE_FOLDER / f"accel_scaling-verdict-{start}.json"
