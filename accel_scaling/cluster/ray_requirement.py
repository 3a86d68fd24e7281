"""The version of Ray that the nodes install: that of the machine which runs `ray up`, unless the file names another.

A file says `pip install 'ray[default]'`, and no version that would be old by the next month: at `ray up` the
requirement becomes the version that runs there. Laptop and head must have one Ray, and Ray refuses workers of another.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from accel_scaling._ray import versions

if TYPE_CHECKING:
    from collections.abc import Iterator

RAY_REQUIREMENT = "ray[default]"
"""How a file asks for Ray on its nodes."""

_KEYS = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
_OF_NODE_TYPES = ("initialization_commands", "worker_setup_commands", "setup_commands")

# From `pip install` to the end of that command: `command -v ray || pip install 'ray[default]'` names ray before, too.
_INSTALL = re.compile(r"\bpip[0-9.]*\s+install\b(?:[^;&|)\n]|(?<=[<>=~!])[|&])*")
# A word of its own: no path, no URL, no part of another name, no value of an option.
_RAY = re.compile(
    r"(?<![\w./@:=\[-])ray(\[[\w, -]*\])?(?:\s*(===?|~=|>=|<=|!=|<|>|@)\s*([^\s'\",;]+))?(?=['\"\s,;)]|$)"
)
_MINOR = re.compile(r"(\d+)\.(\d+)")
_OF_AN_INDEX = re.compile(r"\d+(\.\d+)+(rc\d+)?")  # no build of one's own, and no nightly one
_PRE = re.compile(r"(?:^|\s)--pre(?:\s|$)")

_IMAGE = re.compile(r"(?:^|/)rayproject/ray[a-z-]*:(\d+\.\d+\.\d+)")
_IMAGE_KEYS = ("image", "head_image", "worker_image")


def with_version_of_this_machine(config: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a cluster config whose commands install this machine's version of Ray where they name none."""
    version = versions.installed_version() or ""
    if not _OF_AN_INDEX.fullmatch(version):
        return config
    pinned = copy.deepcopy(config)
    for _, commands in _command_lists(pinned):
        commands[:] = [_pinned(command, version) if isinstance(command, str) else command for command in commands]
    return pinned


def version_notes(config: dict[str, Any]) -> list[str]:
    """Return a note for each command and container image that names another minor of Ray than this machine has."""
    here = versions.installed()
    if here is None:
        return []
    notes: dict[str, str] = {}  # by what is said: `ray up` merges setup_commands into two other lists
    for location, text, version in _named_versions(config):
        found = _MINOR.match(version)
        if found and (int(found[1]), int(found[2])) != here:
            notes.setdefault(
                text,
                f"{location} names Ray {version}, and this machine has Ray "
                f"{versions.installed_version()}: nodes and `ray up` need one minor, so install that version "
                f"here, or leave the version out there ({RAY_REQUIREMENT})",
            )
    return list(notes.values())


def _pinned(command: str, version: str) -> str:
    def of_install(found: re.Match[str]) -> str:
        if _PRE.search(found[0]):
            return found[0]  # who asks for pre-releases wants another version
        return _RAY.sub(lambda ray: ray[0] if ray[2] else f"{ray[0]}=={version}", found[0])

    return _INSTALL.sub(of_install, command)


def _named_versions(config: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield location, text and version of each exact version of Ray in a config."""
    for location, commands in _command_lists(config):
        for number, command in enumerate(commands):
            for install in _INSTALL.findall(command) if isinstance(command, str) else ():
                for found in _RAY.finditer(install):
                    if found[2] in ("==", "==="):
                        yield f"{location}[{number}]", command, found[3]
    for location, docker in _dockers(config):
        for key in _IMAGE_KEYS:
            image = docker.get(key)
            if isinstance(image, str) and (named := _IMAGE.search(image)):
                yield f"{location}.{key}", image, named[1]


def _command_lists(config: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    for key in _KEYS:
        if isinstance(config.get(key), list):
            yield key, config[key]
    for name, node_type in _node_types(config):
        for key in _OF_NODE_TYPES:
            if isinstance(node_type.get(key), list):
                yield f"available_node_types.{name}.{key}", node_type[key]


def _dockers(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(config.get("docker"), dict):
        yield "docker", config["docker"]
    for name, node_type in _node_types(config):
        if isinstance(node_type.get("docker"), dict):
            yield f"available_node_types.{name}.docker", node_type["docker"]


def _node_types(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    types = config.get("available_node_types")
    if isinstance(types, dict):
        yield from ((str(name), node_type) for name, node_type in types.items() if isinstance(node_type, dict))
