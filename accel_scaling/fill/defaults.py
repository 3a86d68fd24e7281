"""The defaults that `type: external` lacks: those that Ray merges for `type: aws`, read from Ray's own file."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import DEFAULT_MAX_WORKERS
from accel_scaling.catalog.node_images import images
from accel_scaling.cluster.node_type_defaults import DROPPED_IF_EMPTY, ray_defaults
from accel_scaling.cluster.provider_cloud import cloud_of
from accel_scaling.cluster.ray_requirement import RAY_REQUIREMENT

if TYPE_CHECKING:
    from accel_scaling.clouds import Cloud

# Ray reads these before it imports our class, and crashes without them: a file must carry them itself.
NEEDED_BY_RAY = ("setup_commands", "head_setup_commands", "worker_setup_commands", "max_workers")

# Per cluster, not per cloud: a default here would launch something that nobody asked for. What Ray itself takes where
# a file names no node types or no head is read with the file (cluster/node_type_defaults.py).
NEVER_DEFAULTED = (
    *("cluster_name", "provider", "available_node_types", "head_node_type", *NEEDED_BY_RAY),
    *DROPPED_IF_EMPTY,  # Ray itself warns of them
)

# Ubuntu's images, those of TPU and Neuron hosts too, may have a Python without pip; a first boot may hold apt's lock.
WITH_PIP = (
    "python3 -m pip --version >/dev/null 2>&1 || (sudo apt-get -o DPkg::Lock::Timeout=300 update -q && "
    "sudo apt-get -o DPkg::Lock::Timeout=300 install -yq python3-pip)"
)


def with_defaults(config: dict[str, Any], cloud: Cloud) -> dict[str, Any]:
    """Return a copy of the config with each key that it lacks, from Ray's defaults for that cloud."""
    filled = copy.deepcopy(config)
    for key, value in ray_defaults(cloud).items():
        # An empty list and a 0 are meant, and Ray's own providers leave them: `head_start_ray_commands: []` starts no
        # Ray. Nothing and {} are not: Ray itself writes `auth: {}` where a file with `type: external` has no auth.
        if key not in NEVER_DEFAULTED and filled.get(key) in (None, {}):
            filled[key] = value
    return filled


def with_keys_needed_by_ray(config: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the config with the four keys without which `ray up` crashes for `type: external`.

    The set-up commands install Ray where the image has none; at `ray up` it becomes the version that runs there. Ray's
    own defaults would install a nightly build. The head node needs its cloud's client besides. `init` writes the same
    (tests/init/test_setup_commands.py).

    Raises:
        ClusterConfigError: the config's provider is of no cloud that is known.
    """
    cloud = cloud_of(config["provider"])
    install = f"command -v ray >/dev/null || python3 -m pip install '{RAY_REQUIREMENT}'"
    needed = {
        "max_workers": DEFAULT_MAX_WORKERS,
        "setup_commands": [*([cloud.image_path_command] if _has_own_image(config, cloud) else []), WITH_PIP, install],
        "head_setup_commands": [
            # Where it is there and too old, the boot check of the head puts another beside it (boot/head_packages.py).
            f"python3 -c 'import {cloud.sdk_module}' || python3 -m pip install '{cloud.sdk_requirement}'"
        ],
        "worker_setup_commands": [],
    }
    return {**copy.deepcopy(config), **{key: value for key, value in needed.items() if key not in config}}


def _has_own_image(config: dict[str, Any], cloud: Cloud) -> bool:
    """Return whether a node type names an image that the fill would not choose: its Python may be elsewhere."""
    defaults = [image.name for image in images() if image.cloud == cloud.name and image.name]
    node_types = (config.get("available_node_types") or {}).values()
    node_configs = [node_type.get("node_config") or {} for node_type in node_types]
    # Written as it is, or within a longer name: `resolve:ssm:NAME`, or a disk's source.
    texts = [str(one[key]) for one in node_configs for key in cloud.image_keys if one.get(key)]
    return any(not any(name in text for name in defaults) for text in texts)
