"""The cause of a failed `ray up`, read from its output: what Ray's updater, or an error, says last."""

from __future__ import annotations

import re
from dataclasses import dataclass

from accel_scaling.message_text import one_line

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Before each line of Ray's own; off a terminal.
_PREFIX = re.compile(r"^\d{4}-\d\d-\d\d [\d:,]+\t\w+ \S+:\d+ -- ")
# Ray's updater, of an error that says its command: on a node whose set-up or start failed.
_COMMAND = re.compile(
    r"Setup command `(?P<command>.*)` failed with exit code (?P<code>\S+?)\. stderr: (?P<said>.*)", re.DOTALL
)
_RUNS = "Full command is `"
_ERROR = re.compile(r"^(?:Error|(?:\w+\.)*\w*(?:Error|Exception)): (?P<text>.+)$")
_SAYS_NOTHING = "Failed to setup head node."
# What ssh and an interactive bash without a terminal say of themselves.
_NOISE = re.compile(
    r"bash: (?:cannot set terminal process group|no job control).*|(?:Shared c|C)onnection to .* closed\."
)

_MOST_LINES = 10
_MOST_COMMAND, _MOST_SAID = 120, 400


@dataclass(frozen=True)
class UpFailure:
    """Why `ray up` failed.

    Attributes:
        cause: a clause.
        command: the command on the head that failed, in one line; empty where it was something else.
        lines: the last lines that this command printed, where there are more than the cause has.
    """

    cause: str
    command: str = ""
    lines: tuple[str, ...] = ()


def failure_of(output: str) -> UpFailure:
    """Return why `ray up` failed.

    Args:
        output: all that it printed.
    """
    records = _records(_COLOURS.sub("", output).replace("\r", ""))
    for at in range(len(records) - 1, -1, -1):  # of several tries the last one
        if found := _COMMAND.match(records[at]):
            return _of_command(found, records[:at])
    lines = [line.strip() for record in records for line in record.split("\n") if line.strip()]
    texts = [found["text"] for line in lines if (found := _ERROR.match(line))]
    telling = [text for text in texts if text != _SAYS_NOTHING] or texts or lines[-1:] or ["it printed nothing"]
    return UpFailure(one_line(telling[-1], _MOST_SAID))


def _records(text: str) -> list[str]:
    """Return what Ray logged, each with the lines that follow it: those of the command, and what a program printed."""
    records = [""]
    for line in text.split("\n"):
        if prefix := _PREFIX.match(line):
            records.append(line[prefix.end() :])
        else:
            records[-1] += f"\n{line}"
    return records


def _of_command(found: re.Match[str], before: list[str]) -> UpFailure:
    lines = _printed_by(found["command"], before)
    said = found["said"].strip() or (lines[-1] if lines else "")
    command = one_line(found["command"], _MOST_COMMAND)
    ended = f"`{command}` {'failed' if found['code'] == 'None' else 'ended with ' + found['code']}"
    cause = f"{ended}: {one_line(said, _MOST_SAID)}" if said else ended
    return UpFailure(cause, command, tuple(lines[-_MOST_LINES:]) if len(lines) > 1 else ())


def _printed_by(command: str, records: list[str]) -> list[str]:
    """Return the lines that a command on the head printed; none where Ray's words of it are not found."""
    quoted = command.replace("'", "'\"'\"'")
    for record in reversed(records):
        if record.startswith(_RUNS) and quoted in record:
            printed = record.rpartition(")'`\n")[2].split("\n")
            return [line.strip() for line in printed if line.strip() and not _NOISE.fullmatch(line.strip())]
    return []
