"""The version of Ray that the nodes install: that of the machine which runs `ray up`, unless the file names another.

A file says `pip install 'ray[default]'`, and no version that would be old by the next month: at `ray up` the
requirement becomes the version that runs there. Laptop and head must have one Ray, and Ray refuses workers of another.
"""

from __future__ import annotations

import copy
import re
from typing import Any

from accel_scaling._ray import versions
from accel_scaling.cluster.setup_commands import setup_commands

RAY_REQUIREMENT = "ray[default]"
"""How a file asks for Ray on its nodes."""

# From `pip install` to the end of that command: `command -v ray || pip install 'ray[default]'` names ray before, too.
_INSTALL = re.compile(r"\bpip[0-9.]*\s+install\b(?:[^;&|)\n]|(?<=[<>=~!])[|&])*")
# A word of its own: no path, no URL, no part of another name, no value of an option.
_RAY = re.compile(
    r"(?<![\w./@:=\[-])ray(\[[\w, -]*\])?(?:\s*(===?|~=|>=|<=|!=|<|>|@)\s*([^\s'\",;]+))?(?=['\"\s,;)]|$)"
)
_OF_AN_INDEX = re.compile(r"\d+(\.\d+)+(rc\d+)?")  # no build of your own, and no nightly one
_PRE = re.compile(r"(?:^|\s)--pre(?:\s|$)")


def with_version_of_this_machine(config: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a cluster config whose commands install this machine's version of Ray where they name none."""
    written = copy.deepcopy(config)
    for _, _, commands, _ in setup_commands(written):
        commands[:] = [pinned(command) if isinstance(command, str) else command for command in commands]
    return written


def pinned(command: str) -> str:
    """Return a set-up command that installs this machine's version of Ray where it names none."""
    version = versions.installed_version() or ""
    if not _OF_AN_INDEX.fullmatch(version):
        return command

    def of_install(found: re.Match[str]) -> str:
        if _PRE.search(found[0]):
            return found[0]  # who asks for pre-releases wants another version
        return _RAY.sub(lambda ray: ray[0] if ray[2] else f"{ray[0]}=={version}", found[0])

    return _INSTALL.sub(of_install, command)
