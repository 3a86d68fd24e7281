"""Containers: recognized by their marks, and the devices of the machine that they were not given.

The PCI bus in sysfs is the machine's, in a container too; device nodes are there for what the container was given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from accel_scaling.detect import pci

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Docker, Podman, containerd and CRI-O all mount these files into a container; no machine mounts them into itself.
_MOUNTED = re.compile(r"^(?:\S+ ){4}/etc/(?:hosts|hostname|resolv\.conf) ", re.MULTILINE)
_RUNTIMES = re.compile(r"docker|containerd|kubepods|libpod|crio|/lxc")
# Podman's, and systemd's in LXC and nspawn: made when the container starts, so no image has them.
_RUN_MARKS = ("run/.containerenv", "run/systemd/container")
# Docker's, also in what was exported from a container, machine images among it: heard where nothing better is.
_WEAK_MARK = ".dockerenv"


def in_container(root: Path) -> bool:
    """Return whether ``root`` is a container's.

    Args:
        root: the folder used as ``/``.
    """
    if any((root / mark).exists() for mark in _RUN_MARKS):
        return True
    mounts = _read(root / "proc/self/mountinfo")
    if _MOUNTED.search(mounts) or _RUNTIMES.search(_read(root / "proc/1/cgroup")):
        return True
    return not mounts and (root / _WEAK_MARK).exists()


def hidden(root: Path, expected: int, visible: int) -> bool:
    """Return whether this is a container that sees fewer devices than its machine has.

    Args:
        root: the folder used as ``/``.
        expected: devices of the machine.
        visible: those with a device node here.
    """
    return visible < expected and in_container(root)


def hidden_trouble(root: Path, on_bus: int, visible: int, nodes: str) -> str:
    """Return what this container does not see of its machine, as the middle of a sentence; empty for nothing.

    Args:
        root: the folder used as ``/``.
        on_bus: devices of the machine that its driver has taken: see ``taken``. Without a driver there is nothing
            that a container could be given.
        visible: those with a device node here.
        nodes: what the nodes are called, e.g. ``/dev/nvidia0, ...``.
    """
    if not hidden(root, on_bus, visible):
        return ""
    if not visible:
        return f"this container was given none of the machine's {on_bus} (no {nodes})"
    return f"this container was given {visible} of the machine's {on_bus} ({visible} of {nodes})"


def taken(root: Path, devices: Iterable[pci.PciDevice]) -> int:
    """Count the devices that a driver of the machine has taken: the kernel shows it in a container, too."""
    return sum((root / pci.DEVICES / device.address / "driver").is_symlink() for device in devices)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
