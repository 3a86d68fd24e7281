"""A promise against a machine. Pure: takes what was promised and what was found, returns the verdict."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from accel_scaling.catalog.load import chips_here
from accel_scaling.confirm.claims import TYPE_PREFIX, Claim, claims_of
from accel_scaling.confirm.slices import wrong_slice
from accel_scaling.confirm.verdict import Verdict, VerdictWord
from accel_scaling.detect.families import FAMILIES
from accel_scaling.detect.model import DriverState, Found

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accel_scaling.catalog.model import Chip

_STATES = {
    DriverState.MISSING: VerdictWord.DRIVER_MISSING,
    DriverState.UNHEALTHY: VerdictWord.UNHEALTHY,
    DriverState.NOT_YET: VerdictWord.NOT_YET,
}

# What to do, by verdict: the end of each message.
_ADVICE = {
    VerdictWord.NO_DEVICE: "check the node type's instance type",
    VerdictWord.DRIVER_MISSING: "use an image that has it, or load it before Ray starts",
    VerdictWord.FEWER_THAN_PROMISED: "replace this machine, or promise fewer in the node type's resources",
    VerdictWord.OTHER_TYPE: "correct the node type's resources or its instance type",
    VerdictWord.UNHEALTHY: "replace this machine; if every machine of the type says so, check its image",
    VerdictWord.NOT_YET: "wait until the driver is up and confirm again, or replace this machine",
}


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
    judged = [_judge(claim, found) for claim in claims]
    if other := wrong_slice(promised, found):
        judged.append((VerdictWord.OTHER_TYPE, f"{other}; {_ADVICE[VerdictWord.OTHER_TYPE]}"))
    refused = [(word, sentence) for word, sentence in judged if word is not VerdictWord.CONFIRMED]
    word = refused[0][0] if refused else VerdictWord.CONFIRMED
    message = "; ".join(sentence for _, sentence in refused or judged) or "no accelerator is promised"
    return Verdict(word, message, dict(promised), detected)


def _may_be_accelerator(name: str) -> bool:
    """Rule out what every node announces, so that a plain node's confirmation does not even read the catalog."""
    return name not in ("CPU", "memory", "object_store_memory") and not name.startswith("node:")


def _judge(claim: Claim, found: Sequence[Found]) -> tuple[VerdictWord, str]:
    here = [accelerator for accelerator in found if accelerator.resource == claim.resource]
    if unchecked := _unchecked(claim, here):
        return VerdictWord.CONFIRMED, f"promised {_words(claim)}; NOT checked: {unchecked}"
    if not here:
        return _refused(VerdictWord.NO_DEVICE, claim, "0 on the PCI bus, 0 seen by a driver", "this machine has none")
    device = max(here, key=lambda accelerator: (_matches(claim, accelerator), accelerator.units))
    witnesses = _witnesses(device)
    if device.state in _STATES:
        return _refused(_STATES[device.state], claim, witnesses, device.trouble)
    if not _matches(claim, device):
        return _refused(VerdictWord.OTHER_TYPE, claim, witnesses, _other_type(claim, device))
    if device.units < claim.units:
        missing = f"{_amount(claim.units - device.units, claim)} missing"
        return _refused(VerdictWord.FEWER_THAN_PROMISED, claim, witnesses, missing)
    more = f": the {_amount(device.units - claim.units, claim)} not promised will not be used"
    return (
        VerdictWord.CONFIRMED,
        f"promised {_words(claim)}; {witnesses}" + (more if 0 < claim.units < device.units else ""),
    )


def _unchecked(claim: Claim, here: Sequence[Found]) -> str:
    """Return why this version cannot speak of the claim; empty where it can."""
    probed = {family.name for family in FAMILIES}
    if claim.families and not claim.families & probed:
        return f"this version has no probe for {', '.join(sorted(claim.families))}"
    if claim.resource not in {family.resource for family in FAMILIES}:
        return f"this version has no probe for {claim.resource}"
    if not claim.families and here and all(a.state is DriverState.NOT_PROBED for a in here):
        return f"this version has no probe for {here[0].family}, which the PCI bus shows"
    return ""


def _matches(claim: Claim, device: Found) -> bool:
    return all(name in device.answers_to for name in claim.types)


def _refused(word: VerdictWord, claim: Claim, witnesses: str, why: str) -> tuple[VerdictWord, str]:
    return word, f"promised {_words(claim)}; {witnesses}: {why}; {_ADVICE[word]}"


def _words(claim: Claim) -> str:
    """Say what is promised, by its most exact name, which claims put last."""
    exact = claim.types[-1] if claim.types else ""
    if claim.resource != "GPU":
        amount = f"{claim.units:g} {claim.resource}" if claim.units else claim.resource
        return f"{amount} of {exact}" if exact else amount
    return f"{claim.units:g} x {exact or 'GPU'}" if claim.units else exact


def _amount(units: float, claim: Claim) -> str:
    return f"{units:g}" if claim.resource == "GPU" else f"{units:g} {claim.resource}"


def _witnesses(device: Found) -> str:
    if device.state is DriverState.NOT_PROBED:
        return f"{device.bus_count} x {device.variant or device.family} on the PCI bus, their driver not asked"
    names = Counter(item.name for item in device.devices if item.name)
    name = f" as {', '.join(names)}" if names and device.driver_count else ""
    units = f" ({device.units} {device.resource})" if device.units != device.driver_count else ""
    return f"{device.bus_count} on the PCI bus, {device.driver_count} seen by the driver{name}{units}"


def _other_type(claim: Claim, device: Found) -> str:
    wrong = [name for name in claim.types if name not in device.answers_to]
    types = " or ".join(device.answers_to) or "of no type that this version knows"
    return f"that is {types}, not {TYPE_PREFIX}{', '.join(wrong)}"
