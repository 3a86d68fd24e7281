"""AMD GPUs: the nodes of the amdgpu driver, and amdsmi, the package that Ray asks."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling._ray.versions import has
from accel_scaling.families.catalog import chips_of
from accel_scaling.families.family import RENDER_NODES, Family
from accel_scaling.families.probe import devices_on_bus, examine, nodes_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Detection
    from accel_scaling.detect.pci import PciDevice


def detect(bus: Sequence[PciDevice], root: Path) -> Detection:
    """Ask the bus, the driver's nodes and amdsmi, which tells the first GPU's PCI id."""
    on_bus = devices_on_bus(FAMILY, bus, root)
    result = examine(FAMILY, on_bus, nodes_of(FAMILY, on_bus, root), root, type_of=ray_type)
    return result if has("amdsmi") else _by_library(result, root)


def _by_library(result: Detection, root: Path) -> Detection:
    """Return a result as an older Ray announces it, which asks a library of ROCm where this package asks amdsmi."""
    library = root / os.environ.get("ROCM_PATH", "/opt/rocm").lstrip("/") / "lib/librocm_smi64.so"
    if library.is_file():
        return replace(result, ray_units=result.count)
    return replace(result, ray_units=0, accelerator_type=None)


def ray_type(pci_id: str) -> str | None:
    """Return the type that Ray announces for the first GPU's PCI id, None where its table lacks it."""
    return next((chip.detected_type for chip in chips_of(FAMILY.name) if pci_id in chip.pci_ids), None)


FAMILY = Family(
    name="amd",
    resource="GPU",
    visible_devices="HIP_VISIBLE_DEVICES",
    shared=True,
    noun="AMD GPU",
    vendors=["1002"],
    # VGA, 3D and other display controllers; the Instincts since MI300 are processing accelerators.
    device_classes=["0300", "0302", "0380", "1200"],
    nodes="dri/renderD[0-9]*",
    kernel_class=RENDER_NODES,
    control_node="kfd",  # without it nothing can compute: ROCm, "Running ROCm Docker containers"
    ray_since=(2, 0),
    # Of several GPUs, Ray takes the first one's type for the node's.
    # As Ray's pyamdsmi shim: ray/_private/thirdparty/pyamdsmi.
    module="amdsmi",
    question="""
amdsmi.amdsmi_init(amdsmi.AmdSmiInitFlags.INIT_AMD_GPUS)
handles = amdsmi.amdsmi_get_processor_handles()
say(len(handles), f"1002:{amdsmi.amdsmi_get_gpu_id(handles[0]):04x}" if handles else None)
""",
    type_prefix="AMD-",
    position=40,
    detect=detect,
)
