"""A promise against a machine. Pure: takes what was promised and what was found, returns the verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX
from accel_scaling.boot.expected_devices import REPAIR_ADVICE, Claim, claims_of, of_broken_plug_ins
from accel_scaling.boot.tpu_slice import wrong_slice
from accel_scaling.boot.verdict import Verdict
from accel_scaling.boot.verdicts import EXIT_CONFIRMED, WORDS, VerdictWord, advice_of
from accel_scaling.detect.model import DriverState, Found
from accel_scaling.families.catalog import chips_here
from accel_scaling.families.registry import all_families

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accel_scaling.catalog.model import Chip

_STATES = {
    DriverState.MISSING: VerdictWord.DRIVER_MISSING,
    DriverState.UNHEALTHY: VerdictWord.UNHEALTHY,
    DriverState.NOT_YET: VerdictWord.NOT_YET,
    DriverState.HIDDEN: VerdictWord.NOT_VISIBLE_IN_CONTAINER,
}


@dataclass(frozen=True)
class _Judgement:
    """What came of one claim."""

    word: VerdictWord
    sentence: str
    advice: str = ""

    @property
    def joins(self) -> bool:
        return WORDS[self.word].exit_code == EXIT_CONFIRMED

    def __str__(self) -> str:
        return f"{self.sentence}; {self.advice}" if self.advice else self.sentence


def compare(promised: Mapping[str, float], found: Sequence[Found], chips: Mapping[str, Chip] | None = None) -> Verdict:
    """Return the verdict on a machine.

    Args:
        promised: the Ray resources that the node is to announce, e.g. ``{"GPU": 8, "accelerator_type:A100": 1}``.
        found: what ``detect()`` returned there.
        chips: the catalog's chips; by default those that this machine knows.
    """
    detected = [accelerator.to_json() for accelerator in found]
    if not any(_may_be_accelerator(name) and amount > 0 for name, amount in promised.items()):
        return Verdict(VerdictWord.CONFIRMED, "no accelerator is promised", dict(promised), detected)
    claims = claims_of(promised, (chips_here() if chips is None else chips).values())
    judged = [
        _Judgement(VerdictWord.DRIVER_MISSING, sentence, REPAIR_ADVICE) for sentence in of_broken_plug_ins(promised)
    ]
    judged += [_judge(claim, found) for claim in claims]
    if other := wrong_slice(promised, found):
        judged.append(_Judgement(VerdictWord.OTHER_TYPE, other, advice_of(VerdictWord.OTHER_TYPE)))
    wrong = [one for one in judged if not one.joins]
    deciding = wrong or judged
    word = next((one.word for one in deciding if one.word is not VerdictWord.CONFIRMED), VerdictWord.CONFIRMED)
    message = "; ".join(map(str, deciding)) or "no accelerator is promised"
    advice = "; ".join(dict.fromkeys(one.advice for one in deciding if one.advice))
    devices = {claim.resource: device for claim in claims if (device := _device(claim, found))}
    here = {resource: float(device.units) for resource, device in devices.items()}
    return Verdict(word, message, dict(promised), detected, advice, tuple(one.word for one in wrong[1:]), here)


def _may_be_accelerator(name: str) -> bool:
    """Rule out what every node announces, so that a plain node's confirmation does not even read the catalog."""
    return name not in ("CPU", "memory", "object_store_memory") and not name.startswith("node:")


def _judge(claim: Claim, found: Sequence[Found]) -> _Judgement:
    if unchecked := _unchecked(claim, _of_resource(claim, found)):
        return _Judgement(VerdictWord.CONFIRMED, f"promised {_words(claim)}; NOT checked: {unchecked}")
    device = _device(claim, found)
    if device is None:
        seen = "0 on the PCI bus, 0 seen by a driver: this machine has none"
        return _judgement(VerdictWord.NO_DEVICE, claim, seen)
    evidence = _evidence(device)
    # A container that was given as many as were promised for it holds its promise.
    enough = device.state is DriverState.HIDDEN and device.units >= max(claim.units, 1)
    if device.state in _STATES and not enough:
        return _judgement(_STATES[device.state], claim, f"{evidence}: {device.trouble}", device)
    if not _matches(claim, device):
        return _judgement(VerdictWord.OTHER_TYPE, claim, f"{evidence}: {_other_type(claim, device)}")
    return _judge_count(claim, device, evidence)


