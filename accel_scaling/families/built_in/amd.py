"""AMD GPUs: the nodes of the amdgpu driver, and amdsmi, the package that Ray asks."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling._ray.versions import has
from accel_scaling.families.catalog import chips_of
from accel_scaling.families.family import RENDER_NODES, Family
from accel_scaling.families.probe import devices_on_bus, examine, nodes_of
from accel_scaling.families.visible import NO_DEVICES, Reading, list_in, numbered_from_zero

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from accel_scaling.detect.model import Detection
    from accel_scaling.detect.pci import PciDevice

VARIABLE, ROCMS_VARIABLE = "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"
# What a virtual machine shows of an MI300X: the catalog has them, Ray's table has not.
WITHOUT_TYPE = frozenset(("1002:74b5", "1002:74bd"))


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
    if pci_id in WITHOUT_TYPE:
        return None
    return next((chip.detected_type for chip in chips_of(FAMILY.name) if pci_id in chip.pci_ids), None)


def read_visible(environment: Mapping[str, str]) -> Reading | None:
    """Return what is visible; Ray stops where ROCm's own variable is set alone."""
    value, rocms = environment.get(VARIABLE), environment.get(ROCMS_VARIABLE)
    if value is not None:
        return list_in(VARIABLE, value, FAMILY.none_visible)
    if rocms is None:
        return None
    return Reading(ROCMS_VARIABLE, rocms, (), f"Ray does not start with it: use {VARIABLE} in its place")


FAMILY = Family(
    name="amd",
    resource="GPU",
    visible_devices=VARIABLE,
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
ids = [f"1002:{amdsmi.amdsmi_get_gpu_id(handle):04x}" for handle in handles]
say(len(ids), ids[0] if ids else None, ids)
""",
    type_prefix="AMD-",
    none_visible=("", NO_DEVICES),
    narrowed_by=[ROCMS_VARIABLE],
    read_visible=read_visible,
    runtime_ids=numbered_from_zero,
    position=40,
    detect=detect,
)
