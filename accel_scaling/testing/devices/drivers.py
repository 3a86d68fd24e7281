"""Emulated kernel drivers: device nodes below /dev, links and files in sysfs, and the mark of a container.

Nodes are plain files: nothing that looks at them opens them. NVIDIA's driver has two libraries besides: ``nvml.c`` and
``cuda.c``, prebuilt, and a file that says what they answer.
"""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.detect.pci import DEVICES
from accel_scaling.errors import RehearsalError
from accel_scaling.families.built_in.nvidia import cuda
from accel_scaling.families.built_in.nvidia.fabric import COMPLETED
from accel_scaling.families.built_in.nvidia.nvml import LIBRARY
from accel_scaling.testing.devices.cuda_speeds import speed_of
from accel_scaling.testing.devices.hardware import PLUG_IN_KIND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel_scaling.testing.devices.hardware import Hardware


CONTAINER_MARK = "run/.containerenv"  # Podman's: the strongest

NVML_CONFIG = "etc/accel-emulated-nvml"
NVML_CONFIG_VARIABLE = "ACCEL_EMULATED_NVML"
MASK = "opt/accel-no-driver"  # a library folder for hosts without a driver, on rehearsing machines that have one

# The kernel gives each kind of DRM node 64 numbers; render nodes are the third kind, so renderD128 is the first.
FIRST_RENDER_NODE = 128
REGULUS_NODE = "regulus-npu{}"  # Mobilint's other product; the node's name is its type


@dataclass(frozen=True)
class Driver:
    """The device nodes and files by which a driver shows its devices.

    Attributes:
        name: the kernel's name for it.
        node: of each device, with ``{}`` for its number.
        beside: nodes that are there once.
        of_class: the folder below /sys/class that says whose each node is; empty where the name says it.
        has_status: each device has a file with its health.
        is_asked: a Python package asks this driver, so it can be sick or silent.
    """

    name: str
    node: str
    beside: tuple[str, ...] = ()
    of_class: str = ""
    has_status: bool = False
    is_asked: bool = True


DRIVERS = {
    "amd": Driver("amdgpu", "dri/renderD{}", ("kfd",), "drm"),
    "intel": Driver("xe", "dri/renderD{}", (), "drm"),
    "gaudi": Driver("habanalabs", "accel/accel{}", (), "accel", has_status=True),
    "ascend": Driver("devdrv_device_driver", "davinci{}", ("davinci_manager", "devmm_svm", "hisi_hdc")),
    "rbln": Driver("rebellions", "rbln{}", ("rsd0",)),
    "metax": Driver("metax", "dri/renderD{}", ("mxcd",), "drm"),
    "furiosa": Driver("furiosa_rngd", "rngd/npu{}mgmt", ("rngd/npu0pe0", "rngd/npu0bar4")),
    "mobilint": Driver("aries", "aries{}"),
    "tenstorrent": Driver("tenstorrent", "tenstorrent/{}", is_asked=False),
    "qaic": Driver("qaic", "accel/accel{}", (), "accel", is_asked=False),
    "media": Driver("xocl", "dri/renderD{}", (), "drm", is_asked=False),
}


def driver_of(hardware: Hardware) -> Driver | None:
    """Return the driver of this hardware; None where it shows no device nodes."""
    if hardware.kind == PLUG_IN_KIND:
        return Driver(hardware.family, hardware.device_nodes, is_asked=False)
    return DRIVERS.get(hardware.kind)


def write_driver(root: Path, hardware: Hardware, addresses: list[str]) -> None:
    """Write the links, nodes and files of a loaded driver.

    Args:
        root: the folder used as ``/``.
        hardware: what the machine has, with a driver that ``driver_of`` knows.
        addresses: its PCI functions.
    """
    driver = driver_of(hardware)
    if driver is None:
        return
    # Of a device that the driver did not take, the kernel shows neither a link nor a node.
    shown = hardware.seen_by_driver if hardware.node_count is None else hardware.count
    taken = addresses[: shown * hardware.functions]
    take(root, taken, driver.name)
    if hardware.container:
        write_container(root)
    first = FIRST_RENDER_NODE if driver.of_class == "drm" else 0
    named = REGULUS_NODE if hardware.driver_name == "REGULUS" else driver.node
    many = len(taken) if addresses else shown  # a plug-in's devices need not be on the bus
    nodes = [named.format(first + index) for index in range(many)]
    visible = nodes[: hardware.nodes * hardware.functions]
    write_nodes(root, (*visible, *(driver.beside if visible else ())))
    for index, (address, node) in enumerate(zip(taken, nodes, strict=False)):
        if driver.of_class:
            link = root / "sys/class" / driver.of_class / node.rpartition("/")[2] / "device"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)  # a host that boots again
            link.symlink_to(f"../../../bus/pci/devices/{address}")
        if driver.has_status:
            status = "Malfunction" if index == hardware.lost_index else "Operational"
            (root / DEVICES / address / "status").write_text(status + "\n", encoding="ascii")
    if hardware.kind == PLUG_IN_KIND:
        _write_plug_in_files(root, hardware)


