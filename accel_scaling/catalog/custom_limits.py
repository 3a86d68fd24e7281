"""The limits of custom machine types as data: ``gcp_custom.csv``, a row for each kind and, for G2, each size."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from accel_scaling.catalog.schema import ARCHITECTURES
from accel_scaling.catalog.table import MAX_DIGITS, Cells, RuleError, parse_rules, shipped_rules

if TYPE_CHECKING:
    from collections.abc import Collection

    from accel_scaling.catalog.files import Problem, Source

CUSTOM_FILE = "gcp_custom.csv"
COLUMNS = (
    "name",
    "vcpus",
    "min_gib_per_vcpu",
    "max_gib_per_vcpu",
    "min_gib",
    "max_gib",
    "max_gib_extended",
    "step_mib",
    "arch",
    "accelerator",
    "count",
    "because",
    "source",
)

_SPAN = re.compile(r"([1-9][0-9]{0,3})(?:-([1-9][0-9]{0,3})(?:/([1-9][0-9]{0,3}))?)?")
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
        """Return the least and the most memory that goes with so many vCPUs."""
        least, most = (Decimal(each) for each in self.total_mib)
        if self.per_vcpu_mib:
            least = max(least, self.per_vcpu_mib[0] * vcpus)
            most = min(most, self.per_vcpu_mib[1] * vcpus)
        return least, Decimal(self.extended_mib) if extended and self.extended_mib else most

    @property
    def shared_core(self) -> bool:
        """Whether the name has no vCPU count (``e2-custom-micro-1024``)."""
        return not self.name.endswith("custom")


@functools.cache
def custom_rules() -> dict[str, list[CustomRule]]:
    """Return the rules by the name before the numbers; several where each vCPU count has its own.

    Raises:
        CatalogFileError: the file has a wrong row.
    """
    source = shipped_rules(CUSTOM_FILE)
    found: dict[str, list[CustomRule]] = {}
    for rule in source.accept(parse_custom_rules(source)):
        found.setdefault(rule.name, []).append(rule)
    return found


def parse_custom_rules(source: Source, chips: Collection[str] | None = None) -> tuple[list[CustomRule], list[Problem]]:
    """Read the rules, and everything that is wrong with their file; the accelerators too, where they are given."""
    return parse_rules(
        source, COLUMNS, lambda cells: _rule(cells, source.label, chips), lambda rule: (rule.name, rule.spans)
    )


def _rule(cells: Cells, layer: str, chips: Collection[str] | None) -> CustomRule:
    cells.text("source")
    ratios = [_gib(cells, column) for column in ("min_gib_per_vcpu", "max_gib_per_vcpu")]
    least, most, extended = (_gib(cells, column) for column in ("min_gib", "max_gib", "max_gib_extended"))
    if least is None or most is None or least > most:
        raise RuleError("min_gib and max_gib must both be there, the smaller one first")
    if (ratios[0] is None) != (ratios[1] is None):
        raise RuleError("min_gib_per_vcpu and max_gib_per_vcpu go together; fill both, or empty both")
    accelerator = cells.by_column["accelerator"] and cells.known("accelerator", chips)
    return CustomRule(
        name=cells.text("name"),
        spans=_parsed_spans(cells),
        per_vcpu_mib=(ratios[0], ratios[1]) if ratios[0] is not None and ratios[1] is not None else None,
        total_mib=(int(least), int(most)),
        extended_mib=None if extended is None else int(extended),
        step_mib=cells.number("step_mib"),
        arch=cells.one_of("arch", ARCHITECTURES),
        accelerator=accelerator,
        count=cells.number("count") if accelerator else 0,
        layer=layer,
    )


def _gib(cells: Cells, column: str) -> Decimal | None:
    """Return a cell in GiB as MiB, None where it is empty."""
    cell = cells.by_column[column]
    if not cell:
        return None
    try:
        value = Decimal(cell)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or not 0 < value < 10**MAX_DIGITS:
        raise RuleError(f"{column} is {cell}; expected a number of GiB above 0")
    return value * _MIB_PER_GIB


def _parsed_spans(cells: Cells) -> tuple[tuple[int, int, int], ...]:
    spans = []
    for word in cells.text("vcpus").split():
        span = _SPAN.fullmatch(word)
        if span is None:
            raise RuleError(f"vcpus has {word}; expected counts and spans, as 1 2-96/2")
        first = int(span[1])
        spans.append((first, int(span[2] or first), int(span[3] or 1)))
    return tuple(spans)
