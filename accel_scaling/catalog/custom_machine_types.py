"""Compute Engine's custom machine types by rule: vCPUs and memory are in the name, the limits in ``gcp_custom.csv``.

``n2-custom-8-32768`` has 8 vCPUs and 32,768 MiB; ``-ext`` behind it allows more memory for each vCPU (extended
memory); ``custom-8-32768`` is the old way to write ``n1-custom-8-32768``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from accel_scaling.catalog.custom_limits import CustomRule, custom_rules
from accel_scaling.catalog.model import MachineType
from accel_scaling.catalog.suggest import hint
from accel_scaling.catalog.table import CLOUD, MAX_DIGITS
from accel_scaling.errors import UnknownInstanceTypeError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from accel_scaling.catalog.model import Chip

_CUSTOM = re.compile(r"(?:[a-z0-9]+-)?custom(?:-.*)?")
_NUMBER = rf"[1-9][0-9]{{0,{MAX_DIGITS - 1}}}"
_SIZES = re.compile(rf"(?P<kind>.*?custom(?:-[a-z]+)?)(?:-(?P<vcpus>{_NUMBER}))?-(?P<memory>{_NUMBER})(?P<ext>-ext)?")
_MIB_PER_GIB = 1024


def is_custom(name: str) -> bool:
    """Return whether a machine type's name is that of a custom one, right or wrong."""
    return _CUSTOM.fullmatch(name) is not None


def custom_machine_type(name: str, chips: Mapping[str, Chip]) -> MachineType:
    """Return the machine type of a custom name.

    Raises:
        UnknownInstanceTypeError: Compute Engine does not make it; the text says the rule that it breaks.
        CatalogFileError: the rules have a wrong row.
    """
    found = _SIZES.fullmatch(name)
    rules = custom_rules().get(found["kind"]) if found else None
    if found is None or rules is None or rules[0].shared_core != (found["vcpus"] is None):
        raise UnknownInstanceTypeError(_no_such_kind(name))
    vcpus = int(found["vcpus"] or rules[0].spans[0][0])
    rule = next((each for each in rules if each.takes(vcpus)), None)
    if rule is None:
        raise UnknownInstanceTypeError(_refused(name, f"{rules[0].name} comes with {_spans(rules)} vCPUs, not {vcpus}"))
    memory_mib = int(found["memory"])
    wrong = _wrong_memory(rule, vcpus, memory_mib, extended=found["ext"] is not None)
    if wrong:
        raise UnknownInstanceTypeError(_refused(name, wrong))
    chip = chips[rule.accelerator] if rule.accelerator else None
    return MachineType(CLOUD, name, vcpus, memory_mib, rule.arch, chip, rule.count, rule.layer)


def _wrong_memory(rule: CustomRule, vcpus: int, memory_mib: int, *, extended: bool) -> str | None:
    if extended and rule.extended_mib is None:
        return f"{rule.name} has no extended memory; leave -ext out"
    least, most = rule.memory_mib(vcpus, extended=extended)
    if memory_mib % rule.step_mib == 0 and least <= memory_mib <= most:
        return None
    with_vcpus = "" if rule.shared_core else f" with {vcpus} vCPU{'' if vcpus == 1 else 's'}"
    more = f" (up to {_in_gib(rule.extended_mib)} GiB with -ext)" if rule.extended_mib and not extended else ""
    return (
        f"{rule.name}{with_vcpus} has {_in_gib(least)} to {_in_gib(most)} GiB of memory in steps of "
        f"{rule.step_mib} MiB{more}, not {memory_mib} MiB ({_in_gib(memory_mib)} GiB)"
    )


def _no_such_kind(name: str) -> str:
    """Return the error's sentence for a name whose kind is not known, or that is not written as its kind is."""
    rules = custom_rules()
    kind = max((each for each in rules if f"{name}-".startswith(f"{each}-")), key=len, default=None)
    if kind is None:
        return _refused(name, f"the kinds are {', '.join(rules)}{hint(name.rstrip('-0123456789'), rules)}")
    numbers = "MEMORY_MIB" if rules[kind][0].shared_core else "VCPUS-MEMORY_MIB"
    return _refused(name, f"it is written {kind}-{numbers}, e.g. {_example(rules[kind][0])}")


def _example(rule: CustomRule) -> str:
    vcpus = rule.spans[0][0]
    _, most = rule.memory_mib(vcpus, extended=False)
    return f"{rule.name}-{int(most)}" if rule.shared_core else f"{rule.name}-{vcpus}-{int(most)}"


def _refused(name: str, why: str) -> str:
    return (
        f"instance type {name!r} of {CLOUD} is not a custom machine type that Compute Engine makes: {why}; a row in "
        "`provider.catalog` overrides this rule"
    )


def _spans(rules: list[CustomRule]) -> str:
    words = []
    for first, last, step in (span for rule in rules for span in rule.spans):
        steps = f" in steps of {step}" if step > 1 else ""
        words.append(str(first) if first == last else f"{first} to {last}{steps}")
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _in_gib(mib: Decimal | int) -> str:
    return f"{mib / _MIB_PER_GIB:.2f}".rstrip("0").rstrip(".")
