"""What `ray up` is about to use of a Google Cloud project: account, key, network, zones, images; lines of its block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.providers.base import launch_block
from accel_scaling.providers.base.launch_block import Fact, of_node_types
from accel_scaling.providers.gcp.cloud import CLOUD
from accel_scaling.providers.gcp.node_config import is_tpu, zones_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    Config = dict[str, Any]


def say(given: Config, resolved: Config) -> None:
    """Print the block.

    Args:
        given: the config before Ray's steps.
        resolved: the config after them.
    """
    types = resolved["available_node_types"]
    images = {name: _image(node_type["node_config"]) for name, node_type in types.items()}
    launch_block.say(CLOUD, list(_facts(given, resolved)), resolved, images)


def _facts(given: Config, resolved: Config) -> Iterator[Fact]:
    provider, head, types = resolved["provider"], resolved["head_node_type"], resolved["available_node_types"]
    yield Fact("Project", str(provider["project_id"]))
    yield Fact("Zones", ", ".join(zones_of(provider)))
    own = _accounts(types[head]["node_config"])
    yield Fact("Service account (head)", own or _accounts(resolved.get("head_node") or {}), default=not own)
    for name, node_type in types.items():
        if name != head:
            yield Fact(f"Service account ({name})", _accounts(node_type["node_config"]))
    own_key = (given.get("auth") or {}).get("ssh_private_key")
    yield Fact("Private key", str((resolved.get("auth") or {}).get("ssh_private_key") or ""), default=not own_key)
    networks = {}
    for name, node_type in types.items():
        before = given["available_node_types"][name].get("node_config") or {}
        networks[name] = (_network(node_type["node_config"]), not _network(before))
    yield from of_node_types("Network", head, networks)


def _accounts(node_config: Config) -> str:
    accounts = node_config.get("serviceAccounts")
    # A TPU slice takes one, as an object; the API of machines a list of them.
    listed = accounts if isinstance(accounts, list) else [node_config.get("serviceAccount")]
    return ", ".join(str(one["email"]) for one in listed if isinstance(one, dict) and one.get("email"))


def _network(node_config: Config) -> str:
    interfaces = node_config.get("networkInterfaces") or [node_config.get("networkConfig")]
    named = (one.get("subnetwork") or one.get("network") for one in interfaces if isinstance(one, dict))
    return ", ".join(dict.fromkeys(str(name).rpartition("/")[2] for name in named if name))


def _image(node_config: Config) -> str:
    """Return the image of a node type in words: ``PROJECT FAMILY``, a TPU's runtime version."""
    if is_tpu(node_config):
        return str(node_config.get("runtimeVersion") or "")
    boot = next((disk for disk in node_config.get("disks") or [] if isinstance(disk, dict) and disk.get("boot")), {})
    path = str((boot.get("initializeParams") or {}).get("sourceImage") or "")
    project = path.partition("projects/")[2].partition("/")[0]
    name = path.rpartition("/")[2]
    if not name:
        template = str(node_config.get("sourceInstanceTemplate") or node_config.get("sourceMachineImage") or "")
        return f"of {template.rpartition('/')[2]}" if template else ""
    return f"{name} (of {project})" if project else name
