"""Reads the nodes on which the pods of a group may run: nodeSelector, required nodeAffinity, and their accelerators."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import yaml

from accel_scaling.catalog.kubernetes import Says, node_labels
from accel_scaling.catalog.model import Chip
from accel_scaling.catalog.product_names import ray_nvidia_type
from accel_scaling.kuberay.templates import is_open, is_open_text, shown
from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from accel_scaling.catalog.kubernetes import NodeLabel
    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.kuberay.group import Group

REQUIRED = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
SHARED = "-SHARED"
# GPU feature discovery appends these to the product: shared in time, or divided into MIG partitions.
_SUFFIX = re.compile(r"-(?:SHARED|MIG-(?P<profile>[0-9a-z.+-]+))(?=-|$)")


@dataclass(frozen=True)
class LabelRequirement:
    """One label that a node must have.

    Attributes:
        label: the catalog's entry for its key.
        values: the possible values.
        line: the line of its key.
        in_selector: whether it is in the nodeSelector; else it is in an affinity.
        ruled_out: whether a ``NotIn`` of the same term excludes all of its values.
    """

    label: NodeLabel
    values: tuple[str, ...]
    line: int
    in_selector: bool
    ruled_out: bool = False

    def __str__(self) -> str:
        return f"{self.label.key}: {' or '.join(self.values)}"


@dataclass(frozen=True)
class Term:
    """Labels that a node must have, all of them; one of several alternatives where an affinity has several terms.

    Attributes:
        requirements: the labels with their possible values.
        left_open: those with a value that a template leaves open.
        excluded: those that an affinity rules out (``NotIn``).
    """

    requirements: tuple[LabelRequirement, ...] = field(default_factory=tuple)
    left_open: tuple[LabelRequirement, ...] = field(default_factory=tuple)
    excluded: tuple[LabelRequirement, ...] = field(default_factory=tuple)

    def of(self, *says: Says) -> list[LabelRequirement]:
        """Return the labels that state one of these."""
        return [requirement for requirement in self.requirements if requirement.label.says in says]

    def only(self, says: Says) -> str | None:
        """Return the only stated value, None where there is none, or several."""
        values = {requirement.values for requirement in self.of(says)}
        (value,) = values if len(values) == 1 else ((),)
        return value[0] if len(value) == 1 else None


def terms_of(group: Group) -> list[Term]:
    """Return the alternatives for the pods of a group; without an affinity there is one."""
    from_selector = [
        LabelRequirement(label, (text,), yt.line(key), in_selector=True)
        for name, (key, value) in yt.pairs(yt.at(group.pod, "nodeSelector")).items()
        if (label := node_labels().get(name)) and (text := _text(value)) is not None
    ]
    # Kubernetes requires the nodeSelector and one term of the affinity: the selector is part of each alternative.
    alternatives = yt.items(yt.at(group.pod, *REQUIRED))
    return [_narrowed((*from_selector, *_expressions(alternative)), alternative) for alternative in alternatives] or [
        _narrowed(from_selector, None)
    ]


def open_selectors(group: Group, terms: Sequence[Term]) -> list[str]:
    """Return the selectors of a group that a template leaves open, as they are written.

    Args:
        group: the group.
        terms: the alternatives of its selectors.
    """
    holders = [("nodeSelector", yt.at(group.pod, "nodeSelector"))]
    holders += [(REQUIRED[number], yt.at(group.pod, *REQUIRED[: number + 1])) for number in range(len(REQUIRED))]
    holders += [(REQUIRED[-1], term) for term in yt.items(yt.at(group.pod, *REQUIRED))]
    whole = [f"{name}: {shown(node)}" for name, node in holders if is_open(node)]
    keys = [key for key, _ in holders[0][1].value] if isinstance(holders[0][1], yaml.MappingNode) else []
    whole += [f"nodeSelector: {shown(key)}" for key in keys if is_open(key) and not is_open(holders[0][1])]
    return [*whole, *(str(requirement) for term in terms for requirement in term.left_open)]


def _text(node: yaml.Node) -> str | None:
    return shown(node) if is_open(node) else yt.word(node)


def _narrowed(all_requirements: Sequence[LabelRequirement], term: yaml.Node | None) -> Term:
    """Return a term without the values that it excludes (``NotIn``), and without those that are left open."""
    excluded = _expressions(term, "NotIn")
    out = {(requirement.label.key, value) for requirement in excluded for value in requirement.values}
    left_open = [item for item in all_requirements if any(map(is_open_text, item.values))]
    requirements = [item for item in all_requirements if item not in left_open]
    kept = [
        tuple(value for value in requirement.values if (requirement.label.key, value) not in out)
        for requirement in requirements
    ]
    return Term(
        tuple(
            # Where a NotIn leaves none, the values stay for the sentence about it.
            replace(requirement, values=values or requirement.values, ruled_out=not values)
            for requirement, values in zip(requirements, kept, strict=True)
        ),
        tuple(left_open),
        tuple(excluded),
    )


def tpu_keys(term: Term) -> set[Says]:
    """Return which of the two TPU selectors a term has, with those that a template leaves open."""
    keys = (*term.requirements, *term.left_open)
    chips = [item for item in keys if item.label.says is Says.CHIP and item.label.names == "api:gke"]
    return {item.label.says for item in keys if item.label.says is Says.TOPOLOGY} | {Says.CHIP for _ in chips}


def _expressions(term: yaml.Node | None, operator: str = "In") -> list[LabelRequirement]:
    """Return the requirements of a term with this operator; without values (``Exists`` ...) it names no accelerator."""
    requirements = []
    for expression in yt.items(yt.at(term, "matchExpressions")):
        label = node_labels().get(yt.word(yt.at(expression, "key")) or "")
        values = tuple(text for item in yt.items(yt.at(expression, "values")) if (text := _text(item)) is not None)
        if label and values and yt.word(yt.at(expression, "operator")) == operator:
            requirements.append(LabelRequirement(label, values, yt.line(expression), in_selector=False))
    return requirements


def chips_of(naming: str, value: str, catalog: Catalog) -> list[Chip]:
    """Return the chips that a label's value may mean; empty where none has that name.

    Args:
        naming: how the label names chips, a cell ``names`` of ``kuberay_selectors.csv``.
        value: the label's value.
        catalog: the accelerators.
    """
    how, _, detail = naming.partition(":")
    chips = catalog.chips.values()
    if how == "api":
        return [chip for chip in chips if _fold(value) in map(_fold, chip.api_names.get(detail, ()))]
    if how == "pci":
        return [chip for chip in chips if f"{detail}:{value.lower()}" in chip.pci_ids and chip.partition_of is None]
    if how == "driver":
        return _of_driver(_SUFFIX.sub("", value), chips)
    names = {_fold(detail + value), _fold(value)}
    return [chip for chip in chips if names & {_fold(name) for name in (chip.name, chip.detected_type or "")}]


def mig_profile_in(product: str) -> str | None:
    """Return the MIG profile in a product label (``NVIDIA-A100-SXM4-40GB-MIG-1g.5gb``), None where there is none."""
    match = _SUFFIX.search(product)
    return match["profile"] if match else None


def _of_driver(product: str, chips: Iterable[Chip]) -> list[Chip]:
    """Return the chips with a driver's name; for an unknown name, a chip of the type that Ray reads in it."""
    folded = _fold(product)
    named = [
        chip for chip in chips if folded in {_fold(spelling) for name in chip.driver_names for spelling in _ways(name)}
    ]
    if named:
        return named
    type_name = ray_nvidia_type(product.replace("-", " "))
    return [Chip(name=product, family="nvidia", resource="GPU", detected_type=type_name)] if type_name else []


def _ways(name: str) -> tuple[str, str]:
    # Older drivers leave the maker out: `A100-SXM4-40GB`.
    return name, name.removeprefix("NVIDIA ")


def _fold(name: str) -> str:
    # A label's value cannot have a space: GPU feature discovery writes `-` for it.
    return name.strip().casefold().replace(" ", "-").replace("_", "-")
