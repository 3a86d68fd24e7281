"""NVIDIA: the bus; NVML, the driver's own library, called as Ray calls it but without Ray; then the device nodes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.catalog import product_names
from accel_scaling.detect import pci
from accel_scaling.detect.container import hidden_trouble, taken
from accel_scaling.detect.model import Detection, Device, DriverState
from accel_scaling.families.built_in.nvidia.events import listen
from accel_scaling.families.built_in.nvidia.nvml import NvmlAnswer, ask
from accel_scaling.families.catalog import chips_here
from accel_scaling.families.family import Family
from accel_scaling.families.kinds import Product, kinds_of, kinds_on_bus, with_kinds
from accel_scaling.families.visible import NO_DEVICES, numbered_from_zero

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from accel_scaling.catalog.model import Chip
    from accel_scaling.detect.model import Kind
    from accel_scaling.detect.pci import PciDevice

_PLACE = re.compile(r"[0-9]{1,9}")
_NODE = re.compile(r"nvidia(\d+)")
# There where the driver makes nodes at all; not on WSL, where NVML answers without any.
CONTROL_NODE = "dev/nvidiactl"
VERSION = "proc/driver/nvidia/version"  # the kernel module's, seen in containers too


def detect(bus: Sequence[pci.PciDevice], root: Path) -> Detection:
    """Ask the bus and NVML."""
    on_bus = [
        device for device in bus if device.vendor in FAMILY.vendors and device.device_class in FAMILY.device_classes
    ]
    answer = reachable(_judged(ask(root), len(on_bus)), on_bus, root)
    ray_type, variant, answers_to = _types(on_bus, answer)
    usable = sum(not health.unusable for health in answer.health)
    divided = _divided(answer)
    detection = Detection(
        family=FAMILY.name,
        resource=FAMILY.resource,
        count=usable,
        units=usable,
        ray_units=answer.counted,
        accelerator_type=ray_type,
        variant=variant,
        answers_to=() if divided else answers_to,
        devices=_joined(on_bus, answer.devices),
        bus_count=len(on_bus),
        driver_count=len(answer.devices),
        state=answer.state,
        trouble=answer.trouble,
        evidence=(pci.sentence(on_bus, FAMILY.noun), _sentence(answer), *([f"MIG: {divided}"] if divided else [])),
        divided=divided,
        nvlink_domain=answer.nvlink_domain,
    )
    return with_kinds(detection, _kinds(on_bus, answer))


def _judged(answer: NvmlAnswer, bus_count: int) -> NvmlAnswer:
    if answer.state is DriverState.OK and bus_count and not answer.devices:
        return NvmlAnswer(
            DriverState.UNHEALTHY, "the NVIDIA driver is loaded but took none of the devices", "NVML: 0 devices"
        )
    return answer


def _sentence(answer: NvmlAnswer) -> str:
    counts = Counter(device.name for device in answer.devices)
    seen = ", ".join(f"{count} x {name}" for name, count in counts.items())
    return "; ".join(part for part in (f"NVML: {seen}" if seen else "", answer.note) if part) or "NVML: 0 devices"


def _divided(answer: NvmlAnswer) -> str:
    """Return how devices are cut by MIG; empty for whole ones, and for a slice that a hypervisor gave this machine.

    Ray counts whole devices and gives a task their numbers; CUDA shows it one slice of a device that is cut (MIG User
    Guide, "CUDA visible devices"), which no whole device's type stands for.
    """
    cut = [health.slices for health in answer.health if health.slices is not None]
    if not cut or product_names.partition_name(answer.devices[0].name or ""):
        return ""
    return f"{len(cut)} of {len(answer.devices)} in MIG mode, cut into {sum(cut)} slices"


def _types(on_bus: Sequence[pci.PciDevice], answer: NvmlAnswer) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Return Ray's type, the exact product, and every type these devices answer to."""
    if not on_bus and not answer.devices:
        return None, None, ()  # most machines: do not even read the catalog
    chips = chips_here().values()
    by_bus = product_names.chips_on_bus(on_bus[0].id, chips) if on_bus else []
    if not answer.devices:
        return None, product_names.exact_name(by_bus), product_names.types_of(by_bus)
    driver_name = answer.devices[0].name or ""
    return (product_names.ray_nvidia_type(driver_name), *_types_of_name(driver_name, by_bus))


def _types_of_name(driver_name: str, by_bus: Sequence[Chip]) -> tuple[str | None, tuple[str, ...]]:
    """Return the exact product with this name, and every type that a device with it answers to."""
    chips = chips_here().values()
    ray_type = product_names.ray_nvidia_type(driver_name)
    named = product_names.chips_named(driver_name, chips)
    part = product_names.partition_name(driver_name)
    if any(chip.partition_of for chip in named):
        return product_names.exact_name(named), product_names.types_of(named)
    if part:
        return part, (part,)
    # A name that the catalog lacks: the bus tells the exact product, unless Ray's reading of the name contradicts it.
    known = named or [chip for chip in by_bus if chip.detected_type == ray_type]
    types = (*product_names.types_of(known), *((ray_type,) if ray_type else ()))
    return product_names.exact_name(known), tuple(dict.fromkeys(types))


