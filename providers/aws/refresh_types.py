"""EC2's records of instance types, and what they mean; no calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.schema import ARCHITECTURES
from accel_scaling.refresh.records import ApiDevice, ApiMachine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The blocks of a record that hold accelerators: block, its list, our word. One device may be in two (Inferentia).
BLOCKS = (
    ("NeuronInfo", "NeuronDevices", "neuron"),
    ("GpuInfo", "Gpus", "gpu"),
    ("InferenceAcceleratorInfo", "Accelerators", "inference"),
    ("FpgaInfo", "Fpgas", "fpga"),
    ("MediaAcceleratorInfo", "Accelerators", "media"),
)


class LackingError(Exception):
    """A record without something that a row needs."""


def told(record: Mapping[str, Any]) -> ApiMachine:
    """Return an instance type from a record of ``DescribeInstanceTypes``.

    Raises:
        LackingError: its vCPUs or its memory are not in the record.
    """
    vcpus = (record.get("VCpuInfo") or {}).get("DefaultVCpus")
    memory_mib = (record.get("MemoryInfo") or {}).get("SizeInMiB")
    missing = [word for word, value in (("vCPUs", vcpus), ("memory", memory_mib)) if not value]
    if missing:
        raise LackingError(f"no {' and no '.join(missing)}")
    archs = [
        str(each).removesuffix("_mac")
        for each in (record.get("ProcessorInfo") or {}).get("SupportedArchitectures") or ()
    ]
    arch = next((each for each in ARCHITECTURES if each in archs), None)
    return ApiMachine(str(record["InstanceType"]), int(vcpus or 0), int(memory_mib or 0), arch, tuple(_devices(record)))


def _devices(record: Mapping[str, Any]) -> Iterator[ApiDevice]:
    """Yield each kind of device once: the first block that names it, its counts in that block added up."""
    seen: dict[str, ApiDevice] = {}
    for block, key, kind in BLOCKS:
        before = set(seen)
        for each in (record.get(block) or {}).get(key) or ():
            device = _device(each, kind)
            known = seen.get(device.name)
            if known is None:
                seen[device.name] = device
            elif device.name not in before and known.count is not None and device.count is not None:
                seen[device.name] = ApiDevice(**{**vars(known), "count": known.count + device.count})
    yield from seen.values()


def _device(each: Mapping[str, Any], kind: str) -> ApiDevice:
    name = str(each.get("Name") or "").strip() or f"an accelerator without a name ({kind})"
    count: int | None = each.get("Count")
    share: float | None = 1.0
    if count == 0 or (each.get("GpuPartitionSize") or 1.0) < 1.0:
        # g6f: Count 0, LogicalGpuCount 1, GpuPartitionSize 0.125
        count, size = each.get("LogicalGpuCount") or None, each.get("GpuPartitionSize")
        share = float(size) if size and size < 1.0 else None
    return ApiDevice(
        name=name,
        count=count,
        share=share,
        memory_mib=(each.get("MemoryInfo") or {}).get("SizeInMiB"),
        maker=str(each.get("Manufacturer") or ""),
        kind=kind,
        cores=(each.get("CoreInfo") or {}).get("Count"),
    )
