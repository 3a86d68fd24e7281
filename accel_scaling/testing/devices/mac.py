"""An emulated Mac: the two tools of macOS that say what its GPU is. The system's name is not emulated."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.testing.devices.hardware import Hardware

TOOLS = "usr/sbin"


def write_mac(root: Path, hardware: Hardware) -> Path:
    """Write the tools; return their folder.

    Args:
        root: the folder that stands for ``/``.
        hardware: of kind ``apple``; without devices in the driver, macOS lists no GPU with Metal.
    """
    graphics = f"Chipset Model: {hardware.driver_name}\nMetal Support: Metal 3" if hardware.seen_by_driver else ""
    answers = {"SPDisplaysDataType": graphics, "SPHardwareDataType": f"Chip: {hardware.driver_name}"}
    cases = "".join(f"{name}) printf '%s\\n' {shlex.quote(text)} ;;\n" for name, text in answers.items())
    hang = "exec sleep 3600\n" if hardware.hangs else ""
    _tool(root / TOOLS / "system_profiler", f'{hang}case "$1" in\n{cases}esac\n')
    _tool(root / TOOLS / "sysctl", f"printf '%s\\n' {shlex.quote(hardware.driver_name)}\n")
    return root / TOOLS


def _tool(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
    path.chmod(0o755)
