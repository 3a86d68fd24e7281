"""How many of a node's accelerators the user's own container options show: fewer than are promised costs two boots.

Where the options say anything about a family's devices, the fill adds nothing. What they show is then known before the
launch, as far as they count: `--device=/dev/neuron0`, `--gpus 2`, `NVIDIA_VISIBLE_DEVICES=0,1`.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from accel_scaling.cluster.docker_checks import words_of
from accel_scaling.cluster.node_needs import needs_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from accel_scaling.catalog.model import MachineType
    from accel_scaling.catalog.node_images import Needs

_ALL, _NONE = "all", ("none", "void", "")
_RANGE = re.compile(r"([0-9]+)-([0-9]+)")
_RENDER = re.compile(r"/dev/dri/renderD([0-9]+)")
_OF_ENVIRONMENT = re.compile(r"[A-Z][A-Z0-9_]*VISIBLE[A-Z_]*")
_CONTROL = ("/dev/kfd",)  # one for all of AMD's GPUs, whichever of them are shown
_PLACES_OF_GPUS = ("nvidia.com/gpu=",)


def shown_devices(given: Sequence[str], machine: MachineType) -> int | None:
    """Return the number of a machine's accelerators that container options show; None where they do not count them.

    Args:
        given: all of the user's options for its container.
        machine: the machine type of the node.
    """
    needs = needs_of(machine.chip.family) if machine.chip else None
    if needs is None:
        return None
    words = words_of(given)
    if "--privileged" in words and "--privileged" in needs.claims:
        return None
    counts = [count for count in _counts(words, needs, machine.count) if count is not None]
    return min(counts) if counts else None


def fewer_note(
    name: str, machine: MachineType, given: Sequence[str], resources: Mapping[str, Any], *, key: str, checked: bool
) -> list[str]:
    """Return a note where a node type's container sees fewer accelerators than its node promises.

    Args:
        name: the node type.
        machine: its machine type.
        given: all of the user's options for its container.
        resources: the user's own resources of the node type.
        key: where the options are.
        checked: its nodes have a boot check.
    """
    seen, chip = shown_devices(given, machine), machine.chip
    if seen is None or chip is None:
        return []
    own = resources.get(chip.resource)
    units = own if isinstance(own, int) and not isinstance(own, bool) else machine.count * chip.units_per_device
    promised = min(math.ceil(units / chip.units_per_device), machine.count)
    if seen >= promised:
        return []
    then = "the boot check refuses it (NotVisibleInContainer)" if checked else "tasks find fewer"
    place = f"available_node_types.{name}"
    # The options of one node type name it already.
    where = f"{key} ({machine.name}) " if key.startswith(f"{place}.") else f"{place} ({machine.name}): {key} "
    note = (
        f"{where}shows a container {seen} of the {promised} {chip.name} "
        f"that each node promises, and {then}; leave these options out, and the fill adds the right ones, or promise "
        f"what is there: resources: {{{chip.resource}: {seen * chip.units_per_device}}}"
    )
    return [note]


def _counts(words: Sequence[str], needs: Needs, most: int) -> Iterator[int | None]:
    """Yield a number of devices for each way in which options count them; None for all."""
    numbered, whole = set[str](), False
    for option, value in _options(words):
        if option == "--gpus" and "--gpus" in needs.claims:
            yield _of_gpus(value)
        elif option in ("-e", "--env"):
            variable, _, named = value.partition("=")
            if variable in needs.claims and _OF_ENVIRONMENT.fullmatch(variable):
                yield _of_list(named)
        elif option == "--device":
            number = _number_of(value.partition(":")[0], needs)
            numbered |= {number} if number else set()
            whole = whole or number == ""
    if numbered and not whole:
        yield min(len(numbered - {_ALL}), most) if _ALL not in numbered else None


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        yield option, value if equals else following


def _number_of(path: str, needs: Needs) -> str | None:
    """Return which device of the family a path is; empty for the folder of all, None for nothing of the family."""
    for place in _PLACES_OF_GPUS:
        if path.startswith(place) and place.rstrip("=") in needs.claims:
            return path.removeprefix(place)
    if render := _RENDER.fullmatch(path):
        return render[1] if "/dev/dri" in needs.claims else None
    before = [needs.each_device.partition("=")[2].replace("{n}", "")] if needs.each_device else []
    for claim in (*before, *(claim for claim in needs.claims if claim.startswith("/dev/"))):
        rest = path.removeprefix(claim).removeprefix("/") if path.startswith(claim) else None
        # Of a whole folder (/dev/dri, /dev/vfio) every device is shown; /dev/nvidiactl and similar ones are no devices.
        if rest is not None and (rest.isdigit() or (rest == "" and not needs.each_device and path not in _CONTROL)):
            return rest
    return None


def _of_gpus(value: str) -> int | None:
    """Return how many GPUs docker's ``--gpus`` shows: ``all``, ``2``, ``count=2``, ``device=0,1``."""
    kind, equals, named = value.partition("=")
    if not equals:
        return int(value) if value.isdigit() and len(value) < 5 else None
    if kind == "count":
        return _of_gpus(named.partition(",")[0])
    # Further fields, such as capabilities=utility, have an equals sign of their own.
    devices = [word for word in named.split(",") if word and "=" not in word]
    return len(set(devices)) if kind == "device" and not any(":" in word for word in devices) else None


def _of_list(value: str) -> int | None:
    """Return how many devices a variable names: ``all``, ``none``, ``0,1``, ``0-3``."""
    if value.casefold() == _ALL:
        return None
    if value.casefold() in _NONE:
        return 0
    count = 0
    for word in value.split(","):
        between = _RANGE.fullmatch(word)
        count += max(int(between[2]) - int(between[1]) + 1, 0) if between and len(word) < 12 else 1
    return None if ":" in value or "$" in value else count
