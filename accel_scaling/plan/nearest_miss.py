"""Finds what the nearest node type lacks for a demand that no node type of the file can take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, LABEL_ACCELERATOR_TYPE
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.cluster.capacity_text import CAPACITY_LABELS, order_words
from accel_scaling.fill.promise import LABEL_VARIANT
from accel_scaling.plan.demands import matches, selector_text, types_in
from accel_scaling.plan.model import Demand, PendingCause
from accel_scaling.plan.words import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from accel_scaling.accs.types import AcceleratorTypes
    from accel_scaling.catalog.model import Chip
    from accel_scaling.plan.cluster import AutoscalerNodeType

_OF_TYPES = (LABEL_ACCELERATOR_TYPE, LABEL_VARIANT)

# The nearest first: the one that needs the smallest change by the user.
_NEARNESS = (
    PendingCause.QUARANTINED,
    PendingCause.NEVER_LAUNCHED,
    PendingCause.PROMISE_NOT_HELD,
    PendingCause.NOT_PROMISED,
    PendingCause.NO_SUCH_LABEL,
    PendingCause.TOO_SMALL,
    PendingCause.OVER_SEVERAL_HOSTS,
    PendingCause.TOO_FEW_DEVICES,
    PendingCause.OTHER_VARIANT,
    PendingCause.PART_OF_A_DEVICE,
    PendingCause.NO_SUCH_ACCELERATOR,
)
# What is worth telling of the head: with any other cause it is too small, and there is one head only.
_OF_HEADS = (PendingCause.NEVER_LAUNCHED, PendingCause.PROMISE_NOT_HELD, PendingCause.NOT_PROMISED)


@dataclass(frozen=True)
class Miss:
    """The reason why one node type does not take a demand.

    Attributes:
        cause: the cause, as a word.
        sentence: what the node type has, as part of a sentence.
    """

    cause: PendingCause
    sentence: str


@dataclass(frozen=True)
class Requirement:
    """The parts of a demand.

    Attributes:
        types: accelerator types, any of which is enough; empty where none is named.
        resource: the Ray resource of accelerators; "" where the demand has none.
        amounts: Ray resources without the types.
        labels: the label selectors without those that name types; any of them is enough.
    """

    types: tuple[str, ...]
    resource: str
    amounts: Mapping[str, float]
    labels: tuple[tuple[tuple[str, bool, tuple[str, ...]], ...], ...]


def requirement_of(demand: Demand, accelerators: AcceleratorTypes) -> Requirement:
    """Return the parts of a demand."""
    types = tuple(types_in(demand.resources)) or preferred(demand)
    amounts = {name: value for name, value in demand.resources.items() if not name.startswith(ACCELERATOR_TYPE_PREFIX)}
    of_chips = {chip.resource for chip in accelerators.chips.values()}
    resource = next((name for name in amounts if name in of_chips), "")
    others = tuple(
        tuple(term for term in selector if not (term[0] in _OF_TYPES and not term[1])) for selector in demand.selectors
    )
    return Requirement(types, resource, amounts, tuple(dict.fromkeys(selector for selector in others if selector)))


def preferred(demand: Demand) -> tuple[str, ...]:
    """Return the accelerator types that label selectors name, the preferred first."""
    types = [
        value
        for selector in demand.selectors
        for key, negated, values in selector
        if key in _OF_TYPES and not negated
        for value in values
    ]
    return tuple(dict.fromkeys(types))


def requirement_text(demand: Demand, accelerators: AcceleratorTypes) -> str:
    """Return a demand as text, in Ray's words; without the one CPU of each task."""
    requirement = requirement_of(demand, accelerators)
    words = [ACCELERATOR_TYPE_PREFIX + " or ".join(requirement.types)] if requirement.types else []
    amounts = dict(requirement.amounts)
    if len(amounts) > 1 and amounts.get("CPU") == 1:
        amounts.pop("CPU")
    ordered = sorted(amounts, key=lambda name: (name != requirement.resource, name))
    words += [amount_text(name, amounts[name]) for name in ordered]
    if requirement.labels:
        words.append(f"label {' or '.join(selector_text(selector) for selector in requirement.labels)}")
    return ", ".join(words)


