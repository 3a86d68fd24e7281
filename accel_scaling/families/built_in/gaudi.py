"""Intel Gaudi: the nodes and health of the habanalabs driver, and Habana's PyTorch, which Ray asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.detect import device_nodes
from accel_scaling.families.family import Family
from accel_scaling.families.probe import devices_on_bus, examine, nodes_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Detection
    from accel_scaling.detect.pci import PciDevice

# Linux, Documentation/ABI/testing/sysfs-driver-habanalabs: "Operational", "Malfunction", "Needs reset", ...
HEALTHY = "operational"
OLD_CLASS, OLD_NODES = "sys/class/habanalabs", "hl[0-9]*"  # before Linux 6.4
NEW_CLASS = "sys/class/accel"


def detect(bus: Sequence[PciDevice], root: Path) -> Detection:
    """Ask the bus, the driver's nodes, the driver for its devices' health, and Habana's package."""
    on_bus = devices_on_bus(FAMILY, bus, root)
    new = nodes_of(FAMILY, on_bus, root)
    nodes = new or device_nodes.named(root, OLD_NODES)
    return examine(FAMILY, on_bus, nodes, root, sick=_sick(root, NEW_CLASS if new else OLD_CLASS, nodes))


def _sick(root: Path, kernel_class: str, nodes: Sequence[str]) -> list[str]:
    sick = []
    for node in nodes:
        name = node.rpartition("/")[2]
        # The kernel's documents have both places; where neither can be read, the device is treated as healthy.
        files = (root / kernel_class / name / part for part in ("device/status", "status"))
        status = next((text for file in files if (text := _read(file))), "")
        if status and status.lower() != HEALTHY:
            sick.append(f"{name} is {status}")
    return sick


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


FAMILY = Family(
    name="gaudi",
    resource="HPU",
    visible_devices="HABANA_VISIBLE_MODULES",
    noun="Gaudi",
    vendors=["1da3"],  # Habana Labs
    device_classes=["12"],
    nodes="accel/accel[0-9]*",
    kernel_class="accel",
    nodes_called="/dev/accel/accel0 or /dev/hl0, ...",
    ray_since=(2, 0),
    # As ray/_private/accelerators/hpu.py. Ray names a type only where the process already computes on a Gaudi, which
    # `ray start` does not: so it announces none, and the promise's type is kept.
    module="habana_frameworks.torch.hpu",
    question="""
hpu = sys.modules["habana_frameworks.torch.hpu"]
say(
    hpu.device_count() if hpu.is_available() else 0,
    f"Intel-{hpu.get_device_name()}" if hpu.is_available() and hpu.is_initialized() else None,
)
""",
    position=60,
    detect=detect,
)
