"""Compares a promise with the devices of a machine. Pure: returns the verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX
from accel_scaling.boot.admission import wrong_slice
from accel_scaling.boot.expected_devices import REPAIR_ADVICE, Claim, claims_of, of_broken_plug_ins
from accel_scaling.boot.verdicts import Verdict, VerdictWord, advice_of, holds_promise
from accel_scaling.detect.model import Detection, DriverState
from accel_scaling.families.catalog import chips_here
from accel_scaling.families.registry import all_families
from accel_scaling.message_text import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accel_scaling.catalog.model import Chip
    from accel_scaling.detect.model import Visible


_STATES = {
    DriverState.MISSING: VerdictWord.DRIVER_MISSING,
    DriverState.UNHEALTHY: VerdictWord.UNHEALTHY,
    # Ray asks the same package, or tool, so it would count no devices here.
    DriverState.TOOL_BROKEN: VerdictWord.UNHEALTHY,
    DriverState.NOT_YET: VerdictWord.NOT_YET,
    DriverState.HIDDEN: VerdictWord.NOT_VISIBLE_IN_CONTAINER,
}


@dataclass(frozen=True)
class _ClaimVerdict:
    """The verdict on one claim."""

    word: VerdictWord
    sentence: str
    advice: str = ""

    @property
    def holds(self) -> bool:
        return holds_promise(self.word)

    def __str__(self) -> str:
        return f"{self.sentence}; {self.advice}" if self.advice else self.sentence


def compare(
    promised: Mapping[str, float], detected: Sequence[Detection], chips: Mapping[str, Chip] | None = None
) -> Verdict:
    """Return the verdict on a machine.

    Args:
        promised: the Ray resources that the node is to announce, e.g. ``{"GPU": 8, "accelerator_type:A100": 1}``.
        detected: what ``detect()`` returned there.
        chips: the catalog's chips; by default those of this machine's catalog.
    """
    devices_json = [device.to_json() for device in detected]
    if not any(may_be_accelerator(name) and amount > 0 for name, amount in promised.items()):
        return Verdict(VerdictWord.CONFIRMED, "no accelerator is promised", dict(promised), devices_json)
    claims = claims_of(promised, (chips_here() if chips is None else chips).values())
    results = [
        _ClaimVerdict(VerdictWord.DRIVER_MISSING, sentence, REPAIR_ADVICE) for sentence in of_broken_plug_ins(promised)
    ]
    results += [_check(claim, detected) for claim in claims]
    if other := wrong_slice(promised, detected):
        results.append(_ClaimVerdict(VerdictWord.OTHER_TYPE, other, advice_of(VerdictWord.OTHER_TYPE)))
    wrong = [result for result in results if not result.holds]
    # One broken or absent accelerator refuses the node, whatever else is confirmed on it.
    deciding = wrong or results
    # Where every claim holds, MoreThanPromised has precedence over Confirmed: it has an advice for the user.
    word = next((result.word for result in deciding if result.word is not VerdictWord.CONFIRMED), VerdictWord.CONFIRMED)
    # No claim may be left: resources of the user's own look like accelerators until the catalog is read.
    message = "; ".join(map(str, deciding)) or "no accelerator is promised"
    advice = "; ".join(dict.fromkeys(result.advice for result in deciding if result.advice))
    devices = {claim.resource: device for claim in claims if (device := _device(claim, detected))}
    here = {resource: float(device.usable_units) for resource, device in devices.items()}
    others = tuple(result.word for result in wrong[1:])
    return Verdict(word, message, dict(promised), devices_json, advice, others, here)


def may_be_accelerator(name: str) -> bool:
    """Return False for what every node announces, so the check of a plain node need not read the catalog."""
    return name not in ("CPU", "memory", "object_store_memory") and not name.startswith("node:")


def _check(claim: Claim, detected: Sequence[Detection]) -> _ClaimVerdict:
    # First of all: without a probe nothing is detected, and each such node would be refused as NoDevice.
    if unchecked := _unchecked(claim, _of_resource(claim, detected)):
        return _ClaimVerdict(VerdictWord.CONFIRMED, f"promised {_words(claim)}; NOT checked: {unchecked}")
    device = _device(claim, detected)
    if device is None:
        return _claim_verdict(
            VerdictWord.NO_DEVICE, claim, "0 on the PCI bus, 0 seen by a driver: this machine has none"
        )
    evidence = _evidence(device)
    # A container that was given as many devices as are promised is confirmed.
    enough = device.state is DriverState.HIDDEN and device.units >= max(claim.units, 1)
    # The driver's state is compared before type and count, which come from its answer.
    if device.state in _STATES and not enough:
        return _claim_verdict(_STATES[device.state], claim, f"{evidence}: {device.trouble}", device)
    if not _matches(claim, device):
        return _claim_verdict(VerdictWord.OTHER_TYPE, claim, f"{evidence}: {_other_type(claim, device)}")
    return _check_count(claim, device, evidence)


def _of_resource(claim: Claim, detected: Sequence[Detection]) -> list[Detection]:
    return [device for device in detected if device.resource == claim.resource]


def _device(claim: Claim, detected: Sequence[Detection]) -> Detection | None:
    """Return the devices to compare with a claim: where several families have its resource, the best match."""
    # Ray calls the devices of several makers GPU: the promised type decides, in whatever order they were detected.
    candidates = _of_resource(claim, detected)
    return max(candidates, key=lambda device: (_matches(claim, device), device.units), default=None)


def _check_count(claim: Claim, device: Detection, evidence: str) -> _ClaimVerdict:
    usable = device.usable_units
    # With 0 units only a type is promised: any number of devices keeps that.
    if usable < max(claim.units, 1):
        missing = f"{_amount(max(claim.units, 1) - usable, claim)} missing"
        if device.visible and usable < device.units:
            return _narrowed(claim, device.visible, f"{evidence}: {_left(device)}: {missing}", usable)
        return _claim_verdict(VerdictWord.FEWER_THAN_PROMISED, claim, f"{evidence}: {missing}")
    if 0 < claim.units < usable:
        more = f"the {_amount(usable - claim.units, claim)} not promised will not be used"
        return _claim_verdict(VerdictWord.MORE_THAN_PROMISED, claim, f"{evidence}: {more}")
    notes = [device.divided, _kinds(device), _left(device) if usable < device.units else ""]
    return _claim_verdict(VerdictWord.CONFIRMED, claim, ": ".join([evidence, *filter(None, notes)]))


def _narrowed(claim: Claim, visible: Visible, result: str, usable: int) -> _ClaimVerdict:
    """Return the verdict where the environment leaves fewer units visible than are promised."""
    fewer = f", or promise {_amount(usable, claim)} in the node type's resources" if usable else ""
    sets = "the start command, docker's run_options or the image"
    advice = visible.note or f"take {visible.variable} out of {sets}{fewer}"
    return _ClaimVerdict(VerdictWord.FEWER_THAN_PROMISED, f"promised {_words(claim)}; {result}", advice)


def _left(device: Detection) -> str:
    """Return how many units the environment leaves visible, as a part of a sentence."""
    visible = device.visible
    if visible is None:
        return ""
    left = f"{device.usable_units} of {device.units}" if device.usable_units else f"none of {device.units}"
    return f"{visible.assignment}{', which' if not visible.value else ''} leaves {left} visible"


def _kinds(device: Detection) -> str:
    return listed([f"{kind.count} x {kind.name}" for kind in device.kinds]) if device.kinds else ""


def _claim_verdict(word: VerdictWord, claim: Claim, result: str, device: Detection | None = None) -> _ClaimVerdict:
    advice = advice_of(word, device.family, device.bus_count) if device else advice_of(word)
    return _ClaimVerdict(word, f"promised {_words(claim)}; {result}", advice)


def _unchecked(claim: Claim, here: Sequence[Detection]) -> str:
    """Return the reason why this version cannot check a claim; empty where it can."""
    families = all_families()
    probed = {family.name for family in families}
    if claim.families and not claim.families & probed:
        return f"this version has no probe for {', '.join(sorted(claim.families))}"
    if claim.resource not in {family.resource for family in families}:
        return f"this version has no probe for {claim.resource}"
    # A promise without a type does not name a family: the bus says of which one the devices are.
    if not claim.families and here and all(a.state is DriverState.NOT_PROBED for a in here):
        return f"this version has no probe for {here[0].family}, which the PCI bus shows"
    return ""


def _matches(claim: Claim, device: Detection) -> bool:
    return all(name in device.answers_to for name in claim.types)


def _words(claim: Claim) -> str:
    """Return what is promised, by its most exact name: the last of a claim's types."""
    exact = _exact(claim)
    if claim.resource != "GPU":
        amount = f"{claim.units:g} {claim.resource}" if claim.units else claim.resource
        return f"{amount} of {exact}" if exact else amount
    return f"{claim.units:g} x {exact or 'GPU'}" if claim.units else exact


