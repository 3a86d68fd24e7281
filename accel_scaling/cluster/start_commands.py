"""What the start commands of a cluster file do: whether they start Ray, and whether the boot check reaches that start.

The check reaches `ray start` by two environment variables. So a command is read for what takes variables away from the
programs behind it (lost_variables.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.lost_variables import ASSIGNMENT, changed_variables, program_name, taken_away
from accel_scaling.cluster.policies import OnMismatch, confirmation_policy
from accel_scaling.cluster.shell_words import SimpleCommand, simple_commands
from accel_scaling.errors import ClusterConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WORKERS = "worker_start_ray_commands"
KEYS = ("head_start_ray_commands", WORKERS)
# Programs that start no Ray, whatever their arguments are; every other one may be a script that does.
_HARMLESS = frozenset(
    (
        *("ulimit", "cd", "echo", "printf", "true", "false", ":", "mkdir", "sleep", "set", "test", "[", "[[", "date"),
        *("ls", "cat", "chmod", "chown", "umask", "hostname", "free", "df", "nvidia-smi", "touch", "rm", "cp", "mv"),
        *("ln", "wait", "kill", "pkill", "killall", "sysctl", "id", "whoami", "pwd", "uname", "head", "tail", "grep"),
        *("sed", "tee", "which", "type", "pip", "pip3", "exit", "return", "shopt", "alias", "trap", "swapoff"),
        *("mount", "umount", "apt-get", "apt", "yum", "dnf", "curl", "wget", "modprobe", "git", "tar", "unzip"),
    )
)
_DEEPEST = 5  # commands in commands; `$(...)` is a word that contains itself
_RAY_OPTIONS_WITH_VALUE = ("--logging-level", "--logging-format")
_STARTING = ("start", "symmetric-run")  # `ray symmetric-run` calls `ray start`
_LOOKS_LIKE_START = re.compile(r"\bray\b[^;&|\n]*\bstart\b")


class Starts(Enum):
    """Whether a command starts Ray."""

    YES = "yes"
    MAYBE = "maybe"  # a script, a variable: only the node knows
    NO = "no"


@dataclass(frozen=True)
class Reading:
    """What a command does.

    Attributes:
        starts: whether it starts Ray.
        program: that starts Ray, or may; empty where none does.
        past: why the boot check does not reach that program, and what to write; empty where it does.
        in_background: it continues after the command has ended.
    """

    starts: Starts
    program: str = ""
    past: str = ""
    in_background: bool = False


_NO = Reading(Starts.NO)


_NO_UPDATERS = "provider.disable_node_updaters: Ray runs no command on workers, so the boot check cannot run there"
_NO_UPDATERS_REFUSED = (
    f"{_NO_UPDATERS}; workers that start Ray by themselves join unchecked and are terminated; leave the key out, or "
    "set confirmation: {on_mismatch: join}"
)


def check_start_commands(config: Mapping[str, Any]) -> list[str]:
    """Return notes about start commands that the boot check may not reach.

    Args:
        config: a cluster config.

    Raises:
        ClusterConfigError: it does not reach one that starts Ray, and the config's policy is to refuse machines.
    """
    notes = []
    for key in KEYS:
        commands = config.get(key) or []
        readings = [reading_of(command) for command in commands]
        found, refuses = list(_findings(key, readings)), _refuses(config, key)
        for surely, sentence in found:
            if surely and refuses:
                raise ClusterConfigError(sentence)
        notes += [sentence for _, sentence in found]
        if commands and all(reading.starts is Starts.NO for reading in readings):
            notes.append(f"{key}: none of these commands starts Ray, so these nodes never join; add `ray start ...`")
    if _updaters_disabled(config):
        notes.append(_NO_UPDATERS_REFUSED if _refuses(config, WORKERS) else _NO_UPDATERS)
    return notes


def empty_notes(config: Mapping[str, Any]) -> list[str]:
    """Return a note for each list of start commands that is empty: a missing one has Ray's own."""
    empty = [] if _updaters_disabled(config) else [key for key in KEYS if config.get(key) == []]
    return [
        f"{key} is empty: Ray does not start on these nodes; leave the key out to use Ray's own commands"
        for key in empty
    ]


def _refuses(config: Mapping[str, Any], key: str) -> bool:
    """Return whether a node that runs these start commands is refused where it does not hold its promise."""
    policy, head = confirmation_policy(config.get("provider") or {}), config.get("head_node_type")
    types = config.get("available_node_types") or {}
    starting = [name for name in types if (name == head) == (key != WORKERS)]
    policies = [policy.of(name) for name in starting] or [policy.on_mismatch]
    return OnMismatch.REFUSE in policies


def _updaters_disabled(config: Mapping[str, Any]) -> bool:
    """Return whether Ray runs no command on the cluster's workers."""
    return (config.get("provider") or {}).get("disable_node_updaters") is True


def _findings(key: str, readings: Sequence[Reading]) -> Iterator[tuple[bool, str]]:
    """Yield a sentence for each command that the check does not reach, and whether that is sure."""
    checked = any(reading.starts is Starts.YES and not reading.past for reading in readings)
    for number, reading in enumerate(readings):
        place = f"{key}[{number}]"
        if reading.starts is Starts.YES and reading.past:
            yield True, f"{place}: the boot check does not reach this `ray start`: {reading.past}"
        # Beside a `ray start` that is checked, `sudo mount ...` need not be spoken of.
        elif reading.starts is Starts.MAYBE and reading.past and not checked:
            program = reading.program
            yield False, f"{place}: if {program} starts Ray, the boot check does not reach it: {reading.past}"
        if reading.starts is Starts.YES and reading.in_background:
            late = "runs in the background, so its verdict may come after the command has ended"
            yield False, f"{place}: `ray start` {late}; leave the & out, as `ray start` returns by itself"


