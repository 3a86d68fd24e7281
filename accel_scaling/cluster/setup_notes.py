"""Notes about set-up commands that break the provider on the head, or Ray on a node: too old a client, another Ray.

A rehearsal runs no set-up commands, and on a cluster the mistake shows in the autoscaler's log only, when the head is
paid for and no worker ever comes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from accel_scaling._ray import versions
from accel_scaling.cluster.docker_checks import uses_containers
from accel_scaling.cluster.installs import PYTHON, Installed, installed_by, is_below, release
from accel_scaling.cluster.ray_requirement import pinned
from accel_scaling.cluster.setup_commands import INITIALIZATION, setup_commands
from accel_scaling.message_text import shown
from accel_scaling.requirements import PYTHONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from accel_scaling.clouds import Cloud

RAY_PACKAGES = ("ray", "ray-core", "ray-default", "ray-all", "ray-cpp")
"""The names that Ray has on PyPI (`ray` and `ray-cpp`) and on conda-forge (its feedstock ray-packages)."""

# What this package and Ray need on each node, beside the client of a cloud: pyproject.toml, and Ray's own metadata.
FLOORS = (("pyyaml", "6"), ("protobuf", "3.20.3"))

_RAY_IMAGE = re.compile(r"(?:.*/)?rayproject/ray(?:-ml|-llm)?:(?P<tag>[\w.-]+)")
_IMAGE_KEYS = ("image", "head_image", "worker_image")


def setup_notes(config: Mapping[str, Any], cloud: Cloud) -> list[str]:
    """Return a note for each package of a set-up command, and each image, that nodes cannot work with.

    Args:
        config: a cluster config.
        cloud: whose client the head needs.
    """
    return [*_command_notes(config, cloud), *_image_notes(config)]


def _command_notes(config: Mapping[str, Any], cloud: Cloud) -> Iterator[str]:
    in_containers = uses_containers(config)
    seen: set[tuple[str, str]] = set()  # `ray up` merges setup_commands into two other lists
    for place, key, commands, on_head in setup_commands(config):
        # They run on the host: what they install is not where Ray runs.
        if in_containers and key == INITIALIZATION:
            continue
        for number, command in enumerate(commands):
            for sentence in _sentences(command, cloud, on_head=on_head) if isinstance(command, str) else ():
                if (command, sentence) not in seen:
                    seen.add((command, sentence))
                    yield f"{place}[{number}] ({shown(command)}): {sentence}"


def _sentences(command: str, cloud: Cloud, *, on_head: bool) -> Iterator[str]:
    """Yield what is wrong with each package that a command installs."""
    # As `ray up` writes it: a Ray without a version becomes that of this machine.
    for one in installed_by(pinned(command)):
        if sentence := _sentence(one, cloud, on_head=on_head):
            yield sentence


def _sentence(one: Installed, cloud: Cloud, *, on_head: bool) -> str:
    """Return what is wrong with a package; empty where nothing is."""
    if one.name in RAY_PACKAGES:
        return _about_ray(one)
    if one.name == PYTHON:
        return _about_python(one)
    for name, floor in FLOORS:
        if one.name == name and is_below(one, floor):
            return f"Ray and the boot check need {name} {floor} or newer; write '{name}>={floor}'"
    for name, floor in cloud.sdk_floors:
        if on_head and one.name == name and is_below(one, floor):
            return (
                f"the provider on the head needs {name} {floor} or newer; write '{name}>={floor}', or leave it out: as "
                f"it is, the head installs {cloud.sdk_requirement} for its autoscaler alone when Ray starts"
            )
    return ""


def _about_ray(one: Installed) -> str:
    here = versions.installed_version()
    if not here:
        return ""
    wanted = f"write 'ray[default]=={here}', or leave the version out: `ray up` writes that of its own machine"
    minor = release(here)[:2]
    if one.operator in ("==", "===", "=", "~=") and release(one.version):
        if release(one.version)[:2] == minor:
            return ""
        return f"nodes would run Ray {one.version}, and this machine has {here}; {wanted}"
    if one.operator in ("<", "<=") and is_below(one, here):
        return f"nodes would run a Ray {one.operator}{one.version}, and this machine has {here}; {wanted}"
    # `which ray || pip install ray`: in an image with Ray nothing happens.
    newest = f"nodes would run the newest Ray there is then, and this machine has {here}; {wanted}"
    if one.guarded:
        return ""
    return newest if one.upgrade else f"where the image has no Ray, {newest}"


def _about_python(one: Installed) -> str:
    oldest, newest = (".".join(map(str, python)) for python in PYTHONS)
    given = release(one.version)[:2]
    if one.operator not in ("==", "===", "=", "~=") or len(given) < 2 or PYTHONS[0] <= given <= PYTHONS[1]:
        return ""
    return f"the boot check needs Python {oldest} to {newest} where Ray runs; write one of these"


def _image_notes(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a note for each container image of Ray's own with another Ray."""
    here = versions.installed_version()
    if not here:
        return
    for key, image in _images(config):
        match = _RAY_IMAGE.fullmatch(image)
        if match is None:
            continue
        given = release(match["tag"])
        if len(given) < 2 or given[:2] != release(here)[:2]:
            other = ".".join(map(str, given)) if len(given) > 1 else f"of the tag {match['tag']}"
            yield (
                f"{key} ({shown(image)}): nodes would run Ray {other}, and this machine has {here}; write an image of "
                f"Ray {here}, such as rayproject/ray:{here}-py310-gpu"
            )


def _images(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the key and the name of each container image."""
    sections = {"docker": config.get("docker")}
    for name, node_type in (config.get("available_node_types") or {}).items():
        if isinstance(node_type, dict):
            sections[f"available_node_types.{name}.docker"] = node_type.get("docker")
    for place, section in sections.items():
        for key in _IMAGE_KEYS:
            if isinstance(section, dict) and isinstance(section.get(key), str):
                yield f"{place}.{key}", section[key]