def _kinds(on_bus: Sequence[pci.PciDevice], answer: NvmlAnswer) -> tuple[Kind, ...]:
    """Return the products of a machine that has several: by the driver's names, or where these are one, by the bus."""
    if len({device.name for device in answer.devices}) < 2 and len({device.id for device in on_bus}) < 2:
        return ()  # most machines: do not even read the catalog
    chips = list(chips_here().values())
    joined = _joined(on_bus, answer.devices) if answer.devices else ()
    products = []
    for device in joined:
        by_bus = product_names.chips_on_bus(device.pci_id or on_bus[0].id, chips) if on_bus else []
        variant, answers_to = _types_of_name(device.name or "", by_bus)
        products.append(Product(variant or device.name or "", answers_to))
    if kinds := kinds_of(products):
        return kinds
    # Of fewer devices than are on the bus, the driver's names alone tell: another driver may have the others.
    return kinds_on_bus(on_bus, chips) if len(answer.devices) in (0, len(on_bus)) else ()


def _joined(on_bus: Sequence[pci.PciDevice], seen: Sequence[Device]) -> tuple[Device, ...]:
    """Join the driver's devices with the bus's; NVML numbers devices in bus order."""
    if not seen:
        return tuple(Device(index, None, item.address, item.id) for index, item in enumerate(on_bus))
    if len(seen) != len(on_bus):
        return tuple(seen)  # which one is missing is not known
    return tuple(
        Device(device.index, device.name, item.address, item.id, device.memory_mib)
        for device, item in zip(seen, on_bus, strict=True)
    )


def reachable(answer: NvmlAnswer, on_bus: Sequence[PciDevice], root: Path) -> NvmlAnswer:
    """Return the answer, corrected by what has a device node.

    Args:
        answer: NVML's.
        on_bus: the machine's devices.
        root: the folder used as ``/``.
    """
    nodes = _minors(root)
    loaded = len(on_bus) if (root / VERSION).exists() else taken(root, on_bus)
    trouble = hidden_trouble(root, loaded, len(nodes), "/dev/nvidia0, ...")
    without = [
        device
        for device, health in zip(answer.devices, answer.health, strict=True)
        if health.minor is not None and health.minor not in nodes
    ]
    # A container explains devices that are not there or are denied; any other fault is the driver's own, and stays.
    if trouble and (answer.state in (DriverState.OK, DriverState.MISSING) or answer.denied):
        kept = [pair for pair in zip(answer.devices, answer.health, strict=True) if pair[0] not in without]
        return replace(
            answer,
            state=DriverState.HIDDEN,
            trouble=trouble,
            note="; ".join(part for part in (answer.note, f"devices: {trouble}") if part),
            devices=tuple(device for device, _ in kept),
            health=tuple(health for _, health in kept),
        )
    if without and not trouble and (root / CONTROL_NODE).exists():
        return _without_nodes(answer, [device.index for device in without])
    return answer


def _without_nodes(answer: NvmlAnswer, indexes: Sequence[int]) -> NvmlAnswer:
    missing = "; ".join(f"device {index} has no node below /dev" for index in indexes)
    health = tuple(
        replace(health, unusable="; ".join(filter(None, (health.unusable, "has no node below /dev"))))
        if device.index in indexes
        else health
        for device, health in zip(answer.devices, answer.health, strict=True)
    )
    return replace(
        answer,
        state=DriverState.UNHEALTHY,
        trouble="; ".join(filter(None, (answer.trouble, missing))),
        note="; ".join(filter(None, (answer.note, missing))),
        health=health,
    )


def _minors(root: Path) -> set[int]:
    # Docker makes a folder where it is told to mount a node that is not there.
    matches = (_NODE.fullmatch(path.name) for path in (root / "dev").glob("nvidia*") if not path.is_dir())
    return {int(match[1]) for match in matches if match}


def places(ids: Sequence[str], environment: Mapping[str, str]) -> list[int] | None:
    """Return the numbers of devices in NVML's order, which is the bus's; by itself, CUDA begins with the fastest."""
    if environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID" or not all(_PLACE.fullmatch(one.strip()) for one in ids):
        return None
    return [int(one) for one in ids]


FAMILY = Family(
    name="nvidia",
    resource="GPU",
    visible_devices="CUDA_VISIBLE_DEVICES",
    shared=True,
    noun="NVIDIA GPU",
    vendors=["10de"],
    # VGA and 3D controllers: a GPU also shows audio and USB functions, and an NVSwitch is a bridge.
    device_classes=["0300", "0302"],
    ray_since=(2, 0),
    none_visible=("", NO_DEVICES),
    runtime_ids=numbered_from_zero,
    places=places,
    type_of_name=product_names.ray_nvidia_type,
    common=True,
    position=10,
    detect=detect,
    listen=listen,
)
