"""A user's cluster file, made ready for a local cloud: the same node types, less what only the real account has."""

from __future__ import annotations

import copy
import shutil
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX
from accel_scaling.catalog.user_files import TRAVELLED, USER_FOLDER, travelling_files
from accel_scaling.clouds import known_clouds
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import reader_of, user_catalogs
from accel_scaling.fill.promise import accelerator_types
from accel_scaling.providers.aws.node_config import region_of
from accel_scaling.providers.gcp.node_config import zones_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from accel_scaling.catalog.load import Catalog

# They name things in the user's account or on their disk, which a local cloud does not have.
_AWS_ACCOUNT_KEYS = (
    "ImageId",
    "KeyName",
    "SubnetId",
    "SubnetIds",
    "SecurityGroupIds",
    "IamInstanceProfile",
    "NetworkInterfaces",
    "LaunchTemplate",
    "BlockDeviceMappings",
    "Placement",
    "UserData",
    "CapacityReservationSpecification",
)
_AWS_ACCOUNT_PROVIDER_KEYS = (
    "availability_zone",
    "aws_credentials",
    "cloudwatch",
    "security_group",
    "use_external_head_ip",
)
_GCP_ACCOUNT_KEYS = (
    "disks",
    "metadata",
    "networkInterfaces",
    "networkConfig",
    "serviceAccounts",
    "serviceAccount",
    "sourceInstanceTemplate",
    "sourceMachineImage",
    "reservationAffinity",
    "resourcePolicies",
    "tags",
)
_GCP_ACCOUNT_PROVIDER_KEYS = ("gcp_credentials", "api_endpoints", "use_external_head_ip")

# They install software, which the local hosts share with this machine and must not change.
_SKIPPED = (
    "docker",
    "file_mounts",
    "initialization_commands",
    "cluster_synced_files",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
)
_NEEDED_EMPTY = ("setup_commands", "head_setup_commands", "worker_setup_commands")

IMAGE = "ami-0123456789abcdef0"  # any: the local hosts have one image
DISKS = [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": "projects/local/global/images/local"}}]


def for_local_ec2(config: dict[str, Any], *, user: str) -> tuple[dict[str, Any], list[str]]:
    """Return the config to launch on the local EC2, and the keys that are not rehearsed.

    Args:
        config: the user's cluster config.
        user: the account that the local hosts let in over ssh.
    """
    local, skipped = _without(config, _AWS_ACCOUNT_KEYS, _AWS_ACCOUNT_PROVIDER_KEYS, {"external", "aws"}, user)
    region_of(local)
    for name, node_type in local["available_node_types"].items():
        if (config["available_node_types"][name].get("node_config") or {}).get("ImageId"):
            node_type["node_config"]["ImageId"] = IMAGE  # else the default image, which this cloud has too
    return local, skipped


def for_local_gce(
    config: dict[str, Any], *, user: str, project: str, endpoint_url: str
) -> tuple[dict[str, Any], list[str]]:
    """Return the config to launch on the local Compute Engine, and the keys that are not rehearsed.

    Args:
        config: the user's cluster config.
        user: the account that the local hosts let in over ssh.
        project: the local cloud's project.
        endpoint_url: where it answers.
    """
    local, skipped = _without(config, _GCP_ACCOUNT_KEYS, _GCP_ACCOUNT_PROVIDER_KEYS, {"external"}, user)
    zones_of(local["provider"])
    local["provider"] |= {
        "project_id": project,
        "api_endpoints": endpoint_url,
        "gcp_credentials": {"type": "anonymous"},
    }
    for name, node_type in local["available_node_types"].items():
        own = config["available_node_types"][name].get("node_config") or {}
        if any(own.get(key) for key in ("disks", "sourceMachineImage", "sourceInstanceTemplate")):
            node_type["node_config"]["disks"] = copy.deepcopy(DISKS)  # else the default image, which this cloud has too
    return local, skipped


def bring_catalog(config: dict[str, Any], home: Path) -> None:
    """Let the one who runs `ray up` have the user's own catalog, whose files mean nothing in that home.

    Args:
        config: the cluster config for the local cloud, changed in place.
        home: the laptop's home.
    """
    files = travelling_files(user_catalogs(config["provider"]), known_clouds())
    config["provider"].pop("catalog", None)
    for name, path in files.items():
        target = home / USER_FOLDER / TRAVELLED / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def demands_of(config: dict[str, Any], catalog: Catalog) -> list[dict[str, Any]]:
    """Return one small task per accelerator type of the file's workers, by its most exact name."""
    demands: dict[str, dict[str, Any]] = {}
    reader = reader_of(config["provider"])
    for name, node_type in config["available_node_types"].items():
        machine = reader.machine(f"available_node_types.{name}", node_type["node_config"], catalog).machine
        if name == config["head_node_type"] or machine.chip is None:
            continue
        own = [key for key in node_type.get("resources") or {} if key.startswith(ACCELERATOR_TYPE_PREFIX)]
        types = [key.removeprefix(ACCELERATOR_TYPE_PREFIX) for key in own] or accelerator_types(machine.chip)
        demand = {"node_type": name, "resource": machine.chip.resource, "count": 1, "accelerator_type": types[-1]}
        demands.setdefault(types[-1], demand)
    return list(demands.values())


def _without(
    config: dict[str, Any], keys: Collection[str], provider_keys: Collection[str], types: Collection[str], user: str
) -> tuple[dict[str, Any], list[str]]:
    local = copy.deepcopy(config)
    skipped = [key for key in _SKIPPED if local.pop(key, None)]
    local |= {key: [] for key in _NEEDED_EMPTY}
    local.setdefault("max_workers", 2)
    provider = local["provider"]
    if provider.get("type") not in types:
        known = " and ".join(f"`{one}`" for one in sorted(types, reverse=True))
        raise ClusterConfigError(f"provider.type is {provider.get('type')!r}; a rehearsal knows {known}")
    skipped += [f"provider.{key}" for key in provider_keys if provider.pop(key, None)]
    provider["use_internal_ips"] = True
    local["auth"] = {"ssh_user": user}
    for name, node_type in local["available_node_types"].items():
        node_config = node_type["node_config"]
        skipped += [f"{name}.node_config.{key}" for key in keys if node_config.pop(key, None) is not None]
        skipped += [f"{name}.{key}" for key in _SKIPPED if node_type.pop(key, None)]
    return local, skipped
