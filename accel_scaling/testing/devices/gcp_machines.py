"""The hardware of Google's machine types and TPU slices: what a local host shows, whatever the catalog promises.

Independent of ``catalogs/`` on purpose: a wrong row there must not be confirmed by hardware made from that same row.
Tables beside this file, each row with its source: what machine types have built in, what is attached to N1 machines,
which custom types Google makes, what the driver calls each accelerator, and how TPU slices are cut.
"""

from __future__ import annotations

import csv
import functools
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError
from accel_scaling.message_text import shown
from accel_scaling.testing.devices.hardware import Hardware, user_hardware

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parent

_CUSTOM = re.compile(
    r"(?:(?P<family>[a-z0-9]+)-)?custom-(?:(?P<shared>micro|small|medium)|(?P<vcpus>[0-9]+))-(?P<mib>[0-9]+)(?P<ext>-ext)?"
)
_N1 = re.compile(r"n1-(standard|highmem|highcpu)-([0-9]+)")

# docs.cloud.google.com/compute/docs/general-purpose-machines, N1: 3.75, 6.5 and 0.9 GB for each vCPU.
_N1_MIB_PER_VCPU = {"standard": 3840, "highmem": 6656, "highcpu": 922}

NOTHING = Hardware(kind="none", source="no accelerator built in or attached")


@dataclass(frozen=True)
class BuiltIn:
    """The accelerators built into a machine type: Google's name and how many; empty and 0 for none.

    Attributes:
        driver_name: what the driver says where it is not the whole accelerator.
        memory_mib: its memory then.
    """

    accelerator: str = ""
    count: int = 0
    driver_name: str = ""
    memory_mib: int = 0


@dataclass(frozen=True)
class Attachable:
    """The N1 machines that take so many of an accelerator; a row of ``gcp_attach.csv``."""

    least_vcpus: int
    most_vcpus: int
    most_mib: int


@dataclass(frozen=True)
class SliceRule:
    """The rule by which one TPU generation is cut into slices; a row of ``gcp_slices.csv``.

    Attributes:
        generation: the beginning of its accelerator types: ``v4``.
        config_type: its name in ``acceleratorConfig``; empty where there is none.
        suffix_per_chip: what the number in an accelerator type counts for each chip: TensorCores 2, chips 1.
        chips_of_one_host: up to so many chips are one host.
        chips_per_host: chips of each host of a larger slice.
        device_nodes: ``accel`` (/dev/accel0) or ``vfio`` (/dev/vfio/0).
    """

    generation: str
    config_type: str
    suffix_per_chip: int
    chips_of_one_host: int
    chips_per_host: int
    driver_name: str
    pci_id: str
    subsystem: str
    memory_mib: int
    device_nodes: str
    source: str


@dataclass(frozen=True)
class SliceShape:
    """A slice: its rule, chips, and hosts."""

    rule: SliceRule
    chips: int

    @property
    def hosts(self) -> int:
        """The number of machines."""
        return 1 if self.chips <= self.rule.chips_of_one_host else self.chips // self.rule.chips_per_host

    @property
    def accelerator_type(self) -> str:
        """Cloud TPU's name for it."""
        return f"{self.rule.generation}-{self.chips * self.rule.suffix_per_chip}"


def built_in(machine_type: str) -> BuiltIn:
    """Return the accelerators that a Compute Engine machine type has built in.

    Raises:
        RehearsalError: there is no such machine type.
    """
    for row in _rows("gcp_machines"):
        match = re.fullmatch(row["pattern"], machine_type)
        if match:
            count = match.expand(row["count"]) if row["count"] else "0"
            return BuiltIn(row["accelerator"], int(count), row["driver_name"], int(row["memory_mib"] or 0))
    if is_custom(machine_type):
        return BuiltIn()
    if hardware := user_hardware(machine_type):
        return BuiltIn(hardware.driver_name, hardware.count, hardware.driver_name, hardware.memory_mib)
    raise RehearsalError(
        f"no machine of type {shown(machine_type)} can be rehearsed: gcp_machines.csv does not have it"
    )


def is_custom(machine_type: str) -> bool:
    """Return whether Google makes this custom machine type: a kind that exists, with vCPUs and memory that it takes."""
    custom = _CUSTOM.fullmatch(machine_type)
    if custom is None:
        return False
    family = "-".join(part for part in (custom["family"], custom["shared"]) if part)
    row = next((row for row in _rows("gcp_custom") if row["family"] == family), None)
    if row is None or (custom["ext"] and not row["most_mib_extended"]):
        return False
    vcpus, mib = int(custom["vcpus"] or row["vcpus"]), int(custom["mib"])
    most = int(row["most_mib_extended"]) if custom["ext"] else int(row["most_mib_per_vcpu"]) * vcpus
    least = max(1024, int(row["least_mib_per_vcpu"]) * vcpus)
    in_steps = mib % int(row["step_mib"]) == 0
    return _comes_in(row["vcpus"], vcpus) and in_steps and least <= mib <= most


