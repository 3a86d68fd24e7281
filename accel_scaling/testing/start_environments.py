"""Which Python environments the start commands of a cluster file take `ray` from, as far as their text says it."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.lost_variables import ASSIGNMENT, program_name
from accel_scaling.cluster.shell_words import simple_commands
from accel_scaling.cluster.start_commands import KEYS
from accel_scaling.testing.hosts.python_environments import (
    CONDA,
    CONDA_FOLDER,
    ROOT,
    SYSTEM_FOLDERS,
    PythonEnvironments,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_RUNNERS = ("uv", "poetry", "pipenv", "pdm", "hatch", "rye", "pixi")
_PYTHON = re.compile(r"python[\d.]*")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_RAY_MODULE = re.compile(r"-m ray(\.scripts\.scripts)?$")
_LOOKED_UP = re.compile(r"\b(?:which|command -v|type -p) ray\b")
# In an assignment to PATH, which may have /usr/local/cuda/bin too.
_ENVIRONMENT_PATH = re.compile(r"(?:env|conda|\.local)[^:]*/bin$")
_CONDA_IN_SHELL = re.compile(r"\b(?:conda|mamba|micromamba)\b")
_DEEPEST = 4  # commands in commands
_END = r"(?=[/\s\"';&|)]|$)"
# Where a failure of it ends the command: alone, or before `&&`.
_ULIMIT = re.compile(r"\bulimit\s+-[SH]*n\s+(\d+)\s*(?:&&|$)", re.MULTILINE)


def environments_of(config: Mapping[str, Any]) -> PythonEnvironments:
    """Return the environments that a cluster file's start commands name.

    `ray` is on the PATH besides where one of them calls it without an environment, or the file has Ray's own commands.
    """
    reader = _Reader()
    for key in KEYS:
        commands = config.get(key)
        reader.bare = reader.bare or commands is None
        for command in commands or []:
            reader.read(str(command))
    return reader.found()


def with_ray_in(environments: PythonEnvironments, folder: str) -> PythonEnvironments:
    """Return the environments with one more, outside of which there is no `ray`.

    Args:
        environments: those that are known.
        folder: on the hosts; ``CONDA/envs/NAME`` is an environment of conda.
    """
    reader = _Reader()
    place = reader.on_host(folder.rstrip("/")) or folder
    base, envs, name = place.rpartition("/envs/")
    if not envs:
        return _with(environments, folders=_once(environments.folders, place))
    return _with(environments, conda=environments.conda or base, conda_names=_once(environments.conda_names, name))


def on_plain_processes(command: str, environments: PythonEnvironments) -> str:
    """Return a start command whose absolute paths of environments lead into the home of a plain-process host."""
    used = environments.absolute_folders
    work = [folder for folder in environments.work_folders if folder.startswith("/") and folder not in SYSTEM_FOLDERS]
    # A folder of this machine, such as /tmp, is used as it is, unless an environment is in it.
    work = [one for one in work if not Path(one).is_dir() or any(folder.startswith(f"{one}/") for folder in used)]
    # The longest first: a shorter one may be its beginning.
    for folder in sorted({*used, *work}, key=len, reverse=True):
        command = re.sub(rf"(?<![\w/$}}~.-]){re.escape(folder)}{_END}", f"$HOME/{ROOT}{folder}", command)
    # `/usr/local/bin/ray` itself: what else is in such a folder is this machine's.
    return re.sub(rf"(?<![\w/$}}~.-])((?:/usr(?:/local)?)?/bin/ray){_END}", rf"$HOME/{ROOT}\1", command)


def ulimits_of(config: Mapping[str, Any]) -> list[int]:
    """Return the numbers of open files that start commands ask for so that they fail where there are fewer."""
    commands = [str(command) for key in KEYS for command in config.get(key) or []]
    return [int(number) for command in commands for number in _ULIMIT.findall(command)]


def _with(environments: PythonEnvironments, **changes: Any) -> PythonEnvironments:
    return replace(environments, ray_on_path=False, **changes)


def _once(known: Sequence[str], more: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, more)))


class _Reader:
    """What was found so far; `folder` and `variables` are those of the command that is read."""

    def __init__(self) -> None:
        self.bare = False
        self._folders: dict[str, None] = {}
        self._conda = ""
        self._conda_used = False
        self._names: dict[str, None] = {}
        self._runners: dict[str, None] = {}
        self._work: dict[str, None] = {}
        self._folder, self._variables, self._active = "~", {"HOME": "~"}, False

    def found(self) -> PythonEnvironments:
        conda = (self._conda or CONDA_FOLDER) if self._conda_used else ""
        found = PythonEnvironments(
            tuple(self._folders), conda, tuple(self._names), tuple(self._runners), tuple(self._work), self.bare
        )
        return found or PythonEnvironments()

    def read(self, command: str) -> None:
        """Read one start command, which is a shell of its own."""
        self._folder, self._variables, self._active = "~", {"HOME": "~"}, False
        self._read(command, 0)

    def on_host(self, word: str) -> str | None:
        """Return a path as the host has it; None where it is not known before the command runs."""
        expanded = _VARIABLE.sub(lambda found: self._variables.get(found[1], found[0]), word)
        if any(letter in expanded for letter in "$`*?\"'"):
            return None
        if not expanded.startswith(("/", "~")):
            expanded = f"{self._folder}/{expanded}"
        return posixpath.normpath(expanded)

    def _read(self, command: str, depth: int) -> None:
        try:
            parts = simple_commands(command)
        except ValueError:
            return
        for part in parts:
            self._part(part.words, depth)

    def _part(self, words: Sequence[str], depth: int) -> None:
        first = next((at for at, word in enumerate(words) if not ASSIGNMENT.fullmatch(word)), len(words))
        assigned = words if first < len(words) and words[first] == "export" else words[:first]
        for name, _, value in (found.groups() for word in assigned if (found := ASSIGNMENT.fullmatch(word))):
            self._assign(name, value)
        if first == len(words) or words[first] in ("echo", "printf", "export"):
            return
        if words[first] in ("cd", "pushd") and len(words) > first + 1 and (place := self.on_host(words[first + 1])):
            self._folder = place
            self._work[place] = None
        elif words[first] in ("source", ".") and len(words) > first + 1:
            self._source(words[first + 1], words[first + 2 : first + 3])
        for at in range(first, len(words)):
            self._word(words, at, depth)

    def _assign(self, name: str, value: str) -> None:
        if name == "PATH":
            for folder in value.split(":"):
                if _ENVIRONMENT_PATH.search(folder) and (place := self.on_host(folder.removesuffix("/bin"))):
                    self._folders[place] = None
                    self._active = True
        elif place := self.on_host(value) if "/" in value else value:
            self._variables[name] = place

    def _source(self, file: str, argument: Sequence[str]) -> None:
        if file == "activate":
            self._use_conda(argument[0] if argument else "base")
        elif file.endswith("/bin/activate") and (place := self.on_host(file.removesuffix("/bin/activate"))):
            if argument:
                self._conda = self._conda or place
                self._use_conda(argument[0])
            else:
                self._folders[place] = None
                self._active = True
        elif file.endswith("/etc/profile.d/conda.sh"):
            self._conda_at(file.removesuffix("/etc/profile.d/conda.sh"))

    def _word(self, words: Sequence[str], at: int, depth: int) -> None:
        word, rest = words[at], words[at + 1 :]
        name = program_name(word)
        if re.search(r"[\s;&|]", word) and not ASSIGNMENT.fullmatch(word) and depth < _DEEPEST:
            if word.startswith(("$(", "`")):
                self._conda_used = self._conda_used or bool(_CONDA_IN_SHELL.search(word))
                self.bare = self.bare or (bool(_LOOKED_UP.search(word)) and not self._active)
            else:
                self._read(word, depth + 1)
        elif name in CONDA:
            self._conda_command(word, rest)
        elif name in _RUNNERS and "run" in rest:
            self._runners[(self.on_host(word) or name) if "/" in word else name] = None
            self._active = True
        elif (name == "ray" and rest) or (_PYTHON.fullmatch(name) and _RAY_MODULE.match(" ".join(rest[:2]))):
            self._ray(word)

    def _ray(self, word: str) -> None:
        """Take note of a program that is `ray`, or runs Ray's module."""
        place = self.on_host(word) if "/" in word else None
        if place is None:
            self.bare = self.bare or not self._active
        elif posixpath.basename(posixpath.dirname(place)) == "bin":
            folder = posixpath.dirname(posixpath.dirname(place))
            self._folders[folder] = None
            # What is in /usr/local/bin is on the PATH.
            self.bare = self.bare or folder in SYSTEM_FOLDERS[:-1]

    def _conda_command(self, word: str, rest: Sequence[str]) -> None:
        if "/" in word:
            self._conda_at(posixpath.dirname(posixpath.dirname(word)))
        self._conda_used = True
        arguments = [one for one in rest if not one.startswith("-")]
        if rest[:1] == ("activate",):
            self._use_conda(arguments[1] if len(arguments) > 1 else "base")
        elif rest[:1] == ("run",):
            options = dict(zip(rest, (*rest[1:], ""), strict=True))
            joined = dict(one.split("=", 1) for one in rest if one.startswith(("--name=", "--prefix=")))
            known = (*(options.get(key) for key in ("-n", "--name", "-p", "--prefix")), *joined.values(), "base")
            self._use_conda(next(one for one in known if one))

    def _use_conda(self, name: str) -> None:
        name = _VARIABLE.sub(lambda found: self._variables.get(found[1], found[0]), name)
        self._active = self._conda_used = True
        if "/" not in name:
            self._names[name] = None
        elif place := self.on_host(name):
            self._folders[place] = None

    def _conda_at(self, folder: str) -> None:
        self._conda_used = True
        self._conda = self._conda or self.on_host(folder) or ""
