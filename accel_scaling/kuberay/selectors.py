"""Reads where the pods of a group may run: their nodeSelector, and the required nodeAffinity."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from accel_scaling.catalog.kubernetes import Says, node_labels
from accel_scaling.kuberay import yaml_text as yt

if TYPE_CHECKING:
    from collections.abc import Sequence

    import yaml

    from accel_scaling.catalog.kubernetes import NodeLabel
    from accel_scaling.kuberay.manifest import Group

REQUIRED = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")


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
    """Labels that a node must have, all of them; one of several alternatives where an affinity has several terms."""

    requirements: tuple[LabelRequirement, ...] = field(default_factory=tuple)

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
        if (label := node_labels().get(name)) and (text := yt.word(value)) is not None
    ]
    alternatives = yt.items(yt.at(group.pod, *REQUIRED))
    return [_narrowed((*from_selector, *_expressions(alternative)), alternative) for alternative in alternatives] or [
        Term(tuple(from_selector))
    ]


def _narrowed(requirements: Sequence[LabelRequirement], term: yaml.Node) -> Term:
    """Return a term without the values that it excludes (``NotIn``)."""
    out = {
        (requirement.label.key, value) for requirement in _expressions(term, "NotIn") for value in requirement.values
    }
    kept = [
        tuple(value for value in requirement.values if (requirement.label.key, value) not in out)
        for requirement in requirements
    ]
    return Term(
        tuple(
            replace(requirement, values=values or requirement.values, ruled_out=not values)
            for requirement, values in zip(requirements, kept, strict=True)
        )
    )


def tpu_keys(term: Term) -> set[Says]:
    """Return which of the two TPU selectors a term has."""
    chips = [requirement for requirement in term.of(Says.CHIP) if requirement.label.names == "api:gke"]
    return {Says.TOPOLOGY for _ in term.of(Says.TOPOLOGY)} | {Says.CHIP for _ in chips}


def _expressions(term: yaml.Node, operator: str = "In") -> list[LabelRequirement]:
    """Return the requirements of a term with this operator; without values (``Exists`` ...) it names no accelerator."""
    requirements = []
    for expression in yt.items(yt.at(term, "matchExpressions")):
        label = node_labels().get(yt.word(yt.at(expression, "key")) or "")
        values = tuple(text for item in yt.items(yt.at(expression, "values")) if (text := yt.word(item)) is not None)
        if label and values and yt.word(yt.at(expression, "operator")) == operator:
            requirements.append(LabelRequirement(label, values, yt.line(expression), in_selector=False))
    return requirements
