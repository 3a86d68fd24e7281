"""What a set-up command installs: packages of Python by pip, uv and conda, and Pythons; nothing is run or asked."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel_scaling.cluster.lost_variables import program_name
from accel_scaling.cluster.shell_words import readable_commands

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PYTHON = "python"

_PIP = re.compile(r"pip[0-9.]*")
_CONDAS = frozenset(("conda", "mamba", "micromamba", "pixi"))
_CONDA_VERBS = frozenset(("install", "create", "update", "add"))
_SYSTEMS = frozenset(("apt", "apt-get", "yum", "dnf"))
_NAME = r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*?)"
_EXTRAS = r"\s*(?:\[[^\]]*\])?\s*"
_REQUIREMENT = re.compile(
    _NAME + _EXTRAS + r"(?:(?P<operator>===|==|~=|!=|<=|>=|<|>|=)\s*(?P<version>[^\s,;]+)|$|(?=[,;\s]))"
)
_WHEEL = re.compile(r"(?:.*/)?" + _NAME.replace("._-", "._") + r"-(?P<version>[0-9][^-]*)-[^/]*\.whl(?:[?#].*)?")
_AT_URL = re.compile(_NAME + _EXTRAS + r"@\s*(?P<url>\S+)")
_SYSTEM_PYTHON = re.compile(r"python(?P<version>3\.[0-9]+)(?:-[a-z]+)?")
# Options whose value is the next word; of pip, uv and conda.
_WITH_VALUE = frozenset(
    (
        *("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-r", "--requirement", "-c", "--constraint"),
        *("-t", "--target", "--prefix", "--root", "-n", "--name", "-p", "--channel", "--trusted-host", "--timeout"),
        *("--python-version", "--platform", "--abi", "--cache-dir", "--proxy", "--retries", "--src", "-e"),
        "--editable",
    )
)
_DEEPEST = 3


@dataclass(frozen=True)
class Installed:
    """One package that a command installs.

    Attributes:
        name: in lower case, with hyphens; ``python`` for a Python.
        operator: ``==``, ``<``, ...; empty where the command leaves the version open.
        version: behind the operator.
        upgrade: the newest one is wanted (``-U``).
        guarded: only where something else is missing (``which ray || pip install ray``).
    """

    name: str
    operator: str = ""
    version: str = ""
    upgrade: bool = False
    guarded: bool = False


def installed_by(command: str, depth: int = 0) -> list[Installed]:
    """Return what a command installs, in its order; nothing for a command that no shell would read.

    Args:
        command: as a shell gets it.
        depth: in how many other commands it is, as in `bash -c 'pip install x'`.
    """
    guarded = "||" in command
    found: list[Installed] = []
    for part in readable_commands(command):
        found += [replace(one, guarded=guarded) for one in _of_words(part.words)]
        if depth < _DEEPEST:
            for word in part.words:
                if re.search(r"\s", word):
                    found += installed_by(word, depth + 1)
    return found


def release(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with: ``(2, 9, 3)`` of ``2.9.3``, ``(3, 0, 0)`` of ``3.0.0.dev0``."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version.strip())
    return tuple(int(number) for number in match[1].split(".")) if match else ()


def is_below(one: Installed, floor: str) -> bool:
    """Return whether what a command installs is surely older than a version."""
    given, least = release(one.version), release(floor)
    if not given:
        return False
    if one.operator in ("==", "===", "="):
        # `==1.26.*` and conda's `=1.26` leave the rest open.
        width = len(given) if one.operator == "=" or one.version.endswith("*") else None
        return given < least[:width]
    if one.operator == "~=":  # ~=1.7.8 is the newest 1.7
        return given[:-1] < least[: len(given) - 1]
    return (one.operator == "<" and given <= least) or (one.operator == "<=" and given < least)


def _of_words(words: Sequence[str]) -> Iterator[Installed]:
    names = [program_name(word) for word in words]
    for at, name in enumerate(names):
        rest = words[at + 1 :]
        if _PIP.fullmatch(name) and "install" in rest[:4]:
            yield from _requirements(rest[list(rest).index("install") + 1 :])
            return
        if name in _CONDAS and _CONDA_VERBS & set(rest[:3]):
            verb = next(number for number, word in enumerate(rest) if word in _CONDA_VERBS)
            yield from _requirements(rest[verb + 1 :], conda=True)
            return
        if name == "pyenv" and "install" in rest[:1]:
            yield from (Installed(PYTHON, "==", word) for word in rest[1:] if release(word))
            return
        if name in _SYSTEMS and "install" in rest:
            yield from _pythons_of_system(rest)
            return
        if name == "uv" and {"venv", "python"} & set(rest[:1]):
            yield from _pythons_of_uv(rest)
            return


def _pythons_of_system(words: Sequence[str]) -> Iterator[Installed]:
    for word in words:
        if match := _SYSTEM_PYTHON.fullmatch(word):
            yield Installed(PYTHON, "==", f"{match['version']}.*")


def _pythons_of_uv(words: Sequence[str]) -> Iterator[Installed]:
    for number, word in enumerate(words):
        option, _, value = word.partition("=")
        if option in ("--python", "-p"):
            value = value or next(iter(words[number + 1 : number + 2]), "")
        elif words[0] != "python" or number < 2:
            continue
        else:
            value = word
        value = value.removeprefix("python").lstrip("@")
        if release(value):
            yield Installed(PYTHON, "==", value if value.count(".") > 1 else f"{value}.*")


def _requirements(words: Sequence[str], *, conda: bool = False) -> Iterator[Installed]:
    upgrade = any(word in ("--upgrade", "-U", "--pre") or re.fullmatch(r"-[a-zA-Z]*U[a-zA-Z]*", word) for word in words)
    left = iter(words)
    for word in left:
        if word in _WITH_VALUE:
            next(left, None)
        elif not word.startswith("-"):
            yield from _requirement(word.rpartition("::")[2] if conda else word, upgrade=upgrade)


def _requirement(word: str, *, upgrade: bool) -> Iterator[Installed]:
    if at_url := _AT_URL.fullmatch(word):
        yield from _requirement(at_url["url"], upgrade=upgrade)
        return
    wheel = _WHEEL.fullmatch(word)
    match = wheel or _REQUIREMENT.match(word)
    if match is None or ("/" in word and not wheel):
        return
    name = re.sub(r"[-_.]+", "-", match["name"]).lower()
    operator, version = ("==", match["version"]) if wheel else (match["operator"] or "", match["version"] or "")
    yield Installed(name, operator, version, upgrade=upgrade)
