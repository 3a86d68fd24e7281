"""NVIDIA's device nodes, /dev/nvidia0, ...: which of NVML's devices a program could open here."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.detect.container import hidden_trouble, taken
from accel_scaling.detect.model import DriverState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.pci import PciDevice
    from accel_scaling.families.built_in.nvidia.nvml import Answer

_NODE = re.compile(r"nvidia(\d+)")
# There where the driver makes nodes at all; not on WSL, where NVML answers without any.
CONTROL_NODE = "dev/nvidiactl"
VERSION = "proc/driver/nvidia/version"  # the kernel module's, seen in containers too


def reachable(answer: Answer, on_bus: Sequence[PciDevice], root: Path) -> Answer:
    """Return the answer, corrected by what has a device node.

    Args:
        answer: NVML's.
        on_bus: the machine's devices.
        root: the folder that stands for ``/``.
    """
    nodes = _minors(root)
    loaded = len(on_bus) if (root / VERSION).exists() else taken(root, on_bus)
    trouble = hidden_trouble(root, loaded, len(nodes), "/dev/nvidia0, ...")
    without = [
        device
        for device, health in zip(answer.devices, answer.health, strict=True)
        if health.minor is not None and health.minor not in nodes
    ]
    if trouble and (answer.state in (DriverState.OK, DriverState.MISSING) or answer.denied):
        kept = [pair for pair in zip(answer.devices, answer.health, strict=True) if pair[0] not in without]
        return replace(
            answer,
            state=DriverState.HIDDEN,
            trouble=trouble,
            note="; ".join(part for part in (answer.note, f"devices: {trouble}") if part),
            devices=tuple(device for device, _ in kept),
            health=tuple(health for _, health in kept),
        )
    if without and not trouble and (root / CONTROL_NODE).exists():
        return _without_nodes(answer, [device.index for device in without])
    return answer


def _without_nodes(answer: Answer, indexes: Sequence[int]) -> Answer:
    missing = "; ".join(f"device {index} has no node below /dev" for index in indexes)
    health = tuple(
        replace(health, unusable="; ".join(filter(None, (health.unusable, "has no node below /dev"))))
        if device.index in indexes
        else health
        for device, health in zip(answer.devices, answer.health, strict=True)
    )
    return replace(
        answer,
        state=DriverState.UNHEALTHY,
        trouble="; ".join(filter(None, (answer.trouble, missing))),
        note="; ".join(filter(None, (answer.note, missing))),
        health=health,
    )


def _minors(root: Path) -> set[int]:
    # Docker makes a folder where it is told to mount a node that is not there.
    matches = (_NODE.fullmatch(path.name) for path in (root / "dev").glob("nvidia*") if not path.is_dir())
    return {int(match[1]) for match in matches if match}