def _write_plug_in_files(root: Path, hardware: Hardware) -> None:
    """Have a plug-in family write the files of its driver that its probe reads; ``root`` is used as ``/``."""
    from accel_scaling.families.registry import all_families  # here: what ships is emulated without the catalog

    for family in all_families():
        if family.name == hardware.family and family.emulate:
            family.emulate(root, hardware.names[: hardware.nodes])


def take(root: Path, addresses: Iterable[str], driver: str) -> None:
    """Link each PCI function to its driver, as the kernel does when the driver takes it."""
    for address in addresses:
        link = root / DEVICES / address / "driver"
        if not link.is_symlink():
            link.symlink_to(f"../../../../bus/pci/drivers/{driver}")


def write_nodes(root: Path, names: Iterable[str]) -> None:
    """Write device nodes, e.g. ``nvidia0``."""
    for name in names:
        node = root / "dev" / name
        node.parent.mkdir(parents=True, exist_ok=True)
        node.touch()


def write_container(root: Path) -> None:
    """Make the folder a container's."""
    mark = root / CONTAINER_MARK
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def write_nvml(root: Path, hardware: Hardware) -> Path:
    """Write the driver library, what it answers, and the device nodes; return the library's folder."""
    take(root, sorted(entry.name for entry in (root / DEVICES).iterdir()), "nvidia")
    if hardware.container:
        write_container(root)
        if not hardware.nodes:
            return write_library(root / MASK)  # it is the container toolkit that brings the library in
    write_nodes(root, ["nvidiactl", *(f"nvidia{index}" for index in range(hardware.nodes))])
    write_answers(root, hardware)
    triple = f"usr/lib/{platform.machine()}-linux-gnu"
    # A folder that the dynamic linker of a host with this machine's files searches by default.
    return write_library(root / (triple if (Path("/") / triple).is_dir() else "usr/lib64"))


def write_answers(root: Path, hardware: Hardware) -> None:
    """Write what the driver library answers, in one step: it is read at each nvmlInit."""
    config = root / NVML_CONFIG
    config.parent.mkdir(parents=True, exist_ok=True)
    fresh = config.with_name(f"{config.name}.new")
    fresh.write_text("\n".join(_answers(hardware)) + "\n", encoding="utf-8")
    fresh.replace(config)


def _answers(hardware: Hardware) -> list[str]:
    lines = [f"{hardware.seen_by_driver} {hardware.memory_mib} {hardware.driver_name}"]
    lines += [
        f"device {index} {hardware.memory_mib} {name}"
        for index, name in enumerate(hardware.names)
        if name != hardware.driver_name
    ]
    if hardware.lost_index is not None:
        lines.append(f"lost {hardware.lost_index}")
    init_code = 10 if hardware.hangs else hardware.init_code  # NVML_ERROR_TIMEOUT
    if init_code:
        lines.append(f"init {init_code}")
    if hardware.nvlink_domain:
        cluster, _, clique = hardware.nvlink_domain.partition(".")
        words = (("fabric", COMPLETED), ("fabric-cluster", cluster), ("fabric-clique", clique))
        lines += [f"{word} {index} {value}" for index in range(hardware.seen_by_driver) for word, value in words]
    # Before the speeds: of two lines that say the same, the first counts.
    lines += [f"{word} {hardware.seen_by_driver - 1} {value}" for word, value in hardware.facts]
    return lines + [
        f"{word} {index} {value}" for index, name in enumerate(hardware.names) for word, value in speed_of(name)
    ]


def write_library(folder: Path) -> Path:
    """Write the two prebuilt driver libraries into a folder and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for library, source in ((LIBRARY, "nvml.c"), (cuda.LIBRARY, "cuda.c")):
        prebuilt = Path(__file__).with_name(f"{library.removesuffix('.so.1')}-{platform.machine()}.so")
        if not prebuilt.exists():
            raise RehearsalError(
                f"there is no emulated driver library for this processor ({platform.machine()}): build one as"
                f" {prebuilt.with_name(source)} says"
            )
        shutil.copyfile(prebuilt, folder / library)
    return folder
