"""Label selectors as Ray's programs write them: `spot`, `!spot`, `in(a, b)`, `!in(a, b)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling import _ray
from accel_scaling.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling._ray import Selector


def labels_of(options: Iterable[str]) -> dict[str, str]:
    """Return the labels of ``--label KEY=VALUE`` options.

    Raises:
        PlanError: one has no value, or a key is given twice.
    """
    labels: dict[str, str] = {}
    for option in options:
        key, equals, value = (word.strip() for word in option.partition("="))
        if not key or not equals or not value:
            raise PlanError(
                f"--label {option!r}: expected KEY=VALUE, such as ray.io/market-type=spot; VALUE may be !spot, "
                "in(a,b) or !in(a,b), as in Ray's label_selector"
            )
        if key in labels:
            raise PlanError(f"--label {option!r}: {key} is given twice; write {key}=in(a,b) for one of several values")
        labels[key] = value
    return labels


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that Ray would refuse.

    Raises:
        PlanError: it names the label, with Ray's message.
    """
    for key, value in labels.items():
        wrong = _ray.label_selector_error({key: value})
        if wrong:
            raise PlanError(f"--label {key}={value}: {' '.join(wrong.split())}")


def selector(labels: Mapping[str, str]) -> Selector:
    """Return a label selector as the scheduler compares it: for each key whether it is negated, and the values."""
    return tuple((key, *_values(value)) for key, value in labels.items())


def selector_text(terms: Selector) -> str:
    """Return a selector in readable form: ``key=value, other=!in(a,b)``."""
    return ", ".join(
        f"{key}={'!' if negated else ''}{values[0] if len(values) == 1 else 'in(' + ','.join(values) + ')'}"
        for key, negated, values in terms
    )


def matches(terms: Selector, labels: Mapping[str, str]) -> bool:
    """Return whether a selector selects a node with these labels, by the rule of Ray's v2 scheduler."""
    return all((labels.get(key) in values) != negated for key, negated, values in terms)


def _values(text: str) -> tuple[bool, tuple[str, ...]]:
    negated = text.startswith("!")
    rest = text.removeprefix("!").removeprefix("in")
    if rest.startswith("(") and rest.endswith(")"):
        return negated, tuple(word.strip() for word in rest[1:-1].split(","))
    return negated, (text.removeprefix("!"),)
