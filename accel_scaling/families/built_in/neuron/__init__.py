"""AWS Neuron (Inferentia, Trainium): the bus, then neuron-ls, the tool that Ray asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.catalog import product_names
from accel_scaling.detect import pci
from accel_scaling.detect.model import Device, Found
from accel_scaling.families.built_in.neuron.health import checked
from accel_scaling.families.built_in.neuron.neuron_ls import DRIVER_DEVICES, Answer, ask, number
from accel_scaling.families.catalog import chips_of
from accel_scaling.families.family import Family
from accel_scaling.families.probe import devices_on_bus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


RAY_TYPE = "aws-neuron-core"  # ray.util.accelerators.AWS_NEURON_CORE, for every Neuron device
BYTES_PER_MIB = 1024 * 1024


def detect(bus: Sequence[pci.PciDevice], root: Path) -> Found:
    """Ask the bus, neuron-ls, and the driver's sysfs and device nodes."""
    on_bus = devices_on_bus(FAMILY, bus, root)
    answer = checked(ask(root), root)
    name = _sysfs_name(root) if answer.devices else None
    chips = product_names.chips_named(name, chips_of(FAMILY.name)) if name else []
    chips = chips or (product_names.chips_on_bus(on_bus[0].id, chips_of(FAMILY.name)) if on_bus else [])
    cores = sum(number(device, "nc_count") for device in answer.devices)
    usable = [device for device in answer.devices if number(device, "neuron_device") not in answer.unusable]
    present = bool(on_bus or answer.devices)
    types = dict.fromkeys((RAY_TYPE, *product_names.types_of(chips))) if present else {}
    return Found(
        family=FAMILY.name,
        resource=FAMILY.resource,
        count=len(usable),
        units=sum(number(device, "nc_count") for device in usable),
        ray_units=cores if answer.for_ray else 0,
        accelerator_type=RAY_TYPE if answer.devices else None,
        variant=product_names.exact_name(chips),
        answers_to=tuple(types),
        devices=_devices(on_bus, answer, name),
        bus_count=len(on_bus),
        driver_count=len(answer.devices),
        state=answer.state,
        trouble=answer.trouble,
        evidence=(pci.sentence(on_bus, FAMILY.noun), _sentence(answer, cores, name)),
    )


def _sysfs_name(root: Path) -> str | None:
    """Return the driver's own name of the first device, e.g. ``Trainium2``; older drivers do not have it."""
    try:
        path = root / DRIVER_DEVICES / "neuron0/info/architecture/device_name"
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _sentence(answer: Answer, cores: int, name: str | None) -> str:
    if not answer.devices:
        return answer.note or "neuron-ls: no device"
    seen = f"neuron-ls: {len(answer.devices)} x {name or 'device'}, {cores} cores"
    return f"{seen}; {answer.note}" if answer.note else seen


def _devices(on_bus: Sequence[pci.PciDevice], answer: Answer, name: str | None) -> tuple[Device, ...]:
    if not answer.devices:
        return tuple(Device(index, None, item.address, item.id) for index, item in enumerate(on_bus))
    ids = {item.address: item.id for item in on_bus}
    return tuple(
        Device(
            index=number(record, "neuron_device"),
            name=name,
            pci_address=(address := _address(record)),
            pci_id=ids.get(address or ""),
            memory_mib=number(record, "memory_size") // BYTES_PER_MIB or None,
        )
        for record in answer.devices
    )


def _address(record: dict[str, Any]) -> str | None:
    """Return the PCI address; neuron-ls leaves the domain out (``cc:00.0``)."""
    address = record.get("bdf")
    if not isinstance(address, str):
        return None
    return address if address.count(":") == 2 else f"0000:{address}"


FAMILY = Family(
    name="neuron",
    resource="neuron_cores",
    visible_devices="NEURON_RT_VISIBLE_CORES",
    noun="Neuron device",
    vendors=["1d0f"],  # Amazon's, of its network and disk devices too
    known_ids_only=True,
    in_ray=True,
    unit="neuron core",
    common=True,
    position=20,
    detect=detect,
)
