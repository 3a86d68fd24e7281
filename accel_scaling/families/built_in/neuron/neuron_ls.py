"""neuron-ls, the Neuron driver's own tool, asked as Ray asks it; whatever it does becomes an answer."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.detect.model import DriverState

if TYPE_CHECKING:
    from pathlib import Path

NEURON_LS = "opt/aws/neuron/bin/neuron-ls"  # the path that Ray hard-codes, ray/_private/accelerators/neuron.py
DRIVER_DEVICES = "sys/devices/virtual/neuron_device"  # Neuron sysfs user guide

# How Ray 2.60 asks; and how neuron-ls wants to be asked from Neuron 2.34 on, which ends --json-output (AWS Neuron
# announcement of 2026-10-16). The new answer is an object with the devices in it.
RAYS_ARGUMENTS = ("--json-output",)
NEW_ARGUMENTS = ("--output-format", "json")


@dataclass(frozen=True)
class Answer:
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


def ask(root: Path) -> Answer:
    """Run the tool under ``root``."""
    tool = root / NEURON_LS
    if not tool.exists():
        words = f"/{NEURON_LS} not found"
        return Answer(DriverState.MISSING, f"the Neuron driver is not loaded ({words})", f"neuron-ls: {words}")
    answer = _run(tool, RAYS_ARGUMENTS)
    if answer.state is DriverState.UNHEALTHY and not answer.devices:
        newer = _run(tool, NEW_ARGUMENTS)
        if newer.state is DriverState.OK:
            note = f"Ray 2.60 cannot read this neuron-ls: {' '.join(RAYS_ARGUMENTS)} fails"
            return replace(newer, note=note, for_ray=False)
        if not (root / DRIVER_DEVICES).is_dir():
            return replace(
                answer, state=DriverState.MISSING, trouble=f"the Neuron driver is not loaded ({answer.trouble})"
            )
    return answer


def number(record: dict[str, Any], key: str) -> int:
    """Return a number of a device's record, 0 where it is not there or is none."""
    value = record.get(key)
    return value if isinstance(value, int) else 0


def _run(tool: Path, arguments: tuple[str, ...]) -> Answer:
    timeout_s = timeouts.NEURON_LS_TIMEOUT_S
    try:
        done = subprocess.run([str(tool), *arguments], capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        words = f"no answer within {timeout_s} s"
        return Answer(DriverState.NOT_YET, f"neuron-ls gave {words}", f"neuron-ls: {words}")
    except OSError as error:
        return _failed(f"cannot be run ({error.strerror})")
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        return _failed(f"exit {done.returncode}" + (f": {lines[-1]}" if lines else ""))
    return _read(done.stdout)


def _read(output: bytes) -> Answer:
    try:
        devices = _records(json.loads(output))
    except (ValueError, RecursionError):
        return _failed("printed no JSON: " + repr(output[:60].decode(errors="replace")))
    if devices is None:
        return _failed("printed JSON that is not a list of devices")
    if not devices:
        return Answer(DriverState.MISSING, "the Neuron driver is not loaded (neuron-ls lists no device)")
    if not all(number(device, "nc_count") for device in devices):
        trouble = "neuron-ls lists a device without cores"
        return Answer(DriverState.UNHEALTHY, trouble, "neuron-ls: a device without nc_count", tuple(devices))
    return Answer(DriverState.OK, devices=tuple(devices))


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


def _failed(words: str) -> Answer:
    return Answer(DriverState.UNHEALTHY, f"neuron-ls failed: {words}", f"neuron-ls: {words}")
