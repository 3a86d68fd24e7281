"""The `docker run` options that show a node's accelerators to its container, and where a cluster file takes them.

Ray joins a node's options with spaces and gives them to a shell: `docker.run_options`, then on the head
`docker.head_run_options` and on workers `worker_run_options`, the node type's own in place of the cluster's
(`DockerCommandRunner.run_init`, `AutoscalingConfig.get_docker_config`). Ray adds `--net=host`, `--shm-size`, and, where
`nvidia-smi` works on the host, `--runtime=nvidia`; it knows nothing of other families.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.docker_checks import image_notes, option_notes, uses_containers, words_of
from accel_scaling.cluster.docker_devices import fewer_note
from accel_scaling.cluster.networks import CONTAINER_OPTIONS
from accel_scaling.cluster.node_needs import needs_of
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from accel_scaling.catalog.model import MachineType

SHARED, HEAD, WORKER = "run_options", "head_run_options", "worker_run_options"


def run_options(family: str | None, count: int, *, podman: bool = False) -> tuple[str, ...]:
    """Return the options with which a container sees all devices of a node; empty where none are known or needed.

    Args:
        family: as in ``accelerators.yaml``; None for a machine without an accelerator.
        count: devices of the node.
        podman: the options of podman where they differ.
    """
    needs = needs_of(family)
    if needs is None:
        return ()
    shared = needs.podman_options if podman and needs.podman_options else needs.run_options
    per_device = [needs.each_device.replace("{n}", str(number)) for number in range(count)] if needs.each_device else []
    return (*shared, *per_device)


def missing(given: Sequence[str], family: str | None, count: int, *, podman: bool = False) -> tuple[str, ...]:
    """Return what the user's own options lack: nothing where they already say something about the devices.

    Args:
        given: all options that the container gets so far.
        family: as in ``run_options()``.
        count: as in ``run_options()``.
        podman: as in ``run_options()``.
    """
    needs = needs_of(family)
    words = words_of(given)
    if needs is None or any(_says(claim, word) for claim in needs.claims for word in words):
        return ()
    # `--gpus all` and `--gpus=all` are the same option.
    normal = " ".join(words).replace("=", " ")
    return tuple(
        option
        for option in run_options(family, count, podman=podman)
        if f" {option.replace('=', ' ')} " not in f" {normal} "
    )


def missing_network(given: Sequence[str]) -> tuple[str, ...]:
    """Return what the user's own options lack for EFA or RDMA: the devices' nodes, and memory that may be locked.

    Source: AWS's and NVIDIA's documents of containers with EFA and RDMA; libfabric registers memory, which is locked.

    Args:
        given: all options that the container gets so far.
    """
    words = words_of(given)
    has_nodes = any("/dev/infiniband" in word for word in words) or "--privileged" in words
    has_limit = any("memlock" in word for word in words)
    devices, limit = CONTAINER_OPTIONS
    return (*(() if has_nodes else (devices,)), *(() if has_limit else (limit,)))


def with_run_options(
    config: dict[str, Any], machines: Mapping[str, MachineType], with_rdma: Collection[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of a cluster config whose containers see their nodes' accelerators, and notes for the user.

    A config without containers (no ``docker.container_name``) stays as it is: options of a node type alone would make
    Ray look for a container that has no name.

    Args:
        config: the cluster config.
        machines: the machine type of each node type.
        with_rdma: the node types whose containers get the machine's EFA or RDMA devices.

    Raises:
        ClusterConfigError: options that are no list.
    """
    if not uses_containers(config):
        return config, []
    filled, notes = copy.deepcopy(config), []
    podman = bool(config["docker"].get("use_podman"))
    written: list[tuple[str, str, Sequence[str]]] = []
    for name, machine in machines.items():
        node_type = filled["available_node_types"][name]
        family = machine.chip.family if machine.chip else None
        location = f"available_node_types.{name}"
        needs = needs_of(family)
        if family and (needs is None or not needs.known):
            notes.append(
                f"{location} ({machine.name}): no container options are known for {family}; if its containers do not "
                f"see the devices, write them in {location}.docker.{WORKER}"
            )
        for key, holder, path in _places(filled, name, node_type):
            others = _options(filled["docker"], SHARED, "docker")
            # A node type's own list takes the place of the cluster's: what that says must continue into the new list.
            own = key in holder
            given = _options(holder, key, path) if own else _options(config["docker"], key, "docker")
            written += [(name, f"docker.{SHARED}", others), (name, f"{path if own else 'docker'}.{key}", given)]
            added = missing((*others, *given), family, machine.count, podman=podman)
            if name in with_rdma:
                added += missing_network((*others, *given))
            if added:
                holder[key] = [*given, *added]
                # A node type that had no `docker` has got a new one; the head's options go to the cluster's own.
                if holder is not filled["docker"]:
                    node_type["docker"] = holder
            where = f"{path if own else 'docker'}.{key}" if given else f"docker.{SHARED}"
            notes += fewer_note(
                name,
                machine,
                (*others, *given, *added),
                node_type.get("resources") or {},
                key=where,
                checked=config["provider"].get("type") == "external",
            )
    return filled, [*notes, *option_notes(written, machines), *image_notes(filled, machines)]


def _places(config: dict[str, Any], name: str, node_type: dict[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
    """Return where a node type's options are: the key, what holds it, and its path."""
    node_docker = node_type.get("docker") or {}
    path = f"available_node_types.{name}.docker"
    if not isinstance(node_docker, dict):
        raise ClusterConfigError(f"{path} is {shown(node_docker)}; expected keys, such as {WORKER}")
    worker = (WORKER, node_docker, path)
    if name != config["head_node_type"]:
        return [worker]
    head = (HEAD, config["docker"], "docker")
    # The head's node type may have workers too, and those take the node type's options.
    return [head, worker] if node_type.get("max_workers") or node_type.get("min_workers") else [head]


def _options(holder: dict[str, Any], key: str, path: str) -> list[str]:
    given = holder.get(key) or []
    if not isinstance(given, list):
        raise ClusterConfigError(f"{path}.{key} is {shown(given)}; expected a list, such as ['--gpus all']")
    return [str(option) for option in given]


def _says(claim: str, word: str) -> bool:
    """Return whether a word of the user's options is about a family's claim: an option's name, or a part of a value."""
    return word.partition("=")[0] == claim if claim.startswith("--") else claim in word
