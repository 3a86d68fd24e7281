"""Apple's GPU: one a machine, no PCI bus; macOS's own tools say what it is, as Ray asks them."""

from __future__ import annotations

import platform
import subprocess
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling.catalog import product_names
from accel_scaling.detect.model import Detection, Device, DriverState
from accel_scaling.families.catalog import chips_of
from accel_scaling.families.family import Family

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accel_scaling.detect.pci import PciDevice

SIZES = ("Pro", "Max", "Ultra")

# As ray/_private/accelerators/apple_gpu.py.
GRAPHICS = ("system_profiler", "SPDisplaysDataType")
HARDWARE = ("system_profiler", "SPHardwareDataType")
PROCESSOR = ("sysctl", "-n", "machdep.cpu.brand_string")


class _SilentError(Exception):
    """A tool gave no answer in time."""


def detect(bus: Sequence[PciDevice], root: Path) -> Detection:  # noqa: ARG001 - a Mac shows its GPU on no bus
    """Ask macOS."""
    if (platform.system(), platform.machine()) != ("Darwin", "arm64"):
        return Detection(FAMILY.name, FAMILY.resource, evidence=("macOS: this is not Apple Silicon",))
    try:
        metal = "metal" in _output(GRAPHICS).lower()
        ray_type = _chip_type() if metal else None
    except _SilentError as error:
        return _unusable(DriverState.NOT_YET, str(error))
    if not metal:
        return _unusable(DriverState.MISSING, "macOS lists no GPU with Metal (system_profiler)")
    chips = [chip for chip in chips_of(FAMILY.name) if ray_type and chip.detected_type == ray_type]
    return Detection(
        family=FAMILY.name,
        resource=FAMILY.resource,
        count=1,
        units=1,
        ray_units=1,
        accelerator_type=ray_type,
        variant=product_names.exact_name(chips),
        answers_to=(ray_type,) if ray_type else (),
        devices=(Device(0, chips[0].driver_names[0] if chips else ray_type),),
        bus_count=1,
        driver_count=1,
        evidence=(f"system_profiler: a GPU with Metal, {ray_type or 'whose chip it does not name'}",),
    )


def chip_in(text: str) -> str | None:
    """Return Ray's type for a name, e.g. ``M1-Pro`` for ``Apple M1 Pro``."""
    if "Apple" not in text:
        return None
    words = text.split()
    for word, size in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("M") and len(word) > 1:
            return f"{word}-{size}" if size in SIZES else word
    return None


def _chip_type() -> str | None:
    lines = (line.split("Chip:")[1] for line in _output(HARDWARE).split("\n") if "Chip:" in line)
    named = next((ray_type for line in lines if (ray_type := chip_in(line))), None)
    return named or chip_in(_output(PROCESSOR))


def _output(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeouts.APPLE_TOOL_S, check=False)
    except subprocess.TimeoutExpired:
        raise _SilentError(f"{command[0]} gave no answer within {timeouts.APPLE_TOOL_S} s") from None
    except OSError:
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def _unusable(state: DriverState, trouble: str) -> Detection:
    # bus_count=1: every Apple Silicon has a GPU, and a family without devices would not be reported as present.
    return Detection(FAMILY.name, FAMILY.resource, bus_count=1, state=state, trouble=trouble, evidence=(trouble,))


FAMILY = Family(
    name="apple",
    resource="GPU",
    shared=True,
    ray_since=(2, 58),
    type_of_name=chip_in,
    type_prefix="Apple-",
    position=130,
    detect=detect,
)
