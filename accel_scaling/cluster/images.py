"""The image of each node type that names none, written as its cloud writes it; nobody is asked.

On AWS it is written as `ImageId: resolve:ssm:PARAMETER`, EC2's own form of "the newest of these". The provider replaces
it by the image's id (providers/aws/images.py): the head that launches workers may not read parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.cluster.default_image import RESOLVE_SSM, default_image, no_image
from accel_scaling.cluster.node_needs import ImageKind, boot_disk_type

if TYPE_CHECKING:
    from accel_scaling.catalog.node_images import Image
    from accel_scaling.cluster.machine import Machine

# Where a Compute Engine disk or machine has its content from, so that it needs no image.
_DISK_CONTENT = ("source", "sourceImage", "sourceSnapshot", "sourceInstantSnapshot")
_MACHINE_CONTENT = ("sourceInstanceTemplate", "sourceMachineImage")


def with_image(
    where: str, cloud: str, node_config: dict[str, Any], found: Machine
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a node type's ``node_config`` with an image, and notes for the user.

    Args:
        where: the node type's place in the cluster file, for the notes.
        cloud: ``aws`` or ``gcp``.
        node_config: what the user wrote; an image in it stays.
        found: the machine that it names.
    """
    if found.slice is not None:
        return _with_runtime(node_config, found), ()
    if not lacks_image(cloud, node_config):
        return node_config, ()
    image = default_image(found.machine)
    if image is None or image.kind is ImageKind.NONE:
        key = "ImageId" if cloud == "aws" else "disks[0].initializeParams.sourceImage"
        return node_config, (no_image(where, found.machine, key),)
    notes = [f"{where} ({found.name}): its default image: {image.note}"] if image.note else []
    if cloud == "gcp":
        return _with_boot_disk(node_config, image, found.machine.name), tuple(notes)
    if "LaunchTemplate" in node_config:
        notes.append(
            f"{where} has a LaunchTemplate and no ImageId; as `ray up` always names an image, that of the template is "
            "not used; write the ImageId that you want"
        )
    return {**node_config, "ImageId": RESOLVE_SSM + image.name}, tuple(notes)


def lacks_image(cloud: str, node_config: dict[str, Any]) -> bool:
    """Say whether a machine of this ``node_config`` would boot from nothing that the user named."""
    return not node_config.get("ImageId") if cloud == "aws" else _lacks_on_gcp(node_config)


def _lacks_on_gcp(node_config: dict[str, Any]) -> bool:
    if any(node_config.get(key) for key in _MACHINE_CONTENT):
        return False
    disks = node_config.get("disks")
    if not disks:
        return True
    boot = _boot_disk(disks)
    if boot is None:
        return False
    first = boot.get("initializeParams") or {}
    return isinstance(first, dict) and not any({**first, **boot}.get(key) for key in _DISK_CONTENT)


def _boot_disk(disks: Any) -> dict[str, Any] | None:
    """Return the disk that the machine boots from; None where the config does not say."""
    if not isinstance(disks, list):
        return None
    return next((disk for disk in disks if isinstance(disk, dict) and disk.get("boot")), None)


def _with_boot_disk(node_config: dict[str, Any], image: Image, machine_type: str) -> dict[str, Any]:
    disks: list[Any] = node_config.get("disks") or [{"boot": True, "autoDelete": True}]
    boot = _boot_disk(disks) or {}
    disk_type = boot_disk_type(image.cloud, machine_type)
    first = {"diskSizeGb": image.disk_gb, "diskType": disk_type, "sourceImage": image.name}
    filled_boot = {**boot, "initializeParams": {**first, **(boot.get("initializeParams") or {})}}
    filled = {**node_config, "disks": [filled_boot if disk is boot else disk for disk in disks]}
    if image.metadata:
        filled["metadata"] = _with_metadata(node_config.get("metadata"), image)
    return filled


def _with_metadata(given: Any, image: Image) -> Any:
    """Return the metadata with what the image wants; Ray's own examples write it as a list of one."""
    if given is not None and not isinstance(given, dict):
        return given
    items = (given or {}).get("items") or []
    if not isinstance(items, list):
        return given
    there = {item.get("key") for item in items if isinstance(item, dict)}
    wanted = [{"key": key, "value": value} for key, value in image.metadata if key not in there]
    return {**(given or {}), "items": [*items, *wanted]}


def _with_runtime(node_config: dict[str, Any], found: Machine) -> dict[str, Any]:
    image = default_image(found.machine, of_slice=True)
    if node_config.get("runtimeVersion") is not None or image is None:
        return node_config
    return {**node_config, "runtimeVersion": image.name}
