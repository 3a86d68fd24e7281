"""A user's cluster file, made ready for a local cloud: the same node types, without what only the real account has."""

from __future__ import annotations

import copy
import shutil
from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.files import TRAVELLED, USER_FOLDER, travelling_files
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.cluster import user_catalogs
from accel_scaling.errors import ClusterConfigError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

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


def without_account(
    config: dict[str, Any], keys: Collection[str], provider_keys: Collection[str], types: Collection[str], user: str
) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of the config without the keys that a local cloud cannot follow, and the names of these keys.

    Args:
        config: the user's cluster config.
        keys: the keys of a node_config that name things in the user's account or on their disk.
        provider_keys: the same of ``provider``.
        types: the values of ``provider.type`` that the local cloud knows.
        user: the account that the local hosts let in over ssh.

    Raises:
        ClusterConfigError: another ``provider.type``.
    """
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


def bring_catalog(config: dict[str, Any], home: Path) -> None:
    """Copy the user's own catalog files into the laptop's home, where `ray up` reads them.

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
