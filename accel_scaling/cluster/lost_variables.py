"""Programs and assignments that take from `ray start` the variables by which the boot check reaches it.

What each program does was tried (tests/boot/test_start_spellings.py has the table; sudo 1.9 and su of Debian by hand).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HOOK, PATH = "RAY_START_HOOK", "PYTHONPATH"
NEXT_HOOK = "ACCEL_SCALING_NEXT_HOOK"
"""Names the start hook of the user's own; the boot check calls it where the machine may join."""

ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=(.*)", re.DOTALL)
_PYTHON = re.compile(r"python[\d.]*")
_KEEP = f'{PATH}="/yours:${PATH}"'


def program_name(word: str) -> str:
    """Return the name of a program without its folder."""
    return word.rsplit("/", 1)[-1]


def changed_variables(words: Sequence[str]) -> str:
    """Return why the check does not reach what comes after a command that changes this shell's variables."""
    names = [word for word in words if not ASSIGNMENT.fullmatch(word)]
    program = program_name(names[0]) if names else ""
    if program == "unset" or (program in ("export", "declare", "typeset") and {"-n", "+x"} & set(words)):
        taken = next((name for name in (HOOK, PATH) if name in words), "")
        return f"`{program}` removes {taken}; leave that out" if taken else ""
    if program in ("", "export", "declare", "typeset", "readonly"):
        return _set_anew(words)
    return ""


def _set_anew(words: Sequence[str]) -> str:
    """Return why the check does not reach a program with these variables; only their assignments are looked at."""
    for word in words:
        if not (found := ASSIGNMENT.fullmatch(word)):
            continue
        name, adds, value = found.groups()
        if name == HOOK:
            return f"{HOOK} is the boot check's; write {NEXT_HOOK}={value}, which is called after the boot check"
        if name == PATH and not adds and not re.search(rf"\$\{{?{PATH}\b", value):
            return f"{PATH} is replaced, and the boot check's folder is lost; write {_KEEP}"
    return ""


def taken_away(before: Sequence[str]) -> str:
    """Return why the check does not reach the program behind these words; empty where it does."""
    if reason := _set_anew(before):
        return reason
    for at, word in enumerate(before):
        name, behind = program_name(word), before[at + 1 :]
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
        if word == "--" or not (word.startswith("-") or ASSIGNMENT.fullmatch(word)):
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
    if keeps_all and not logs_in:
        return f'`{name} -E` removes {PATH}; write {PATH}="${PATH}" behind its options, before the program'
    return f'`{name}` removes variables; write `sudo -E {PATH}="${PATH}" ray start ...`, or leave {name} out'


def _by_env(name: str, behind: Sequence[str]) -> str:
    del name
    own = _own_options(behind, "uCS")
    for word, following in zip(own, (*own[1:], ""), strict=True):
        if word in ("-", "--ignore-environment") or re.fullmatch(r"-[A-Za-z0]*i[A-Za-z]*", word):
            return "`env -i` removes all variables; leave -i out, or remove single variables by name (`env -u NAME`)"
        unset = following if word in ("-u", "--unset") else word.removeprefix("--unset=").removeprefix("-u")
        if unset in (HOOK, PATH) and word.startswith("-"):
            return f"`env -u` removes {unset}; leave that out"
    return ""


def _by_login(name: str, behind: Sequence[str]) -> str:
    # `runuser -u USER -- bash -l` has no login: the -l is another program's.
    if any(re.fullmatch(r"-u|--user(=.*)?", word) for word in behind):
        return ""
    logs_in = any(word in ("-", "--login") or re.fullmatch(r"-[mpfPcs]*l[mpfPcs]*", word) for word in behind)
    keeps = any(word in ("-m", "-p", "--preserve-environment") for word in behind)
    return f"`{name}` with a login removes all variables; leave the login out" if logs_in and not keeps else ""


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
    return f"`{name}` with a clean environment removes all variables; leave that option out" if cleans else ""


def _by_setpriv(name: str, behind: Sequence[str]) -> str:
    return f"`{name} --reset-env` removes variables; leave it out" if "--reset-env" in behind else ""


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