def nearest_miss(demand: Demand, node_types: Sequence[AutoscalerNodeType], accelerators: AcceleratorTypes) -> Miss:
    """Return the miss that needs the smallest change by the user; several equal ones are named together."""
    requirement = requirement_of(demand, accelerators)
    results = [
        (node_type, _not_promised(node_type))
        if _takes_after_fill(requirement, node_type)
        else (node_type, _miss(requirement, node_type, accelerators))
        for node_type in node_types
    ]
    misses = [
        miss for node_type, miss in results if not node_type.is_head or miss.cause in _OF_HEADS or len(results) == 1
    ]
    best = min((miss.cause for miss in misses), key=_NEARNESS.index)
    if best is PendingCause.NO_SUCH_ACCELERATOR:
        return Miss(best, _types_of_file(node_types, requirement))
    sentences = list(dict.fromkeys(miss.sentence for miss in misses if miss.cause is best))
    more = f" (and {len(sentences) - 2} more)" if len(sentences) > 2 else ""
    return Miss(best, "; ".join(sentences[:2]) + more)


def amount_text(name: str, value: float) -> str:
    """Return an amount of a resource for people: ``GPU 8``, ``memory 11.2 GiB``."""
    return f"memory {value / 2**30:.1f} GiB" if name == "memory" else f"{name} {value:g}"


def _miss(requirement: Requirement, node_type: AutoscalerNodeType, accelerators: AcceleratorTypes) -> Miss:
    short = [name for name, value in requirement.amounts.items() if node_type.resources.get(name, 0) < value]
    if requirement.types and not set(requirement.types) & set(node_type.types):
        return _other_type(requirement, node_type, accelerators)
    if requirement.resource and not node_type.resources.get(requirement.resource):
        return Miss(PendingCause.NO_SUCH_ACCELERATOR, "")
    if short == [requirement.resource]:
        return _too_few(requirement, node_type)
    if short:
        has = ", ".join(amount_text(name, node_type.resources.get(name, 0)) for name in short)
        return Miss(PendingCause.TOO_SMALL, f"{node_type.title} has {has}")
    if requirement.labels and not any(matches(selector, node_type.labels) for selector in requirement.labels):
        return Miss(PendingCause.NO_SUCH_LABEL, f"{node_type.title} {_labels_of(requirement, node_type)}")
    return _closed(node_type)


def _closed(node_type: AutoscalerNodeType) -> Miss:
    """Return why a node type that a demand fits is not launched."""
    if node_type.not_held:
        return Miss(PendingCause.PROMISE_NOT_HELD, f"{node_type.title} promises it: {node_type.not_held}")
    if node_type.quarantined:
        return Miss(PendingCause.QUARANTINED, f"{node_type.title} would take it, but it is {node_type.quarantined}")
    if node_type.fixed:
        return Miss(PendingCause.NEVER_LAUNCHED, f"{node_type.title} would take it, but {node_type.fixed}")
    if node_type.is_head and node_type.words is MANIFEST:
        return Miss(PendingCause.NEVER_LAUNCHED, f"{node_type.title} would take it, but there is one head only")
    only = ", except for the head itself" if node_type.is_head else ""
    return Miss(
        PendingCause.NEVER_LAUNCHED,
        f"{node_type.title} would take it, but its {node_type.words.most} is 0{only}",
    )


def _takes_after_fill(requirement: Requirement, node_type: AutoscalerNodeType) -> bool:
    """Return whether a group of a manifest takes it once the manifest is filled, and not before."""
    filled = node_type.after_fill
    if filled is None or (node_type.max_workers <= 0 and not node_type.is_head):
        return False
    return (
        (not requirement.types or bool(set(requirement.types) & set(types_in(filled.resources))))
        and all(filled.resources.get(name, 0) >= value for name, value in requirement.amounts.items())
        and (not requirement.labels or any(matches(selector, filled.labels) for selector in requirement.labels))
    )


def _not_promised(node_type: AutoscalerNodeType) -> Miss:
    return Miss(
        PendingCause.NOT_PROMISED,
        f"{node_type.title} does not promise it to Ray's autoscaler; it would take it after `accel-scaling kuberay "
        "fill`",
    )


