"""What the start commands of a cluster file do: whether they start Ray, and whether the boot check reaches that start.

The check reaches `ray start` by two environment variables. So a command is read for what takes variables away from the
programs behind it. What each such program does was tried (tests/cluster/test_start_commands.py has the table).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.policies import OnMismatch, confirmation_policy
from accel_scaling.cluster.shell_words import SimpleCommand, simple_commands
from accel_scaling.errors import ClusterConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KEYS = ("head_start_ray_commands", "worker_start_ray_commands")
HOOK, PATH = "RAY_START_HOOK", "PYTHONPATH"
NEXT_HOOK = "ACCEL_SCALING_NEXT_HOOK"
"""Names the start hook of the user's own; the boot check calls it where the machine may join."""

_KEEP = f'{PATH}="/yours:${PATH}"'

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
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=(.*)", re.DOTALL)
_PYTHON = re.compile(r"python[\d.]*")
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
        in_background: it goes on after the command has ended.
    """

    starts: Starts
    program: str = ""
    past: str = ""
    in_background: bool = False


_NO = Reading(Starts.NO)


def check_start_commands(config: Mapping[str, Any]) -> list[str]:
    """Return notes about start commands that the boot check may not reach.

    Args:
        config: a cluster config.

    Raises:
        ClusterConfigError: it does not reach one that starts Ray, and the config's policy is to refuse machines.
    """
    refuses = confirmation_policy(config.get("provider") or {}).on_mismatch is OnMismatch.REFUSE
    notes = []
    for key in KEYS:
        commands = config.get(key) or []
        readings = [reading_of(command) for command in commands]
        found = list(_findings(key, readings))
        for surely, sentence in found:
            if surely and refuses:
                raise ClusterConfigError(sentence)
        notes += [sentence for _, sentence in found]
        if commands and all(reading.starts is Starts.NO for reading in readings):
            notes.append(f"{key}: none of these commands starts Ray, so that no such node joins; add `ray start ...`")
    return notes


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
            late = "runs in the background, so that its verdict may come after the command has ended"
            yield False, f"{place}: `ray start` {late}; leave the & out, as `ray start` comes back by itself"


def reading_of(command: str, depth: int = 0) -> Reading:
    """Return what one start command does; of several programs in it, the one that says most about Ray's start.

    Args:
        command: as a shell gets it.
        depth: in so many other commands it stands, as in `bash -c 'ray start'`.
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
        past = past or _changed_variables(part.words)
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
    first = next((number for number, word in enumerate(words) if not _ASSIGNMENT.fullmatch(word)), None)
    if first is None:
        return _NO
    program = _name(words[first])
    at, nested = _start_in(words, first, depth)
    if at is not None:
        past = nested or _taken_away(words[:at])
        return Reading(Starts.YES, program, past, part.in_background)
    if program in _HARMLESS or program in ("export", "declare", "typeset", "readonly", "unset", "ray"):
        return _NO
    behind = _behind_wrappers(words, first)
    if behind is not None and _name(words[behind]) in _HARMLESS | {"ray"}:
        return _NO
    named = _name(words[first if behind is None else behind])
    return Reading(Starts.MAYBE, named, _taken_away(words), part.in_background)


def _start_in(words: Sequence[str], first: int, depth: int) -> tuple[int | None, str]:
    """Return where in a simple command Ray is started, and what takes variables away inside a quoted command."""
    if _name(words[first]) in ("echo", "printf", "which", "type", "grep", "export", "alias"):
        return None, ""
    if service := _service(words[first:]):
        return first + 1, service
    for at in range(first, len(words)):
        if _is_start(words, at):
            return at, ""
        # `bash -c 'ray start'`, `ssh host "ray start"`: a command in one word.
        nests = re.search(r"[\s;&|]", words[at]) and not _ASSIGNMENT.fullmatch(words[at])
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
    elif _name(word) != "ray":
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
    names = [_name(word) for word in words]
    manager = next((name for name in names if name in ("systemctl", "service")), "")
    if manager and {"start", "restart", "enable"} & set(names) and any("ray" in name for name in names):
        return f"a service that `{manager}` starts gets no variables of this command; start Ray in the command itself"
    return ""


def _name(word: str) -> str:
    return word.rsplit("/", 1)[-1]


_CARRIERS = frozenset(("sudo", "doas", "env", "nohup", "exec", "command", "time", "nice", "ionice", "setsid", "stdbuf"))


def _behind_wrappers(words: Sequence[str], first: int) -> int | None:
    """Return where the program behind `sudo -E nice ...` is; None where there is no such wrapper, or nothing behind."""
    if _name(words[first]) not in _CARRIERS:
        return None
    left = range(first + 1, len(words))
    # The value of an option (`-n 5`) is a number where it is no name.
    is_program = (n for n in left if not words[n].startswith("-") and not _ASSIGNMENT.fullmatch(words[n]))
    return next((n for n in is_program if not words[n].isdigit() and _name(words[n]) not in _CARRIERS), None)


def _changed_variables(words: Sequence[str]) -> str:
    """Return why the check does not reach what comes after a command that changes this shell's variables."""
    names = [word for word in words if not _ASSIGNMENT.fullmatch(word)]
    program = _name(names[0]) if names else ""
    if program == "unset" or (program in ("export", "declare", "typeset") and {"-n", "+x"} & set(words)):
        taken = next((name for name in (HOOK, PATH) if name in words), "")
        return f"`{program}` takes {taken} away; leave that out" if taken else ""
    if program in ("", "export", "declare", "typeset", "readonly"):
        return _set_anew(words)
    return ""


