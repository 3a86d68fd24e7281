"""The health of the devices that neuron-ls lists, by the Neuron driver's sysfs folders and device nodes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from accel_scaling.detect.container import hidden_trouble
from accel_scaling.detect.model import DriverState
from accel_scaling.families.built_in.neuron.neuron_ls import DRIVER_DEVICES, Answer, number

if TYPE_CHECKING:
    from pathlib import Path

_DEVICE = re.compile(r"neuron(\d+)")
# Neuron sysfs user guide, "stats/hardware": unrepairable errors of the memory, errors of the SRAM. Both are errors for
# which AWS replaces a machine (EKS node monitoring agent: NeuronHBMUncorrectableError, NeuronSRAMUncorrectableError).
_COUNTERS = {
    "mem_ecc_uncorrected": "errors in its memory that cannot be repaired",
    "sram_ecc_uncorrected": "uncorrected errors in its SRAM",
}
# The same guide: errors that can be repaired. No reason to refuse a device.
_REPAIRABLE = {"mem_ecc_repairable_uncorrected": "errors in its memory that can be repaired"}


def checked(answer: Answer, root: Path) -> Answer:
    """Return the answer, corrected by what the driver counts and by what has a device node.

    Drivers without these folders, or with others, say nothing here: then neuron-ls stands.

    Args:
        answer: neuron-ls's.
        root: the folder that stands for ``/``.
    """
    folders = _numbers(root / DRIVER_DEVICES)
    nodes = _numbers(root / "dev", folders=False)
    listed = {number(device, "neuron_device") for device in answer.devices}
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