def size_of_n1(machine_type: str) -> tuple[int, int] | None:
    """Return the vCPUs and the memory in MiB of an N1 machine type, None for any other."""
    if standard := _N1.fullmatch(machine_type):
        return int(standard[2]), int(standard[2]) * _N1_MIB_PER_VCPU[standard[1]]
    custom = _CUSTOM.fullmatch(machine_type)
    if custom and custom["vcpus"] and custom["family"] in (None, "n1"):
        return int(custom["vcpus"]), int(custom["mib"])
    return None


def _comes_in(spans: str, vcpus: int) -> bool:
    """Return whether a number is in spans such as ``1 2-96/2``: 1, and each second one from 2 to 96."""
    for span in spans.split():
        ends, _, step = span.partition("/")
        first, _, last = ends.partition("-")
        if vcpus in range(int(first), int(last or first) + 1, int(step or 1)):
            return True
    return False


def attachable(accelerator: str) -> dict[int, Attachable]:
    """Return the counts of an accelerator that an N1 machine takes, each with its sizes; empty for none."""
    return {
        int(row["count"]): Attachable(int(row["least_vcpus"]), int(row["most_vcpus"]), int(row["most_gib"]) * 1024)
        for row in _rows("gcp_attach")
        if row["accelerator"] == accelerator
    }


def is_accelerator(accelerator: str) -> bool:
    """Return whether Compute Engine has an accelerator of this name."""
    return any(row["accelerator"] == accelerator for row in _rows("gcp_accelerators"))


def hardware_of_gcp(machine_type: str, accelerators: Sequence[tuple[str, int]] = ()) -> Hardware:
    """Return the hardware of a machine.

    Args:
        machine_type: Google's name, e.g. ``a2-highgpu-8g``.
        accelerators: what was attached to it, e.g. ``[("nvidia-tesla-t4", 2)]``; what is built in may be repeated.

    Raises:
        RehearsalError: its hardware is not known.
    """
    built = built_in(machine_type)
    hardware = user_hardware(machine_type)
    if hardware is not None and built.accelerator == hardware.driver_name:
        return hardware
    attached = [(name, count) for name, count in accelerators if count and not built.count]
    name, count = attached[0] if attached else (built.accelerator, built.count)
    if not count:
        return NOTHING
    row = next((row for row in _rows("gcp_accelerators") if row["accelerator"] == name), None)
    if row is None:
        raise RehearsalError(f"no machine with {shown(name)} can be rehearsed: gcp_accelerators.csv does not have it")
    return Hardware(
        kind="nvml",
        family="nvidia",
        count=count,
        driver_name=built.driver_name or row["driver_name"],
        pci_id=row["pci_id"],
        # Only parts of a GPU have a driver's name in that table: a vGPU shows a display controller, as in hardware.csv.
        pci_class="0x030000" if built.driver_name else "0x030200",
        memory_mib=built.memory_mib or int(row["memory_mib"]),
        source=row["source"],
    )


def slice_of(accelerator_type: str) -> SliceShape:
    """Return the shape of a slice by Cloud TPU's name for it.

    Raises:
        RehearsalError: there is no such slice.
    """
    generation, _, number = accelerator_type.rpartition("-")
    rule = next((rule for rule in _slice_rules() if rule.generation == generation), None)
    if rule and number.isdecimal() and int(number) % rule.suffix_per_chip == 0:
        chips = int(number) // rule.suffix_per_chip
        if 0 < chips <= rule.chips_of_one_host or (chips and chips % rule.chips_per_host == 0):
            return SliceShape(rule, chips)
    raise RehearsalError(f"no TPU slice {shown(accelerator_type)} can be rehearsed: gcp_slices.csv does not have it")


def slice_of_topology(config_type: str, topology: str) -> SliceShape:
    """Return the shape of a slice by `acceleratorConfig`.

    Raises:
        RehearsalError: there is no such slice.
    """
    rule = next((rule for rule in _slice_rules() if rule.config_type == config_type), None)
    if rule is None or not re.fullmatch(r"[0-9]+(x[0-9]+){1,2}", topology):
        raise RehearsalError(
            f"no TPU slice of type {shown(config_type)} and topology {shown(topology)} can be rehearsed"
        )
    return SliceShape(rule, math.prod(int(side) for side in topology.split("x")))


def hardware_of_tpu(accelerator_type: str) -> tuple[Hardware, int]:
    """Return the hardware of each host of a slice, and the number of hosts.

    Raises:
        RehearsalError: there is no such slice.
    """
    shape = slice_of(accelerator_type)
    rule, hosts = shape.rule, shape.hosts
    hardware = Hardware(
        kind="tpu",
        family="tpu",
        count=shape.chips // hosts,
        driver_name=rule.driver_name,
        pci_id=rule.pci_id,
        pci_class="0x120000",
        memory_mib=rule.memory_mib,
        subsystem=rule.subsystem,
        device_nodes=rule.device_nodes,
        source=rule.source,
    )
    return hardware, hosts


@functools.cache
def _slice_rules() -> list[SliceRule]:
    numbers = ("suffix_per_chip", "chips_of_one_host", "chips_per_host", "memory_mib")
    rows = _rows("gcp_slices")
    return [
        SliceRule(**{**row, **{name: int(row[name]) for name in numbers}})  # type: ignore[arg-type]  # checked by a test
        for row in rows
    ]


@functools.cache
def _rows(table: str) -> list[dict[str, str]]:
    with (FOLDER / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
