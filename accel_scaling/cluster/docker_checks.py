"""What containers need that a node does not have: Docker in the image of the fill, devices of another family.

Docker starts no container with an option whose device or runtime the host lacks, and Ray starts no node without its
container. The fill knows each node's accelerator and the image that it chose, so it says so before the launch.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.node_needs import needs
from accel_scaling.cluster.setup_commands import INITIALIZATION
from accel_scaling.message_text import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from accel_scaling.catalog.model import MachineType
    from accel_scaling.catalog.node_images import Image

_APT = "sudo apt-get -o DPkg::Lock::Timeout=300"
# The group of the socket besides the user's membership: the connection that Ray keeps open was made without it.
INSTALL = {
    "docker": (
        f"command -v docker >/dev/null || ({_APT} update -q && {_APT} install -yq docker.io && "
        "sudo usermod -aG docker $USER && sudo chgrp $(id -gn) /var/run/docker.sock)"
    ),
    "podman": f"command -v podman >/dev/null || ({_APT} update -q && {_APT} install -yq podman)",
}

_NVIDIA = "nvidia"
# rayproject/ray:2.60.0-py310-gpu, -cu128, nvidia/cuda:12.8.0-base: images with NVIDIA's libraries.
_OF_NVIDIA = re.compile(r"(?:^|[-_:/.])(?:gpu|cuda[0-9]*|cu[0-9]{2,3})(?:$|[-_:/.])")


def uses_containers(config: Mapping[str, Any]) -> bool:
    """Return whether a cluster config's nodes run Ray in containers; Ray looks at the container's name."""
    docker = config.get("docker")
    return isinstance(docker, dict) and bool(docker.get("container_name"))


def words_of(options: Sequence[str]) -> list[str]:
    """Return the words of options: Ray joins them with spaces for a shell, so one of a list may hold several."""
    return re.split(r"[\s'\"]+", " ".join(options))


def add_docker(filled: dict[str, Any], chosen: Mapping[str, Image]) -> list[str]:
    """Install Docker where the image that the fill chose lacks it and the file wants containers; return notes.

    Ray runs ``initialization_commands`` on the host, before the container. Commands of the user's own stay as they are.

    Args:
        filled: the cluster config, changed in place.
        chosen: the image that the fill chose, by node type.
    """
    lacking = {name: image for name, image in chosen.items() if not image.has_docker}
    if not lacking or not uses_containers(filled):
        return []
    program = "podman" if filled["docker"].get("use_podman") else "docker"
    notes = [
        f"available_node_types.{name}: its default image ({image.name.rpartition('/')[2]}) has no NVIDIA container "
        f"toolkit, and without it {program} gives containers no GPU; name an image that has it, or install it with "
        f"{INITIALIZATION}"
        for name, image in lacking.items()
        if image.family == _NVIDIA
    ]
    if not filled.get(INITIALIZATION):
        filled[INITIALIZATION] = [INSTALL[program]]
    for key, names, commands in _commands(filled, lacking):
        if commands and not any("docker" in str(command) or "podman" in str(command) for command in commands):
            notes.append(
                f"{key}: the default image of {listed(names)} has no {program.capitalize()}, and `docker:` asks for "
                f"it; begin with - {INSTALL[program]}"
            )
    return notes


def _commands(filled: dict[str, Any], lacking: Mapping[str, Image]) -> Iterator[tuple[str, list[str], Any]]:
    """Yield each list of commands that these node types run, with its key and their names.

    A node type's own list is for its workers; the cluster's is for the head, and for all other workers.
    """
    types, head = filled["available_node_types"], filled["head_node_type"]
    own = {
        name: types[name][INITIALIZATION]
        for name in lacking
        if name != head and types[name].get(INITIALIZATION) is not None
    }
    shared = [name for name in lacking if name not in own]
    if shared:
        yield INITIALIZATION, shared, filled[INITIALIZATION]
    for name, commands in own.items():
        # An empty list of its own takes the place of the cluster's: [""] has no Docker in it either.
        yield f"available_node_types.{name}.{INITIALIZATION}", [name], commands or [""]


def option_notes(options: Sequence[tuple[str, str, Sequence[str]]], machines: Mapping[str, MachineType]) -> list[str]:
    """Return a note for each of the user's options that makes docker refuse the container on a node.

    Args:
        options: node type, key and the options that the user wrote there, for each node type.
        machines: the machine type of each node type.
    """
    foreign: dict[tuple[str, str, str], list[str]] = {}
    for name, key, given in options:
        machine = machines[name]
        family = machine.chip.family if machine.chip else None
        for option, families in _device_options(given):
            if family not in families:
                nodes = foreign.setdefault((key, option, " or ".join(sorted(families))), [])
                nodes.append(f"{name} ({machine.name})")
    return [
        f"{key}: {option} is for nodes with accelerators of the family {family}, and docker refuses the container on "
        f"{listed(nodes)}; leave it out: the fill adds what each node type needs to its docker.worker_run_options, "
        "and to docker.head_run_options"
        for (key, option, family), nodes in foreign.items()
    ]


def image_notes(filled: dict[str, Any], machines: Mapping[str, MachineType]) -> list[str]:
    """Return a note for each node type with accelerators whose container image is made for NVIDIA's GPUs alone."""
    shared, notes = filled["docker"], []
    for name, machine in machines.items():
        if machine.chip is None or machine.chip.family == _NVIDIA:
            continue
        head = name == filled["head_node_type"]
        own = (filled["available_node_types"][name].get("docker") or {}).get("worker_image")
        key = "head_image" if head else "worker_image"
        image = (None if head else own) or shared.get(key) or shared.get("image")
        if isinstance(image, str) and _OF_NVIDIA.search(image):
            at = f"docker.{key}" if head else f"available_node_types.{name}.docker.{key}"
            notes.append(
                f"available_node_types.{name} ({machine.name}): its container image {image} is for NVIDIA GPUs; if "
                f"it lacks what {machine.chip.name} needs, name another in {at}"
            )
    return notes


def _device_options(given: Sequence[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the options that need a device or a runtime of the host, each with the families that bring it."""
    words = words_of(given)
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        value = value if equals else following
        if option not in ("--gpus", "--runtime", "--device"):
            continue
        families = frozenset(name for name, row in needs().items() if _brings(option, value, name, row))
        if families:
            yield f"{option}={value}" if equals else f"{option} {value}", families


def _brings(option: str, value: str, family: str, row: Any) -> bool:
    """Return whether nodes of a family have what an option asks the host for."""
    if option == "--gpus":
        return option in row.claims
    if option == "--runtime":
        return value == family or f"{option}={value}" in row.run_options
    return any(claim in value for claim in row.claims if not claim.startswith("--") and "/" in claim)