def _of_resource(claim: Claim, found: Sequence[Found]) -> list[Found]:
    return [accelerator for accelerator in found if accelerator.resource == claim.resource]


def _device(claim: Claim, found: Sequence[Found]) -> Found | None:
    """Return the devices that a claim is held against: of several families with one resource, the best that fits."""
    here = _of_resource(claim, found)
    return max(here, key=lambda accelerator: (_matches(claim, accelerator), accelerator.units), default=None)


def _judge_count(claim: Claim, device: Found, evidence: str) -> _Judgement:
    if device.units < claim.units:
        missing = f"{_amount(claim.units - device.units, claim)} missing"
        return _judgement(VerdictWord.FEWER_THAN_PROMISED, claim, f"{evidence}: {missing}")
    if 0 < claim.units < device.units:
        more = f"the {_amount(device.units - claim.units, claim)} not promised will not be used"
        return _judgement(VerdictWord.MORE_THAN_PROMISED, claim, f"{evidence}: {more}")
    note = f": {device.divided}" if device.divided else ""
    return _judgement(VerdictWord.CONFIRMED, claim, evidence + note)


def _judgement(word: VerdictWord, claim: Claim, seen: str, device: Found | None = None) -> _Judgement:
    advice = advice_of(word, device.family, device.bus_count) if device else advice_of(word)
    return _Judgement(word, f"promised {_words(claim)}; {seen}", advice)


def _unchecked(claim: Claim, here: Sequence[Found]) -> str:
    """Return why this version cannot speak of the claim; empty where it can."""
    families = all_families()
    probed = {family.name for family in families}
    if claim.families and not claim.families & probed:
        return f"this version has no probe for {', '.join(sorted(claim.families))}"
    if claim.resource not in {family.resource for family in families}:
        return f"this version has no probe for {claim.resource}"
    if not claim.families and here and all(a.state is DriverState.NOT_PROBED for a in here):
        return f"this version has no probe for {here[0].family}, which the PCI bus shows"
    return ""


def _matches(claim: Claim, device: Found) -> bool:
    return all(name in device.answers_to for name in claim.types)


def _words(claim: Claim) -> str:
    """Say what is promised, by its most exact name, which claims put last."""
    exact = _exact(claim)
    if claim.resource != "GPU":
        amount = f"{claim.units:g} {claim.resource}" if claim.units else claim.resource
        return f"{amount} of {exact}" if exact else amount
    return f"{claim.units:g} x {exact or 'GPU'}" if claim.units else exact


def _exact(claim: Claim) -> str:
    return claim.types[-1] if claim.types else ""


def _amount(units: float, claim: Claim) -> str:
    return f"{units:g}" if claim.resource == "GPU" else f"{units:g} {claim.resource}"


def _evidence(device: Found) -> str:
    if device.state is DriverState.NOT_PROBED or (device.units and not device.driver_count):
        return f"{device.bus_count} x {device.variant or device.family} on the PCI bus, their driver not asked"
    names = Counter(item.name for item in device.devices if item.name)
    name = f" as {', '.join(names)}" if names and device.driver_count else ""
    unit = "usable" if device.resource == "GPU" else device.resource
    units = f" ({device.units} {unit})" if device.units != device.driver_count else ""
    return f"{device.bus_count} on the PCI bus, {device.driver_count} seen by the driver{name}{units}"


def _other_type(claim: Claim, device: Found) -> str:
    if device.divided:
        return f"{device.divided}: a task that is given a whole {_exact(claim)} would see one slice of it"
    wrong = [name for name in claim.types if name not in device.answers_to]
    types = " or ".join(device.answers_to) or "of no type that this version knows"
    return f"that is {types}, not {ACCELERATOR_TYPE_PREFIX}{', '.join(wrong)}"
