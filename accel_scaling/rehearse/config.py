"""A user's cluster file, made ready for the local EC2: the same node types, less what only the real account has."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.aws import region_of
from accel_scaling.fill.promise import ACCELERATOR_TYPE_PREFIX, accelerator_types

if TYPE_CHECKING:
    from accel_scaling.catalog.load import Catalog

# They name things in the user's account or on their disk, which the local EC2 does not have.
_ACCOUNT_KEYS = (
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
_ACCOUNT_PROVIDER_KEYS = (
    "availability_zone",
    "aws_credentials",
    "cloudwatch",
    "security_group",
    "use_external_head_ip",
)
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


def for_local_ec2(config: dict[str, Any], *, user: str) -> tuple[dict[str, Any], list[str]]:
    """Return the config to launch on the local EC2, and the keys that are not rehearsed.

    Args:
        config: the user's cluster config.
        user: the account that the local hosts let in over ssh.
    """
    local = copy.deepcopy(config)
    skipped = [key for key in _SKIPPED if local.pop(key, None)]
    local |= {key: [] for key in _NEEDED_EMPTY}
    local.setdefault("max_workers", 2)
    provider = local["provider"]
    if provider.get("type") not in {"external", "aws"}:
        raise ClusterConfigError(f"provider.type is {provider.get('type')!r}; a rehearsal knows `external` and `aws`")
    region_of(local)
    skipped += [f"provider.{key}" for key in _ACCOUNT_PROVIDER_KEYS if provider.pop(key, None)]
    provider["use_internal_ips"] = True
    local["auth"] = {"ssh_user": user}
    for name, node_type in local["available_node_types"].items():
        node_config = node_type["node_config"]
        skipped += [f"{name}.node_config.{key}" for key in _ACCOUNT_KEYS if node_config.pop(key, None) is not None]
        skipped += [f"{name}.{key}" for key in _SKIPPED if node_type.pop(key, None)]
        node_config["ImageId"] = IMAGE
    return local, skipped


def demands_of(config: dict[str, Any], catalog: Catalog, cloud: str = "aws") -> list[dict[str, Any]]:
    """Return one small task per accelerator type of the file's workers, by its most exact name."""
    demands: dict[str, dict[str, Any]] = {}
    for name, node_type in config["available_node_types"].items():
        machine = catalog.machine_type(cloud, node_type["node_config"]["InstanceType"])
        if name == config["head_node_type"] or machine.chip is None:
            continue
        own = [key for key in node_type.get("resources") or {} if key.startswith(ACCELERATOR_TYPE_PREFIX)]
        types = [key.removeprefix(ACCELERATOR_TYPE_PREFIX) for key in own] or accelerator_types(machine.chip)
        demand = {"node_type": name, "resource": machine.chip.resource, "count": 1, "accelerator_type": types[-1]}
        demands.setdefault(types[-1], demand)
    return list(demands.values())
