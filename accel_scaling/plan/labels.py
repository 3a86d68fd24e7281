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
    found: dict[str, str] = {}
    for option in options:
        key, equals, value = (word.strip() for word in option.partition("="))
        if not key or not equals or not value:
            raise PlanError(
                f"--label {option!r}: expected KEY=VALUE, such as ray.io/market-type=spot; VALUE may be !spot, "
                "in(a,b) or !in(a,b), as in Ray's label_selector"
            )
        if key in found:
            raise PlanError(f"--label {option!r}: {key} is given twice; write {key}=in(a,b) for one of several values")
        found[key] = value
    return found


def check(labels: Mapping[str, str]) -> None:
    """Refuse what Ray would refuse.

    Raises:
        PlanError: names the label, with Ray's words.
    """
    for key, value in labels.items():
        wrong = _ray.label_selector_error({key: value})
        if wrong:
            raise PlanError(f"--label {key}={value}: {' '.join(wrong.split())}")


def selector(labels: Mapping[str, str]) -> Selector:
    """Return a label selector as the scheduler compares it: for each key whether it is negated, and the values."""
    return tuple((key, *_values(value)) for key, value in labels.items())


def written(one: Selector) -> str:
    """Return a selector as a reader knows it: ``key=value, other=!in(a,b)``."""
    return ", ".join(
        f"{key}={'!' if negated else ''}{values[0] if len(values) == 1 else 'in(' + ','.join(values) + ')'}"
        for key, negated, values in one
    )


def holds(one: Selector, labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels is selected, as Ray's v2 scheduler decides it."""
    return all((labels.get(key) in values) != negated for key, negated, values in one)


def _values(text: str) -> tuple[bool, tuple[str, ...]]:
    negated = text.startswith("!")
    rest = text.removeprefix("!").removeprefix("in")
    if rest.startswith("(") and rest.endswith(")"):
        return negated, tuple(word.strip() for word in rest[1:-1].split(","))
    return negated, (text.removeprefix("!"),)
