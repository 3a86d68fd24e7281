"""The images of a cluster on GCP: the fill adds those that node_configs lack, and a machine without one is refused."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.node_needs import ImageKind, boot_disk, default_image, no_image
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.gcp import tpu_node_config

if TYPE_CHECKING:
    from accel_scaling.catalog.node_images import BootDisk, Image
    from accel_scaling.cluster.cluster import Cluster, NodeType

# Where a Compute Engine disk or machine has its content from, so it needs no image.
_DISK_CONTENT = ("source", "sourceImage", "sourceSnapshot", "sourceInstantSnapshot")
_MACHINE_CONTENT = ("sourceInstanceTemplate", "sourceMachineImage")

# Since 2024, each new series takes Hyperdisk alone: a Persistent Disk would be refused at every launch.
_NO_SERIES = (
    "gcp_boot_disks.csv has no row for its series; {} is written, as all new series boot from it; if this one does "
    "not, write disks[0].initializeParams.diskType"
)

IMAGE_KEY = "disks[0].initializeParams.sourceImage"


def with_image(
    node_type: NodeType, node_config: dict[str, Any], provider: dict[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the node_config with an image, or with the runtime version of a TPU slice, and notes for the user."""
    del provider  # on Google Cloud, heads of Ray's own provider launch ours as well
    machine = node_type.machine
    if machine.slice is not None:
        return tpu_node_config.with_runtime(node_config, machine.slice), ()
    if not lacks_image(node_config):
        return node_config, ()
    image = default_image(machine.machine, system=node_type.system)
    if image is None or image.kind is ImageKind.NONE:
        return node_config, (no_image(node_type.location, machine.machine, IMAGE_KEY),)
    disk, filled = _with_boot_disk(node_config, image, machine.machine.name)
    notes = []
    if disk is not None and disk.is_guess:
        notes.append(_NO_SERIES.format(disk.disk_type))
    return filled, tuple(f"{node_type.location} ({machine.name}): {note}" for note in notes)


def lacks_image(node_config: dict[str, Any]) -> bool:
    """Return whether a machine of this node_config would boot from nothing that the user named."""
    if any(node_config.get(key) for key in _MACHINE_CONTENT):
        return False
    disks = node_config.get("disks")
    if not disks:
        return True
    boot = _boot_disk(disks)
    # A config with disks, none of which is called the boot disk: what the machine boots from is for Google to say.
    if boot is None:
        return False
    first = boot.get("initializeParams") or {}
    return isinstance(first, dict) and not any({**first, **boot}.get(key) for key in _DISK_CONTENT)


def _boot_disk(disks: Any) -> dict[str, Any] | None:
    """Return the disk that the machine boots from; None where the config does not say."""
    if not isinstance(disks, list):
        return None
    return next((disk for disk in disks if isinstance(disk, dict) and disk.get("boot")), None)


def _with_boot_disk(
    node_config: dict[str, Any], image: Image, machine_type: str
) -> tuple[BootDisk | None, dict[str, Any]]:
    """Return the node_config with a boot disk, and the row of its type; None for the row where the user wrote one."""
    disks: list[Any] = node_config.get("disks") or [{"boot": True, "autoDelete": True}]
    boot = _boot_disk(disks) or {}
    disk, given = boot_disk(image.cloud, machine_type), boot.get("initializeParams") or {}
    first = {"diskSizeGb": image.disk_gb, "diskType": disk.disk_type, "sourceImage": image.name}
    # The user's own keys win: a disk of another size or type keeps it, and gets only what it lacks.
    filled_boot = {**boot, "initializeParams": {**first, **given}}
    filled = {**node_config, "disks": [filled_boot if disk is boot else disk for disk in disks]}
    if image.metadata:
        filled["metadata"] = _with_metadata(node_config.get("metadata"), image)
    return None if given.get("diskType") else disk, filled


def _with_metadata(given: Any, image: Image) -> Any:
    """Return the metadata with what the image wants; Ray's own examples write it as a list of one."""
    if given is not None and not isinstance(given, dict):
        return given
    items = (given or {}).get("items") or []
    if not isinstance(items, list):
        return given
    there = {item.get("key") for item in items if isinstance(item, dict)}
    added = [{"key": key, "value": value} for key, value in image.metadata if key not in there]
    return {**(given or {}), "items": [*items, *added]}


def with_added(own: dict[str, Any] | None, seen: dict[str, Any] | None, filled: dict[str, Any]) -> dict[str, Any]:
    """Return a node type's own ``node_config`` with what the fill added to what it saw.

    Args:
        own: as the user wrote it.
        seen: the same with what its instance template holds: what was filled.
        filled: what the fill made of that.
    """
    added = {key: value for key, value in filled.items() if (seen or {}).get(key) != value}
    return {**copy.deepcopy(own or {}), **added}


def check(cluster: Cluster) -> None:
    """Refuse a filled cluster with a node type whose machine would boot from nothing.

    Args:
        cluster: the cluster, its node_configs with what their instance templates hold.

    Raises:
        ClusterConfigError: names the node type, and what its image must hold.
    """
    for node_type in cluster.node_types.values():
        if node_type.machine.slice is None and lacks_image(node_type.node_config):
            raise ClusterConfigError(no_image(node_type.location, node_type.machine.machine, IMAGE_KEY))