def _exact(claim: Claim) -> str:
    return claim.types[-1] if claim.types else ""


def _amount(units: float, claim: Claim) -> str:
    return f"{units:g}" if claim.resource == "GPU" else f"{units:g} {claim.resource}"


def _evidence(device: Detection) -> str:
    if device.state is DriverState.NOT_PROBED or (device.units and not device.driver_count):
        return f"{device.bus_count} x {device.variant or device.family} on the PCI bus, their driver was not asked"
    names = Counter(item.name for item in device.devices if item.name)
    counts = [f"{count} x {name}" for name, count in names.items()] if len(names) > 1 else names
    name = f" as {', '.join(counts)}" if names and device.driver_count else ""
    unit = "usable" if device.resource == "GPU" else device.resource
    units = f" ({device.units} {unit})" if device.units != device.driver_count else ""
    return f"{device.bus_count} on the PCI bus, {device.driver_count} seen by the driver{name}{units}"


def _other_type(claim: Claim, device: Detection) -> str:
    if device.divided:
        return f"{device.divided}: a task that asks for a whole {_exact(claim)} would get one partition of it"
    wrong = [name for name in claim.types if name not in device.answers_to]
    if device.kinds:
        return f"that is {_kinds(device)}, and a node has devices of one type"
    types = " or ".join(device.answers_to) or "of no type that this version knows"
    return f"that is {types}, not {ACCELERATOR_TYPE_PREFIX}{', '.join(wrong)}"