def _too_few(requirement: Requirement, node_type: AutoscalerNodeType) -> Miss:
    has = amount_text(requirement.resource, node_type.resources[requirement.resource])
    tpu_slice = node_type.machine.slice
    if tpu_slice is not None and tpu_slice.hosts > 1 and tpu_slice.chips >= requirement.amounts[requirement.resource]:
        sentence = (
            f"{node_type.title} is a TPU slice of {tpu_slice.chips} chips on {tpu_slice.hosts} hosts, each "
            f"with {has}; a task runs on one host"
        )
        return Miss(PendingCause.OVER_SEVERAL_HOSTS, sentence)
    return Miss(PendingCause.TOO_FEW_DEVICES, f"{node_type.title} has {has}")


def _other_type(requirement: Requirement, node_type: AutoscalerNodeType, accelerators: AcceleratorTypes) -> Miss:
    chip = node_type.machine.machine.chip
    meant_chips = _chips(requirement.types, accelerators)
    if chip is None or not meant_chips:
        return Miss(PendingCause.NO_SUCH_ACCELERATOR, "")
    name = node_type.types[-1] if node_type.types else chip.name
    if chip.partition_of in {meant_chip.name for meant_chip in meant_chips}:
        sentence = f"{node_type.title} has {name}, a partition, which is announced under this name only"
        return Miss(PendingCause.PART_OF_A_DEVICE, sentence)
    # Ray detects the same type (A100) on both, and the user named the variant (of 40 or 80 GB) that this is not.
    if {meant_chip.detected_type for meant_chip in meant_chips} & {chip.detected_type} - {
        None
    } and chip.detected_type in _types(meant_chips):
        return Miss(PendingCause.OTHER_VARIANT, f"{node_type.title} has {name}")
    return Miss(PendingCause.NO_SUCH_ACCELERATOR, "")


def _types(chips: Iterable[Chip]) -> set[str | None]:
    return {chip.detected_type for chip in chips if chip.variant or chip.detected_type}


def _chips(types: Iterable[str], accelerators: AcceleratorTypes) -> list[Chip]:
    return [
        chip
        for chip in accelerators.chips.values()
        if {chip.name, chip.variant or "", chip.detected_type or ""} & set(types)
    ]


def _labels_of(requirement: Requirement, node_type: AutoscalerNodeType) -> str:
    keys = dict.fromkeys(key for selector in requirement.labels for key, _, _ in selector)
    has = [f"{key}={node_type.labels[key]}" for key in keys if key in node_type.labels]
    lacks = [key for key in keys if key not in node_type.labels]
    words = ([f"has {', '.join(has)}"] if has else []) + ([f"has no label {', '.join(lacks)}"] if lacks else [])
    of_capacity = [key for key in lacks if key in CAPACITY_LABELS]
    why = _why_no_capacity_label(requirement, node_type, of_capacity[0]) if of_capacity else ""
    return " and ".join(words) + why


def _why_no_capacity_label(requirement: Requirement, node_type: AutoscalerNodeType, key: str) -> str:
    """Return why a node type does not promise how its machines are bought, and what to write instead."""
    if node_type.words is MANIFEST:
        return ""
    wanted = next(
        (terms[2][0] for selector in requirement.labels for terms in selector if terms[0] == key and not terms[1]), ""
    )
    known = wanted in {type_.value for type_ in CapacityType}
    types = node_type.capacity_types
    other = f"write a node type with `provider.capacity: {{NAME: [{wanted if known else 'spot'}]}}` for such tasks"
    if len(types) > 1:
        return f", as its machines are bought as {order_words(types)}, which is known when one has come; {other}"
    if types[0].value != wanted:
        return f", as its machines are bought as {types[0].value}; {other}" if known else ""
    # It is bought so, by its node_config alone: Ray's own label says that.
    return next((f"; ask for {name}={wanted}" for name in CAPACITY_LABELS if name in node_type.labels), "")


def _types_of_file(node_types: Sequence[AutoscalerNodeType], requirement: Requirement) -> str:
    words = node_types[0].words
    # A manifest that is not filled has devices without a type: the types would not say what it lacks.
    if words is MANIFEST and not requirement.types and requirement.resource:
        return f"no group of the manifest has {requirement.resource}"
    names = dict.fromkeys(node_type.types[-1] for node_type in node_types if node_type.types)
    if not names and words is MANIFEST:
        return "no group of the manifest promises an accelerator type"
    if not names:
        return f"no {words.node_type} of the {words.file} has any"
    return f"the {words.node_type}s of the {words.file} have {', '.join(names)}"
