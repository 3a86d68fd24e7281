"""The emulated NVIDIA driver: the library ``nvml.c``, prebuilt, and the file that says what it answers."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.detect.pci import DEVICES
from accel_scaling.errors import RehearsalError
from accel_scaling.families.built_in.nvidia.nvml import LIBRARY
from accel_scaling.testing.devices.drivers import take, write_container, write_nodes

if TYPE_CHECKING:
    from accel_scaling.testing.devices.hardware import Hardware

NVML_CONFIG = "etc/accel-emulated-nvml"
MASK = "opt/accel-no-driver"  # a library folder for hosts without a driver, on rehearsing machines that have one
NVML_CONFIG_VARIABLE = "ACCEL_EMULATED_NVML"


def write_nvml(root: Path, hardware: Hardware) -> Path:
    """Write the driver library, what it answers, and the device nodes; return the library's folder."""
    take(root, sorted(entry.name for entry in (root / DEVICES).iterdir()), "nvidia")
    if hardware.container:
        write_container(root)
        if not hardware.nodes:
            return write_library(root / MASK)  # it is the container toolkit that brings the library in
    write_nodes(root, ["nvidiactl", *(f"nvidia{index}" for index in range(hardware.nodes))])
    config = root / NVML_CONFIG
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("\n".join(_answers(hardware)) + "\n", encoding="utf-8")
    triple = f"usr/lib/{platform.machine()}-linux-gnu"
    # A folder that the dynamic linker of a host with this machine's files searches by default.
    return write_library(root / (triple if (Path("/") / triple).is_dir() else "usr/lib64"))


def _answers(hardware: Hardware) -> list[str]:
    lines = [f"{hardware.seen_by_driver} {hardware.memory_mib} {hardware.driver_name}"]
    if hardware.lost_index is not None:
        lines.append(f"lost {hardware.lost_index}")
    init_code = 10 if hardware.hangs else hardware.init_code  # NVML_ERROR_TIMEOUT
    if init_code:
        lines.append(f"init {init_code}")
    return lines + [f"{word} {hardware.seen_by_driver - 1} {value}" for word, value in hardware.facts]


def write_library(folder: Path) -> Path:
    """Write the prebuilt driver library into a folder and return the folder."""
    prebuilt = Path(__file__).with_name(f"libnvidia-ml-{platform.machine()}.so")
    if not prebuilt.exists():
        raise RehearsalError(
            f"there is no emulated driver library for this processor ({platform.machine()}): build one as"
            f" {prebuilt.with_name('nvml.c')} says"
        )
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(prebuilt, folder / LIBRARY)
    return folder
