"""Compute Engine's custom machine types by rule: vCPUs and memory are in the name, the limits in ``gcp_custom.csv``.

``n2-custom-8-32768`` has 8 vCPUs and 32,768 MiB; ``-ext`` behind it allows more memory for each vCPU (extended
memory); ``custom-8-32768`` is the old way to write ``n1-custom-8-32768``.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from accel_scaling.catalog.columns import MAX_DIGITS
from accel_scaling.catalog.files import shipped
from accel_scaling.catalog.model import MachineType
from accel_scaling.catalog.schema import CUSTOM_MACHINE_TYPES
from accel_scaling.catalog.suggest import hint
from accel_scaling.catalog.table import CellError, Known, RowValues, read_table
from accel_scaling.errors import UnknownInstanceTypeError
from accel_scaling.message_text import listed, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.catalog.files import Problem, Source
    from accel_scaling.catalog.model import Chip

_CUSTOM = re.compile(r"(?:[a-z0-9]+-)?custom(?:-.*)?")
# Bounded: int() raises ValueError for a number of more than 4,300 digits.
_NUMBER = rf"[1-9][0-9]{{0,{MAX_DIGITS - 1}}}"
_SIZES = re.compile(rf"(?P<kind>.*?custom(?:-[a-z]+)?)(?:-(?P<vcpus>{_NUMBER}))?-(?P<memory>{_NUMBER})(?P<ext>-ext)?")
_SPAN = re.compile(r"([0-9]+)(?:-([0-9]+)(?:/([0-9]+))?)?")
_MIB_PER_GIB = 1024


@dataclass(frozen=True)
class CustomRule:
    """The limits of one kind of custom machine type; a row of ``gcp_custom.csv``.

    Attributes:
        name: the name before the numbers, e.g. ``n2-custom``.
        spans: the vCPU counts that it comes in, each (first, last, step).
        per_vcpu_mib: the least and the most memory for each vCPU, None where only the totals count.
        total_mib: the least and the most memory of the machine.
        extended_mib: the most memory with ``-ext``; None where there is no extended memory.
        step_mib: what the memory is a multiple of.
        arch: the machine's architecture.
        accelerator: the chip that comes with it, empty for none.
        count: how many.
        layer: the file that says so.
    """

    name: str
    spans: tuple[tuple[int, int, int], ...]
    # Decimal, as the limits are written: 0.9 GiB is no float, and memory is compared with a limit exactly.
    per_vcpu_mib: tuple[Decimal, Decimal] | None
    total_mib: tuple[int, int]
    extended_mib: int | None
    step_mib: int
    arch: str
    accelerator: str
    count: int
    layer: str

    def takes(self, vcpus: int) -> bool:
        """Return whether it comes in so many vCPUs."""
        return any(first <= vcpus <= last and (vcpus - first) % step == 0 for first, last, step in self.spans)

    def memory_mib(self, vcpus: int, *, extended: bool) -> tuple[Decimal, Decimal]:
        """Return the least and the most memory for this number of vCPUs."""
        least, most = (Decimal(mib) for mib in self.total_mib)
        if self.per_vcpu_mib:
            least = max(least, self.per_vcpu_mib[0] * vcpus)
            most = min(most, self.per_vcpu_mib[1] * vcpus)
        return least, Decimal(self.extended_mib) if extended and self.extended_mib else most

    @property
    def shared_core(self) -> bool:
        """True where the name has no vCPU count (``e2-custom-micro-1024``)."""
        return not self.name.endswith("custom")


def is_custom(name: str) -> bool:
    """Return whether a machine type's name is that of a custom one, right or wrong."""
    return _CUSTOM.fullmatch(name) is not None


def custom_machine_type(cloud: str, name: str, chips: Mapping[str, Chip]) -> MachineType:
    """Return the machine type of a custom name of a cloud that has such.

    Raises:
        UnknownInstanceTypeError: Compute Engine does not make it; the text says the rule that it breaks.
        CatalogFileError: the rules have a wrong row.
    """
    sizes = _SIZES.fullmatch(name)
    rules = custom_rules(cloud).get(sizes["kind"]) if sizes else None
    # Only names of a shared core have no number of vCPUs: its row has the one number that the guest sees.
    if sizes is None or rules is None or rules[0].shared_core != (sizes["vcpus"] is None):
        raise UnknownInstanceTypeError(_no_such_kind(cloud, name))
    vcpus = int(sizes["vcpus"] or rules[0].spans[0][0])
    rule = next((rule for rule in rules if rule.takes(vcpus)), None)
    if rule is None:
        raise UnknownInstanceTypeError(
            _refused(cloud, name, f"{rules[0].name} comes with {_spans(rules)} vCPUs, not {vcpus}")
        )
    memory_mib = int(sizes["memory"])
    wrong = _wrong_memory(rule, vcpus, memory_mib, extended=sizes["ext"] is not None)
    if wrong:
        raise UnknownInstanceTypeError(_refused(cloud, name, wrong))
    chip = chips[rule.accelerator] if rule.accelerator else None
    return MachineType(cloud, name, vcpus, memory_mib, rule.arch, chip, rule.count, rule.layer)


