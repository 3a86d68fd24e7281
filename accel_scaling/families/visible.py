"""The units that the environment leaves visible to `ray start`, read as Ray's managers read it.

Ray starts with no more of a resource than the family's variable names: with a larger promise, `ray start` fails after
the boot check. tests/_ray/test_contract_visible.py holds each reading equal to that of Ray's manager.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import GPU, GPU_FAMILIES
from accel_scaling.detect.model import Visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from accel_scaling.detect.model import Detection
    from accel_scaling.families.family import Family

NO_DEVICES = "NoDevFiles"  # a word of CUDA's, which several of Ray's managers know
_SEVERAL = re.compile(r"\d+-\d+|\*|.*:\*")
_PLACE = re.compile(r"\+?(\d+)", re.ASCII)
_MOST_DIGITS = 9  # more than any device's place; Python refuses to read thousands of them
_NEGATIVE = re.compile(r"\s*-\d+")


@dataclass(frozen=True)
class Reading:
    """The value of a variable, as Ray reads it.

    Attributes:
        variable: its name.
        value: its value.
        ids: one for each unit.
        note: why Ray does not start with it, as a part of a sentence; empty where it does.
    """

    variable: str
    value: str
    ids: tuple[str, ...]
    note: str = ""


def reading_of(family: Family, environment: Mapping[str, str]) -> Reading | None:
    """Return what Ray reads of a family's variable; None where the environment narrows nothing."""
    if family.read_visible:
        return family.read_visible(environment)
    value = environment.get(family.visible_devices) if family.visible_devices else None
    if value is None:
        return None
    reading = list_in(family.visible_devices, value, family.none_visible)
    if family.registered:  # its manager is ours (_ray.accelerator_manager), which passes over empty ids
        return replace(reading, ids=tuple(one for one in reading.ids if one))
    return reading


def list_in(variable: str, value: str, none_visible: Collection[str] = ("",)) -> Reading:
    """Return the reading of ids with commas between them, as most managers read a variable.

    Args:
        variable: its name.
        value: its value.
        none_visible: values that leave no device visible.
    """
    return Reading(variable, value, () if value in none_visible else tuple(value.split(",")))


def visible_of(family: Family, environment: Mapping[str, str], units: int) -> Visible | None:
    """Return what the environment leaves visible of a family's units; None where it narrows nothing.

    Args:
        family: the family whose variable Ray reads.
        environment: of the process that starts Ray.
        units: that the machine has.
    """
    reading = reading_of(family, environment)
    if reading is None:
        return None
    usable = 0 if reading.note else _usable(reading.ids, family, units)
    return Visible(reading.variable, reading.value, len(reading.ids), usable, reading.note or _note(reading.ids))


def narrowed(
    detections: Sequence[Detection], families: Iterable[Family], environment: Mapping[str, str]
) -> list[Detection]:
    """Return the detections with what the environment leaves visible of each, and with what Ray then announces.

    Args:
        detections: of all families of this machine.
        families: those of this Python.
        environment: of the process that starts Ray.
    """
    by_name = {family.name: family for family in families}
    gpus = _gpu_family(detections)
    return [_narrowed(each, gpus if each.resource == GPU else each.family, by_name, environment) for each in detections]


def _gpu_family(detections: Iterable[Detection]) -> str:
    """Return the family whose manager Ray takes for the GPUs of this machine: of several makers', it takes one."""
    counted = {each.family for each in detections if each.ray_units}
    return next((name for name in GPU_FAMILIES if name in counted), GPU_FAMILIES[-1])


def _narrowed(
    detection: Detection, manager: str, by_name: Mapping[str, Family], environment: Mapping[str, str]
) -> Detection:
    if not detection.present or manager not in by_name:
        return detection
    counted = detection.ray_units
    visible = visible_of(by_name[manager], environment, counted or detection.units)
    if manager != detection.family and counted:
        words = f"of the GPUs of several makers, Ray announces those of {by_name[manager].noun or manager}"
        detection = replace(detection, ray_units=0, evidence=(*detection.evidence, words))
    if visible is None:
        return detection
    if detection.kinds:
        detection = replace(detection, answers_to=_types_of_visible(detection, by_name[manager], environment))
    return replace(detection, ray_units=min(detection.ray_units, visible.count), visible=visible)


def _types_of_visible(detection: Detection, family: Family, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the types that all visible devices of a mixed machine answer to; where it is not sure which, all do."""
    reading = reading_of(family, environment)
    places = family.places(reading.ids, environment) if reading and family.places else None
    kinds = [kind for kind in detection.kinds if set(kind.places).intersection(places or ())]
    # Ray calls the node by its first device, whatever is visible: another type would be announced beside the promise.
    if len(kinds) == 1 and 0 in kinds[0].places:
        return kinds[0].answers_to
    return detection.answers_to


def _usable(ids: Sequence[str], family: Family, units: int) -> int:
    """Return how many of the ids a runtime takes for units of this machine: those before the first that is not one."""
    if family.runtime_ids:
        return family.runtime_ids(ids, units)
    return next((number for number, one in enumerate(ids) if _NEGATIVE.fullmatch(one)), len(ids))


def _note(ids: Sequence[str]) -> str:
    several = next((one for one in ids if _SEVERAL.fullmatch(one.strip())), "")
    return f"Ray counts {several.strip()} as one: write the number of each" if several else ""


def numbered_from_zero(ids: Sequence[str], units: int) -> int:
    """Return how many ids CUDA and HIP take: the place of a device, or its own id (``GPU-...``, ``MIG-...``).

    CUDA reads as many digits as there are, and ends its list at the first that is no device. An id that is there
    twice ends it here too: Ray would take one device for two.

    Args:
        ids: of the variable.
        units: devices of this machine.
    """
    seen: set[str] = set()
    for one in ids:
        text = one.strip()
        number = _PLACE.match(text)
        if number:
            text = number[1].lstrip("0")[:_MOST_DIGITS] or "0"
        if text in seen or not (int(text) < units if number else text.startswith(("GPU-", "MIG-"))):
            break
        seen.add(text)
    return len(seen)