def reading_of(command: str, depth: int = 0) -> Reading:
    """Return what one start command does; of several programs in it, the one that says most about Ray's start.

    Args:
        command: as a shell gets it.
        depth: in how many other commands it is, as in `bash -c 'ray start'`.
    """
    try:
        parts = simple_commands(command)
    except ValueError:
        # No shell would run it as a whole, or it is beyond this reader: wired, and not judged.
        return Reading(Starts.YES if _LOOKS_LIKE_START.search(command) else Starts.MAYBE, "it")
    return _of_parts(parts, depth)


def _of_parts(parts: Sequence[SimpleCommand], depth: int) -> Reading:
    best, past = _NO, ""
    for part in parts:
        # `export X=...; ray start`: what a command does to the variables holds for those after it.
        past = past or changed_variables(part.words)
        reading = _of_simple(part, depth)
        if past and reading.starts is not Starts.NO:
            reading = Reading(reading.starts, reading.program, past, reading.in_background)
        if _rank(reading) > _rank(best):
            best = reading
    return best


def _rank(reading: Reading) -> tuple[int, bool]:
    # Of two starts, the one past the check is spoken of.
    return (Starts.YES, Starts.MAYBE, Starts.NO).index(reading.starts) * -1, bool(reading.past)


def _of_simple(part: SimpleCommand, depth: int) -> Reading:
    words = part.words
    first = next((number for number, word in enumerate(words) if not ASSIGNMENT.fullmatch(word)), None)
    if first is None:
        return _NO
    program = program_name(words[first])
    at, nested = _start_in(words, first, depth)
    if at is not None:
        past = nested or taken_away(words[:at])
        return Reading(Starts.YES, program, past, part.in_background)
    if program in _HARMLESS or program in ("export", "declare", "typeset", "readonly", "unset", "ray"):
        return _NO
    behind = _behind_wrappers(words, first)
    if behind is not None and program_name(words[behind]) in _HARMLESS | {"ray"}:
        return _NO
    named = program_name(words[first if behind is None else behind])
    return Reading(Starts.MAYBE, named, taken_away(words), part.in_background)


def _start_in(words: Sequence[str], first: int, depth: int) -> tuple[int | None, str]:
    """Return where in a simple command Ray is started, and what takes variables away inside a quoted command."""
    if program_name(words[first]) in ("echo", "printf", "which", "type", "grep", "export", "alias"):
        return None, ""
    if service := _service(words[first:]):
        return first + 1, service
    for at in range(first, len(words)):
        if _is_start(words, at):
            return at, ""
        # `bash -c 'ray start'`, `ssh host "ray start"`: a command in one word.
        nests = re.search(r"[\s;&|]", words[at]) and not ASSIGNMENT.fullmatch(words[at])
        if nests and depth < _DEEPEST:
            inner = reading_of(words[at], depth + 1)
            if inner.starts is Starts.YES:
                return at, inner.past
    return None, ""


def _is_start(words: Sequence[str], at: int) -> bool:
    word, rest = words[at], words[at + 1 :]
    if word == "-m" and rest and re.fullmatch(r"ray(\.scripts\.scripts|\.__main__)?", rest[0]):
        rest = rest[1:]
    elif word.startswith("-mray"):
        pass
    elif word.startswith(("$", "`")):
        # `$RAY start`: whatever it is, it is told to start.
        return bool(rest) and rest[0] == "start"
    elif program_name(word) != "ray":
        return False
    return _subcommand(rest) in _STARTING


def _subcommand(words: Sequence[str]) -> str:
    """Return the first word that is no option of `ray` itself."""
    left = iter(words)
    for word in left:
        if word in _RAY_OPTIONS_WITH_VALUE:
            next(left, None)
        elif not word.startswith("-"):
            return word
    return ""


def _service(words: Sequence[str]) -> str:
    """Return why a service of the machine that is named for Ray is past the check; empty for anything else."""
    names = [program_name(word) for word in words]
    manager = next((name for name in names if name in ("systemctl", "service")), "")
    if manager and {"start", "restart", "enable"} & set(names) and any("ray" in name for name in names):
        return f"a service that `{manager}` starts gets no variables of this command; start Ray in the command itself"
    return ""


_CARRIERS = frozenset(("sudo", "doas", "env", "nohup", "exec", "command", "time", "nice", "ionice", "setsid", "stdbuf"))


def _behind_wrappers(words: Sequence[str], first: int) -> int | None:
    """Return where the program behind `sudo -E nice ...` is; None where there is no such wrapper, or nothing behind."""
    if program_name(words[first]) not in _CARRIERS:
        return None
    left = range(first + 1, len(words))
    # The value of an option (`-n 5`) is a number where it is no name.
    is_program = (n for n in left if not words[n].startswith("-") and not ASSIGNMENT.fullmatch(words[n]))
    return next((n for n in is_program if not words[n].isdigit() and program_name(words[n]) not in _CARRIERS), None)
