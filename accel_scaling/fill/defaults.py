"""The defaults that `type: external` lacks: those that Ray merges for `type: aws`, read from Ray's own file."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import DEFAULT_MAX_WORKERS
from accel_scaling.cluster.cluster import cloud_of
from accel_scaling.inputs.yaml_nodes import FAST
from accel_scaling.requirements import missing

if TYPE_CHECKING:
    from accel_scaling.clouds import Cloud

# Ray reads these before it imports our class, and crashes without them: a file must carry them itself.
NEEDED_BY_RAY = ("setup_commands", "head_setup_commands", "worker_setup_commands", "max_workers")

# Per cluster, not per cloud: a default here would launch something that nobody asked for.
NEVER_DEFAULTED = (
    *("cluster_name", "provider", "available_node_types", "head_node_type", *NEEDED_BY_RAY),
    *("head_node", "worker_nodes"),  # of Ray 1; Ray itself warns of them
)

# Ubuntu's images, those of TPU and Neuron hosts too, may have a Python without pip; a first boot may hold apt's lock.
WITH_PIP = (
    "python3 -m pip --version >/dev/null 2>&1 || (sudo apt-get -o DPkg::Lock::Timeout=300 update -q && "
    "sudo apt-get -o DPkg::Lock::Timeout=300 install -yq python3-pip)"
)


def ray_defaults(cloud: Cloud) -> dict[str, Any]:
    """Return Ray's own `<cloud>/defaults.yaml`, found without importing ray.

    Raises:
        NotInstalledError: Ray is not installed.
    """
    spec = importlib.util.find_spec("ray")
    if spec is None or spec.origin is None:
        raise missing("ray", cloud.name)
    path = Path(spec.origin).parent / "autoscaler" / cloud.ray_defaults / "defaults.yaml"
    loader = FAST(path.read_text(encoding="utf-8"))  # within `ray up`'s fill it takes 1 ms where safe_load takes 10
    defaults: dict[str, Any] = loader.get_single_data()
    return defaults


def with_defaults(config: dict[str, Any], cloud: Cloud) -> dict[str, Any]:
    """Return a copy of the config with each key that it lacks, from Ray's defaults for that cloud."""
    filled = copy.deepcopy(config)
    for key, value in ray_defaults(cloud).items():
        # An empty value counts as lacking: no start commands at all would start no Ray.
        if key not in NEVER_DEFAULTED and not filled.get(key):
            filled[key] = value
    return filled


def with_keys_needed_by_ray(config: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the config with the four keys without which `ray up` crashes for `type: external`.

    The set-up commands install the Ray version of this machine where the image has none; Ray's own defaults
    would install a nightly build. The head node needs its cloud's client besides.

    Raises:
        ClusterConfigError: the config's provider is of no cloud that is known.
    """
    cloud = cloud_of(config["provider"])
    install = f"command -v ray >/dev/null || python3 -m pip install '{ray_requirement()}'"
    needed = {
        "max_workers": DEFAULT_MAX_WORKERS,
        "setup_commands": [cloud.image_path_command, WITH_PIP, install],
        "head_setup_commands": [
            # Where it is there and too old, the boot check of the head puts another beside it (boot/head_packages.py).
            f"python3 -c 'import {cloud.sdk_module}' || python3 -m pip install '{cloud.sdk_requirement}'"
        ],
        "worker_setup_commands": [],
    }
    return {**copy.deepcopy(config), **{key: value for key, value in needed.items() if key not in config}}


def ray_requirement() -> str:
    """Return what pip is to install on nodes: the Ray version of this machine, where it has one."""
    import importlib.metadata  # 20 ms that only the commands that write files pay

    try:
        return f"ray[default]=={importlib.metadata.version('ray')}"
    except importlib.metadata.PackageNotFoundError:
        return "ray[default]"
