"""Where the pods of a group may run: their nodeSelector, and the nodeAffinity that is required."""

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
class Wanted:
    """One label that a node must have.

    Attributes:
        label: what is known of its key.
        values: the values that will do.
        line: the line of its key.
        in_selector: whether the nodeSelector says it; else an affinity does.
        ruled_out: whether a ``NotIn`` beside it rules out all of its values; some are not among them any more.
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
    """Labels that a node must have all of; one of several alternatives where an affinity has several terms."""

    wanted: tuple[Wanted, ...] = field(default_factory=tuple)

    def of(self, *says: Says) -> list[Wanted]:
        """Return the labels that tell one of these."""
        return [each for each in self.wanted if each.label.says in says]

    def only(self, says: Says) -> str | None:
        """Return the one value that is told, None where there is none, or several."""
        values = {each.values for each in self.of(says)}
        (one,) = values if len(values) == 1 else ((),)
        return one[0] if len(one) == 1 else None


def terms_of(group: Group) -> list[Term]:
    """Return the alternatives where pods of a group may run; without an affinity there is one."""
    everywhere = [
        Wanted(label, (text,), yt.line(key), in_selector=True)
        for name, (key, value) in yt.pairs(yt.at(group.pod, "nodeSelector")).items()
        if (label := node_labels().get(name)) and (text := yt.word(value)) is not None
    ]
    alternatives = yt.items(yt.at(group.pod, *REQUIRED))
    return [_narrowed((*everywhere, *_expressions(each)), each) for each in alternatives] or [Term(tuple(everywhere))]


def _narrowed(wanted: Sequence[Wanted], term: yaml.Node) -> Term:
    """Return a term without the values that it rules out (``NotIn``)."""
    out = {(each.label.key, value) for each in _expressions(term, "NotIn") for value in each.values}
    kept = [tuple(value for value in each.values if (each.label.key, value) not in out) for each in wanted]
    return Term(
        tuple(
            replace(each, values=values or each.values, ruled_out=not values)
            for each, values in zip(wanted, kept, strict=True)
        )
    )


def tpu_keys(term: Term) -> set[Says]:
    """Return which of the two TPU selectors a term has."""
    chips = [each for each in term.of(Says.CHIP) if each.label.names == "api:gke"]
    return {Says.TOPOLOGY for _ in term.of(Says.TOPOLOGY)} | {Says.CHIP for _ in chips}


def _expressions(term: yaml.Node, operator: str = "In") -> list[Wanted]:
    """Return what a term asks for by an operator with values; others (``Exists`` ...) name no accelerator."""
    found = []
    for each in yt.items(yt.at(term, "matchExpressions")):
        label = node_labels().get(yt.word(yt.at(each, "key")) or "")
        values = tuple(text for item in yt.items(yt.at(each, "values")) if (text := yt.word(item)) is not None)
        if label and values and yt.word(yt.at(each, "operator")) == operator:
            found.append(Wanted(label, values, yt.line(each), in_selector=False))
    return found
