"""AMD GPUs: the bus, the nodes of the amdgpu driver, and amdsmi, the package that Ray asks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.detect import device_nodes, vendor_package
from accel_scaling.detect.evidence import Witnesses, chips_of, found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Found
    from accel_scaling.detect.pci import PciDevice

FAMILY = "amd"
RESOURCE = "GPU"
VENDOR = "1002"
# VGA, 3D and other display controllers; the Instincts since MI300 are processing accelerators.
CLASSES = ("0300", "0302", "0380", "1200")

# As Ray's pyamdsmi shim: ray/_private/thirdparty/pyamdsmi.
PACKAGE = "amdsmi"
QUESTION = """
amdsmi.amdsmi_init(amdsmi.AmdSmiInitFlags.INIT_AMD_GPUS)
handles = amdsmi.amdsmi_get_processor_handles()
say(len(handles), f"1002:{amdsmi.amdsmi_get_gpu_id(handles[0]):04x}" if handles else None)
"""


def probe(bus: Sequence[PciDevice], root: Path) -> Found:
    """Ask the bus, the driver's nodes and, where there are any, amdsmi.

    Args:
        bus: what ``pci.scan`` returned.
        root: the folder that stands for ``/``.
    """
    ours = device_nodes.on_bus((item for item in bus if item.vendor == VENDOR and item.device_class in CLASSES), root)
    seen = Witnesses(FAMILY, RESOURCE, "AMD GPU", ours, _nodes(ours, root), "/dev/kfd and /dev/dri/renderD128, ...")
    if seen.nodes:
        reply = vendor_package.ask(PACKAGE, QUESTION)
        seen = replace(seen, package=PACKAGE, reply=replace(reply, kind=ray_type(reply.kind)))
    return found(seen, root)


def ray_type(pci_id: str | None) -> str | None:
    """Return the type that Ray 2.60 announces for the first GPU's PCI id, None where its table lacks it."""
    return next((chip.detected_type for chip in chips_of(FAMILY) if pci_id in chip.pci_ids), None)


def _nodes(ours: Sequence[PciDevice], root: Path) -> list[str]:
    """Return the render nodes; without /dev/kfd nothing can compute on them: ROCm, "Running ROCm Docker containers"."""
    if not ours or not (root / "dev/kfd").exists():
        return []
    return device_nodes.of_class(root, "dri/renderD*", "drm", device_nodes.ids_of(ours))