def _set_anew(words: Sequence[str]) -> str:
    """Return why the check does not reach a program with these variables; only their assignments are looked at."""
    for word in words:
        if not (found := _ASSIGNMENT.fullmatch(word)):
            continue
        name, adds, value = found.groups()
        if name == HOOK:
            return f"{HOOK} is the boot check's; write {NEXT_HOOK}={value}, which is called after the check"
        if name == PATH and not adds and not re.search(rf"\$\{{?{PATH}\b", value):
            return f"{PATH} is set anew, and the check's folder is lost; write {_KEEP}"
    return ""


def _taken_away(before: Sequence[str]) -> str:
    """Return why the check does not reach the program behind these words; empty where it does."""
    if reason := _set_anew(before):
        return reason
    for at, word in enumerate(before):
        name, behind = _name(word), before[at + 1 :]
        judge = _PYTHON_JUDGE if _PYTHON.fullmatch(name) else _JUDGES.get(name)
        if judge and (reason := judge(name, behind)):
            return reason
    return ""


def _own_options(behind: Sequence[str], with_value: str) -> list[str]:
    """Return the options of a program itself, without those of the program that it starts.

    Args:
        behind: the words behind the program's name.
        with_value: the letters of its options whose value is the next word.
    """
    own, left = [], iter(behind)
    for word in left:
        if word == "--" or not (word.startswith("-") or _ASSIGNMENT.fullmatch(word)):
            break
        own.append(word)
        if re.fullmatch(rf"-[A-Za-z]*[{with_value}]", word):
            own.append(next(left, ""))
    return own


def _by_sudo(name: str, behind: Sequence[str]) -> str:
    own = _own_options(behind, "ughpCrtTUDR")
    keeps_all = any(re.fullmatch(r"-[A-Za-z]*E[A-Za-z]*|--preserve-env", word) for word in own)
    # Tried with sudo 1.9: -E keeps every variable but a few for its safety, and PYTHONPATH is one of those.
    keeps_path = any(word.startswith(f"{PATH}=") or re.match(rf"--preserve-env=.*{PATH}", word) for word in behind)
    logs_in = any(word in ("-i", "--login") for word in own)
    if keeps_all and keeps_path and not logs_in:
        return ""
    return f'`{name}` takes variables away; write `sudo -E {PATH}="${PATH}" ray start ...`, or leave {name} out'


def _by_env(name: str, behind: Sequence[str]) -> str:
    del name
    own = _own_options(behind, "uCS")
    for word, following in zip(own, (*own[1:], ""), strict=True):
        if word in ("-", "--ignore-environment") or re.fullmatch(r"-[A-Za-z0]*i[A-Za-z]*", word):
            return "`env -i` takes all variables away; leave -i out, or take away by name what must go (`env -u NAME`)"
        unset = following if word in ("-u", "--unset") else word.removeprefix("--unset=").removeprefix("-u")
        if unset in (HOOK, PATH) and word.startswith("-"):
            return f"`env -u` takes {unset} away; leave that out"
    return ""


def _by_login(name: str, behind: Sequence[str]) -> str:
    # `runuser -u USER -- bash -l` has no login: the -l is another program's.
    if any(re.fullmatch(r"-u|--user(=.*)?", word) for word in behind):
        return ""
    logs_in = any(word in ("-", "--login") or re.fullmatch(r"-[mpfPcs]*l[mpfPcs]*", word) for word in behind)
    keeps = any(word in ("-m", "-p", "--preserve-environment") for word in behind)
    return f"`{name}` with a login takes all variables away; leave the login out" if logs_in and not keeps else ""


def _by_other_place(name: str, behind: Sequence[str]) -> str:
    # Who hands both names on (`docker run -e RAY_START_HOOK -e PYTHONPATH`) has thought of it.
    if all(any(variable in word for word in behind) for variable in (HOOK, PATH)):
        return ""
    return (
        f"what `{name}` starts gets no variables of this command; start Ray in the command itself (for containers, the "
        "section `docker` of the cluster file does that)"
    )


def _by_systemd_run(name: str, behind: Sequence[str]) -> str:
    return "" if "--scope" in behind else _by_other_place(name, behind)


def _by_clean_container(name: str, behind: Sequence[str]) -> str:
    cleans = any(word in ("-e", "--cleanenv", "-C", "--containall") for word in behind)
    return f"`{name}` with a clean environment takes all variables away; leave that option out" if cleans else ""


def _by_setpriv(name: str, behind: Sequence[str]) -> str:
    return f"`{name} --reset-env` takes variables away; leave it out" if "--reset-env" in behind else ""


def _by_python(name: str, behind: Sequence[str]) -> str:
    options = [word for word in _own_options(behind, "cmWX") if re.fullmatch(r"-[A-Za-z]+", word)]
    if any({"E", "I"} & set(word) for word in options):
        return f"`{name}` with -E or -I does not read {PATH}; leave that option out"
    return ""


_PYTHON_JUDGE = _by_python
_JUDGES = {
    **dict.fromkeys(("sudo", "doas"), _by_sudo),
    **dict.fromkeys(("su", "runuser"), _by_login),
    **dict.fromkeys(("docker", "podman", "nerdctl", "kubectl", "lxc", "ssh", "pdsh", "clush"), _by_other_place),
    **dict.fromkeys(("apptainer", "singularity"), _by_clean_container),
    "env": _by_env,
    "systemd-run": _by_systemd_run,
    "setpriv": _by_setpriv,
}