@functools.cache
def custom_rules(cloud: str) -> dict[str, list[CustomRule]]:
    """Return a cloud's rules by the name before the numbers; none where it makes no custom machine types.

    There are several rules for a name where each number of vCPUs has its own.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped(CUSTOM_MACHINE_TYPES, cloud)
    rules: dict[str, list[CustomRule]] = {}
    for rule in source.accept(parse_custom_rules(source)) if source else ():
        rules.setdefault(rule.name, []).append(rule)
    return rules


def parse_custom_rules(source: Source, known: Known | None = None) -> tuple[list[CustomRule], list[Problem]]:
    """Read the rules, and everything that is wrong with their file; the accelerators too, where they are given."""
    return read_table(source, CUSTOM_MACHINE_TYPES, functools.partial(_rule, layer=source.label), known)


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


def _no_such_kind(cloud: str, name: str) -> str:
    """Return the error's sentence for a name whose kind is not known, or that is not written as its kind is."""
    rules = custom_rules(cloud)
    # The longest: e2-custom-micro begins as e2-custom does.
    kind = max((kind for kind in rules if f"{name}-".startswith(f"{kind}-")), key=len, default=None)
    if kind is None:
        return _refused(cloud, name, f"the kinds are {', '.join(rules)}{hint(name.rstrip('-0123456789'), rules)}")
    numbers = "MEMORY_MIB" if rules[kind][0].shared_core else "VCPUS-MEMORY_MIB"
    return _refused(cloud, name, f"it is written {kind}-{numbers}, e.g. {_example(rules[kind][0])}")


def _example(rule: CustomRule) -> str:
    vcpus = rule.spans[0][0]
    _, most = rule.memory_mib(vcpus, extended=False)
    return f"{rule.name}-{int(most)}" if rule.shared_core else f"{rule.name}-{vcpus}-{int(most)}"


def _refused(cloud: str, name: str, why: str) -> str:
    return (
        f"instance type {shown(name)} of {cloud} is not a custom machine type that Compute Engine makes: "
        f"{why}; a row in "
        "`provider.catalog` overrides this rule"
    )


def _spans(rules: list[CustomRule]) -> str:
    words = []
    for first, last, step in (span for rule in rules for span in rule.spans):
        steps = f" in steps of {step}" if step > 1 else ""
        words.append(str(first) if first == last else f"{first} to {last}{steps}")
    return listed(words, "or")


def _in_gib(mib: Decimal | int) -> str:
    return f"{mib / _MIB_PER_GIB:.2f}".rstrip("0").rstrip(".")


def _rule(row: RowValues, _: int, *, layer: str) -> CustomRule:
    per_vcpu = [row[f"{end}_gib_per_vcpu"] for end in ("min", "max")]
    if (per_vcpu[0] is None) != (per_vcpu[1] is None):
        empty = ("min", "max")[per_vcpu.index(None)]
        text = "min_gib_per_vcpu and max_gib_per_vcpu belong together; fill both, or empty both"
        raise CellError(f"{empty}_gib_per_vcpu", text)
    for least, most in (("min_gib", "max_gib"), ("min_gib_per_vcpu", "max_gib_per_vcpu")):
        if row[least] and row[least] > row[most]:
            raise CellError(least, f"{least} is {row[least]}, above {most}, which is {row[most]}")
    if bool(row["accelerator"]) != bool(row["count"]):
        text = f"count is {row['count'] or 'empty'} and accelerator is {row['accelerator'] or 'empty'}"
        raise CellError("count", f"{text}; fill both, or empty both")
    return CustomRule(
        name=row["name"],
        spans=tuple(map(_span, row["vcpus"])),
        per_vcpu_mib=(per_vcpu[0] * _MIB_PER_GIB, per_vcpu[1] * _MIB_PER_GIB) if per_vcpu[0] else None,
        total_mib=(int(row["min_gib"] * _MIB_PER_GIB), int(row["max_gib"] * _MIB_PER_GIB)),
        extended_mib=int(row["max_gib_extended"] * _MIB_PER_GIB) if row["max_gib_extended"] else None,
        step_mib=row["step_mib"],
        arch=row["arch"],
        accelerator=row["accelerator"],
        count=row["count"],
        layer=layer,
    )


def _span(word: str) -> tuple[int, int, int]:
    """Return the first and the last number of a span, and its step: ``2-96/2``."""
    first, last, step = _SPAN.fullmatch(word).groups()  # type: ignore[union-attr]  # the schema has its form
    return int(first), int(last or first), int(step or 1)
