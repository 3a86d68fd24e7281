"""Emulated kernel drivers: device nodes below /dev, links and files in sysfs, and the mark of a container.

Nodes are plain files: nothing that looks at them opens them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.detect.pci import DEVICES
from accel_scaling.testing.devices.plugin_hardware import KIND, write_what_the_probe_reads

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from accel_scaling.testing.devices.hardware import Hardware

CONTAINER_MARK = "run/.containerenv"  # Podman's: the strongest

FIRST_RENDER_NODE = 128
REGULUS_NODE = "regulus-npu{}"  # Mobilint's other product; the node's name is its type


@dataclass(frozen=True)
class Driver:
    """How a driver shows its devices.

    Attributes:
        name: the kernel's name for it.
        node: of each device, with ``{}`` for its number.
        beside: nodes that are there once.
        of_class: the folder below /sys/class that says whose each node is; empty where the name says it.
        has_status: each device has a file with its health.
        is_asked: a Python package asks this driver, so that it can be sick or silent.
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
    """Return how the driver of this hardware shows its devices; None where it shows no device nodes."""
    if hardware.kind == KIND:
        return Driver(hardware.family, hardware.device_nodes, is_asked=False)
    return DRIVERS.get(hardware.kind)


def write_driver(root: Path, hardware: Hardware, addresses: list[str]) -> None:
    """Write the links, nodes and files of a loaded driver.

    Args:
        root: the folder that stands for ``/``.
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
    if hardware.kind == KIND:
        write_what_the_probe_reads(root, hardware)


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
