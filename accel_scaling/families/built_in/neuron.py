"""AWS Neuron (Inferentia, Trainium): the bus, then neuron-ls, the tool that Ray asks, then what the driver counts."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.catalog import product_names
from accel_scaling.detect import pci
from accel_scaling.detect.container import hidden_trouble
from accel_scaling.detect.model import Detection, Device, DriverState
from accel_scaling.families.catalog import chips_of
from accel_scaling.families.family import Family
from accel_scaling.families.kinds import Product, kinds_of, kinds_on_bus, with_kinds
from accel_scaling.families.probe import devices_on_bus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.catalog.model import Chip
    from accel_scaling.detect.model import Kind

RAY_TYPE = "aws-neuron-core"  # ray.util.accelerators.AWS_NEURON_CORE, for every Neuron device
BYTES_PER_MIB = 1024 * 1024

NEURON_LS = "opt/aws/neuron/bin/neuron-ls"  # the path that Ray hard-codes, ray/_private/accelerators/neuron.py
DRIVER_DEVICES = "sys/devices/virtual/neuron_device"  # Neuron sysfs user guide

# How Ray 2.60 asks; and how neuron-ls wants to be asked from Neuron 2.34 on, which ends --json-output (AWS Neuron
# announcement of 2026-10-16). The new answer is an object with the devices in it.
RAYS_ARGUMENTS = ("--json-output",)
NEW_ARGUMENTS = ("--output-format", "json")

_CANNOT_RUN = (126, 127)  # of a shell: the program is none, or a library that it needs is missing
_DEVICE = re.compile(r"neuron(\d+)")
# Neuron sysfs user guide, "stats/hardware": unrepairable errors of the memory, errors of the SRAM. Both are errors for
# which AWS replaces a machine (EKS node monitoring agent: NeuronHBMUncorrectableError, NeuronSRAMUncorrectableError).
_COUNTERS = {
    "mem_ecc_uncorrected": "errors in its memory that cannot be repaired",
    "sram_ecc_uncorrected": "uncorrected errors in its SRAM",
}
# The same guide: errors that can be repaired. No reason to refuse a device.
_REPAIRABLE = {"mem_ecc_repairable_uncorrected": "errors in its memory that can be repaired"}


def detect(bus: Sequence[pci.PciDevice], root: Path) -> Detection:
    """Ask the bus, neuron-ls, and the driver's sysfs and device nodes."""
    on_bus = devices_on_bus(FAMILY, bus, root)
    answer = _ask_neuron_ls(root)
    by_driver = answer.state is DriverState.TOOL_BROKEN
    name = _sysfs_name(root) if answer.devices or by_driver else None
    chips = product_names.chips_named(name, chips_of(FAMILY.name)) if name else []
    # Older drivers do not tell the product: then its PCI id does.
    chips = chips or (product_names.chips_on_bus(on_bus[0].id, chips_of(FAMILY.name)) if on_bus else [])
    answer = _corrected(_by_driver(answer, chips, root) if by_driver else answer, root)
    cores = sum(_number(device, "nc_count") for device in answer.devices)
    usable = [device for device in answer.devices if _number(device, "neuron_device") not in answer.unusable]
    present = bool(on_bus or answer.devices)
    types = dict.fromkeys((RAY_TYPE, *product_names.types_of(chips))) if present else {}
    detection = Detection(
        family=FAMILY.name,
        resource=FAMILY.resource,
        count=len(usable),
        units=sum(_number(device, "nc_count") for device in usable),
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
    return with_kinds(detection, _kinds(on_bus, answer, root))


def _kinds(on_bus: Sequence[pci.PciDevice], answer: NeuronAnswer, root: Path) -> tuple[Kind, ...]:
    """Return the products of a machine that has several: by the driver's names, else by the bus."""
    numbers = [_number(device, "neuron_device") for device in answer.devices]
    names = [_sysfs_name(root, number) for number in numbers]
    if len(set(names)) < 2 and len({device.id for device in on_bus}) < 2:
        return ()  # most machines: do not even read the catalog
    chips = chips_of(FAMILY.name)
    found = kinds_of(_product(product_names.chips_named(name or "", chips), name) for name in names)
    # A container that was given some of its machine's devices sees them all on the bus.
    if not found and len(names) in (0, len(on_bus)):
        found = kinds_on_bus(on_bus, chips)
    return tuple(replace(kind, answers_to=(RAY_TYPE, *kind.answers_to)) for kind in found)


def _product(chips: Sequence[Chip], name: str | None) -> Product:
    return Product(product_names.exact_name(chips) or name or "a device without a name", product_names.types_of(chips))


def _sysfs_name(root: Path, number: int = 0) -> str | None:
    """Return the driver's own name of a device, e.g. ``Trainium2``; older drivers do not have it."""
    try:
        path = root / DRIVER_DEVICES / f"neuron{number}/info/architecture/device_name"
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _sentence(answer: NeuronAnswer, cores: int, name: str | None) -> str:
    if not answer.devices:
        return answer.note or "neuron-ls: no device"
    seen = f"neuron-ls: {len(answer.devices)} x {name or 'device'}, {cores} cores"
    return f"{seen}; {answer.note}" if answer.note else seen


def _devices(on_bus: Sequence[pci.PciDevice], answer: NeuronAnswer, name: str | None) -> tuple[Device, ...]:
    if not answer.devices:
        return tuple(Device(index, None, item.address, item.id) for index, item in enumerate(on_bus))
    ids = {item.address: item.id for item in on_bus}
    return tuple(
        Device(
            index=_number(record, "neuron_device"),
            name=name,
            pci_address=(address := _address(record)),
            pci_id=ids.get(address or ""),
            memory_mib=_number(record, "memory_size") // BYTES_PER_MIB or None,
        )
        for record in answer.devices
    )


def _address(record: dict[str, Any]) -> str | None:
    """Return the PCI address; neuron-ls leaves the domain out (``cc:00.0``)."""
    address = record.get("bdf")
    if not isinstance(address, str):
        return None
    return address if address.count(":") == 2 else f"0000:{address}"


@dataclass(frozen=True)
class NeuronAnswer:
    """The answer of the tool.

    Attributes:
        state: how the driver answered.
        trouble: why not OK, as the middle of a sentence.
        note: the same as evidence.
        devices: neuron-ls's own records, with ``nc_count``, the cores of each device.
        for_ray: whether the tool answers Ray's way of asking.
        unusable: numbers of devices that it lists and that cannot be used.
    """

    state: DriverState
    trouble: str = ""
    note: str = ""
    devices: tuple[dict[str, Any], ...] = ()
    for_ray: bool = True
    unusable: frozenset[int] = frozenset()


def _ask_neuron_ls(root: Path) -> NeuronAnswer:
    """Run the tool under ``root``."""
    tool = root / NEURON_LS
    if not tool.exists():
        words = f"/{NEURON_LS} not found"
        if _numbers(root / DRIVER_DEVICES):
            return _failed(words, DriverState.TOOL_BROKEN)
        return NeuronAnswer(DriverState.MISSING, f"the Neuron driver is not loaded ({words})", f"neuron-ls: {words}")
    answer = _run(tool, RAYS_ARGUMENTS)
    if answer.state is DriverState.TOOL_BROKEN and not _numbers(root / DRIVER_DEVICES):
        return replace(answer, state=DriverState.MISSING, trouble=f"the Neuron driver is not loaded ({answer.trouble})")
    if answer.state is DriverState.UNHEALTHY and not answer.devices:
        # A tool that has ended Ray's way of asking fails as on a broken driver: a second question tells which.
        newer = _run(tool, NEW_ARGUMENTS)
        if newer.state is DriverState.OK:
            note = f"Ray 2.60 cannot read this neuron-ls: {' '.join(RAYS_ARGUMENTS)} fails"
            return replace(newer, note=note, for_ray=False)
        # The tool is part of the image: without the driver's folder, its failure means that the driver is not loaded.
        if not (root / DRIVER_DEVICES).is_dir():
            return replace(
                answer, state=DriverState.MISSING, trouble=f"the Neuron driver is not loaded ({answer.trouble})"
            )
    return answer


def _number(record: dict[str, Any], key: str) -> int:
    """Return a number of a device's record, 0 where it is not there or is none."""
    value = record.get(key)
    return value if isinstance(value, int) else 0


def _run(tool: Path, arguments: tuple[str, ...]) -> NeuronAnswer:
    timeout_s = timeouts.NEURON_LS_TIMEOUT_S
    try:
        done = subprocess.run([str(tool), *arguments], capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        words = f"no answer within {timeout_s} s"
        return NeuronAnswer(DriverState.NOT_YET, f"neuron-ls gave {words}", f"neuron-ls: {words}")
    except OSError as error:
        return _failed(f"cannot be run ({error.strerror})", DriverState.TOOL_BROKEN)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        state = DriverState.TOOL_BROKEN if done.returncode in _CANNOT_RUN else DriverState.UNHEALTHY
        return _failed(f"exit {done.returncode}" + (f": {lines[-1]}" if lines else ""), state)
    return _read(done.stdout)


def _read(output: bytes) -> NeuronAnswer:
    try:
        devices = _records(json.loads(output))
    except (ValueError, RecursionError):
        return _failed("printed no JSON: " + repr(output[:60].decode(errors="replace")))
    if devices is None:
        return _failed("printed JSON that is not a list of devices")
    if not devices:
        return NeuronAnswer(DriverState.MISSING, "the Neuron driver is not loaded (neuron-ls lists no device)")
    if not all(_number(device, "nc_count") for device in devices):
        trouble = "neuron-ls lists a device without cores"
        return NeuronAnswer(DriverState.UNHEALTHY, trouble, "neuron-ls: a device without nc_count", tuple(devices))
    return NeuronAnswer(DriverState.OK, devices=tuple(devices))


def _records(answer: Any) -> list[dict[str, Any]] | None:
    """Return the devices' records: the answer itself, or the one list in it whose items count cores."""
    if isinstance(answer, list):
        return answer if all(isinstance(item, dict) for item in answer) else None
    lists = answer.values() if isinstance(answer, dict) else ()
    counting = [
        items
        for items in lists
        if isinstance(items, list) and items and all(isinstance(i, dict) and "nc_count" in i for i in items)
    ]
    return counting[0] if len(counting) == 1 else None


def _failed(words: str, state: DriverState = DriverState.UNHEALTHY) -> NeuronAnswer:
    return NeuronAnswer(state, f"neuron-ls failed: {words}", f"neuron-ls: {words}", for_ray=False)


def _by_driver(answer: NeuronAnswer, chips: Sequence[Chip], root: Path) -> NeuronAnswer:
    """Return the answer of a tool that cannot run, with the devices that the driver has in its sysfs."""
    cores = {chip.units_per_device for chip in chips}
    if len(cores) != 1:
        return answer
    (count,) = cores
    numbers = sorted(_numbers(root / DRIVER_DEVICES))
    return replace(answer, devices=tuple({"neuron_device": number, "nc_count": count} for number in numbers))


def _corrected(answer: NeuronAnswer, root: Path) -> NeuronAnswer:
    """Return the answer, corrected by what the driver counts and by what has a device node.

    Drivers without these folders, or with others, say nothing here: then neuron-ls stands.

    Args:
        answer: neuron-ls's.
        root: the folder used as ``/``.
    """
    folders = _numbers(root / DRIVER_DEVICES)
    nodes = _numbers(root / "dev", folders=False)
    listed = {_number(device, "neuron_device") for device in answer.devices}
    # A driver that does not answer yet may still make its nodes: they are not hidden.
    if answer.state is not DriverState.NOT_YET and (
        trouble := hidden_trouble(root, len(folders), len(nodes), "/dev/neuron0, ...")
    ):
        return replace(answer, state=DriverState.HIDDEN, trouble=trouble, note=_joined(answer.note, trouble))
    wrong = {index: _counted(root, index, _COUNTERS) for index in sorted(listed & folders)}
    for index in sorted((listed & folders) - nodes):
        wrong[index] = _joined(wrong[index], "no node below /dev")
    wrong = {index: words for index, words in wrong.items() if words}
    notes = [
        f"device {index} has {words}"
        for index in sorted(listed & folders)
        if (words := _counted(root, index, _REPAIRABLE))
    ]
    if not wrong:
        return replace(answer, note=_joined(answer.note, *notes)) if notes else answer
    trouble = "; ".join(f"device {index} has {words}" for index, words in wrong.items())
    return replace(
        answer,
        state=DriverState.UNHEALTHY,
        trouble=_joined(answer.trouble, trouble),
        note=_joined(answer.note, trouble, *notes),
        unusable=frozenset(wrong),
    )


def _counted(root: Path, index: int, counters: dict[str, str]) -> str:
    folder = root / DRIVER_DEVICES / f"neuron{index}" / "stats/hardware"
    counts = {words: _count(folder / name) for name, words in counters.items()}
    return " and ".join(f"{count} {words}" for words, count in counts.items() if count)


def _count(counter: Path) -> int:
    """Return what it counts: the driver's source makes it a file, the guide a folder as other counters are."""
    for path in (counter, counter / "total"):
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        return int(text) if text.isdecimal() else 0
    return 0  # not known: drivers before 2.14 do not have it, those from 2.31 on have moved parts of the tree


def _numbers(folder: Path, *, folders: bool = True) -> set[int]:
    matches = (_DEVICE.fullmatch(path.name) for path in folder.glob("neuron*") if folders or not path.is_dir())
    return {int(match[1]) for match in matches if match}


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


FAMILY = Family(
    name="neuron",
    resource="neuron_cores",
    visible_devices="NEURON_RT_VISIBLE_CORES",
    noun="Neuron device",
    vendors=["1d0f"],  # Amazon's, of its network and disk devices too
    known_ids_only=True,
    ray_since=(2, 0),
    unit="neuron core",
    common=True,
    position=20,
    detect=detect,
)
