"""AWS Neuron (Inferentia, Trainium): the bus, then neuron-ls, the tool that Ray asks."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling import timings
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.detect import names, pci
from accel_scaling.detect.model import Device, DriverState, Found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FAMILY = "neuron"
RESOURCE = "neuron_cores"
VENDOR = "1d0f"  # Amazon's, of its network and disk devices too
NEURON_LS = "opt/aws/neuron/bin/neuron-ls"  # the path that Ray hard-codes, neuron.py
DRIVER_DEVICES = "sys/devices/virtual/neuron_device"  # Neuron sysfs user guide
RAY_TYPE = "aws-neuron-core"  # ray.util.accelerators.AWS_NEURON_CORE, for every Neuron device
BYTES_PER_MIB = 1024 * 1024


@dataclass(frozen=True)
class _Answer:
    """What the driver's tool said; ``devices`` are neuron-ls's own records."""

    state: DriverState
    trouble: str = ""
    note: str = ""
    devices: tuple[dict[str, Any], ...] = ()


def probe(bus: Sequence[pci.PciDevice], root: Path) -> Found:
    """Ask the bus and neuron-ls.

    Args:
        bus: what ``pci.scan`` returned.
        root: the folder that stands for ``/``.
    """
    on_bus = _neuron_devices(bus)
    answer = _ask(root)
    name = _sysfs_name(root) if answer.devices else None
    chips = names.chips_named(name, _chips()) if name else []
    chips = chips or (names.chips_on_bus(on_bus[0].id, _chips()) if on_bus else [])
    cores = sum(_number(device, "nc_count") for device in answer.devices)
    present = bool(on_bus or answer.devices)
    types = dict.fromkeys((RAY_TYPE, *names.types_of(chips))) if present else {}
    return Found(
        family=FAMILY,
        resource=RESOURCE,
        count=len(answer.devices),
        units=cores,
        accelerator_type=RAY_TYPE if answer.devices else None,
        variant=names.exact_name(chips),
        answers_to=tuple(types),
        devices=_devices(on_bus, answer, name),
        bus_count=len(on_bus),
        driver_count=len(answer.devices),
        state=answer.state,
        trouble=answer.trouble,
        evidence=(pci.sentence(on_bus, "Neuron device"), _sentence(answer, cores, name)),
    )


def _chips() -> list[Any]:
    return [chip for chip in shipped_catalog().chips.values() if chip.family == FAMILY]


def _neuron_devices(bus: Sequence[pci.PciDevice]) -> list[pci.PciDevice]:
    amazon = [device for device in bus if device.vendor == VENDOR]
    if not amazon:
        return []  # most machines: do not even read the catalog
    known = {pci_id for chip in _chips() for pci_id in chip.pci_ids}
    return [device for device in amazon if device.id in known]


def _ask(root: Path) -> _Answer:
    tool = root / NEURON_LS
    if not tool.exists():
        return _Answer(
            DriverState.MISSING,
            f"the Neuron driver is not loaded (/{NEURON_LS} not found)",
            f"neuron-ls: /{NEURON_LS} not found",
        )
    try:
        done = subprocess.run(
            [str(tool), "--json-output"], capture_output=True, timeout=timings.NEURON_LS_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        words = f"no answer within {timings.NEURON_LS_TIMEOUT_S} s"
        return _Answer(DriverState.NOT_YET, f"neuron-ls gave {words}", f"neuron-ls: {words}")
    except OSError as error:
        return _unhealthy(f"cannot be run ({error.strerror})")
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        words = f"exit {done.returncode}" + (f": {said[-1]}" if said else "")
        if not (root / DRIVER_DEVICES).is_dir():
            return _Answer(DriverState.MISSING, f"the Neuron driver is not loaded ({words})", f"neuron-ls: {words}")
        return _unhealthy(words)
    return _read(done.stdout)


def _read(output: bytes) -> _Answer:
    try:
        devices = json.loads(output)
    except ValueError:
        return _unhealthy("printed no JSON: " + repr(output[:60].decode(errors="replace")))
    if not isinstance(devices, list) or not all(isinstance(device, dict) for device in devices):
        return _unhealthy("printed JSON that is not a list of devices")
    if not devices:
        return _Answer(DriverState.MISSING, "the Neuron driver is not loaded (neuron-ls lists no device)")
    if not all(_number(device, "nc_count") for device in devices):
        return _Answer(
            DriverState.UNHEALTHY,
            "neuron-ls lists a device without cores",
            "neuron-ls: a device without nc_count",
            tuple(devices),
        )
    return _Answer(DriverState.OK, devices=tuple(devices))


def _unhealthy(words: str) -> _Answer:
    return _Answer(DriverState.UNHEALTHY, f"neuron-ls failed: {words}", f"neuron-ls: {words}")


def _number(record: dict[str, Any], key: str) -> int:
    value = record.get(key)
    return value if isinstance(value, int) else 0


def _sysfs_name(root: Path) -> str | None:
    """Return the driver's own name of the first device, e.g. ``Trainium2``; older drivers do not have it."""
    try:
        path = root / DRIVER_DEVICES / "neuron0/info/architecture/device_name"
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _sentence(answer: _Answer, cores: int, name: str | None) -> str:
    if not answer.devices:
        return answer.note or "neuron-ls: no device"
    seen = f"neuron-ls: {len(answer.devices)} x {name or 'device'}, {cores} cores"
    return f"{seen}; {answer.note}" if answer.note else seen


def _devices(on_bus: Sequence[pci.PciDevice], answer: _Answer, name: str | None) -> tuple[Device, ...]:
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
