"""From `num_accs` and `accelerator_type` to the options that Ray knows. Pure: the chips are given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import ACCELERATOR_TYPE_AMOUNT, ACCELERATOR_TYPE_PREFIX
from accel_scaling.errors import AskingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accel_scaling.accs.types import Known

# What `ray_options` may write; where one request takes another's place, those that it does not write are taken back.
WRITES = ("num_gpus", "resources", "accelerator_type", "label_selector", "fallback_strategy")


@dataclass(frozen=True)
class Asked:
    """What a task asks for in accelerators.

    Attributes:
        num_accs: how many units of the family's resource; None where it only asks for a type.
        types: accelerator types, the best first; empty where any will do.
    """

    num_accs: float | None = None
    types: tuple[str, ...] = ()

    @property
    def untyped(self) -> bool:
        """Whether the cluster must say which family is meant; of none at all, none is."""
        return bool(self.num_accs) and not self.types

    @property
    def by_cluster(self) -> bool:
        """Whether the cluster matters: which families it has, or whether its autoscaler knows preferences."""
        return self.untyped or len(self.types) > 1

    def changed(self, changes: Mapping[str, Any]) -> Asked:
        """Return the same with `num_accs` and `accelerator_type` of ``changes``, where they are in it."""
        num_accs = changes.get("num_accs", self.num_accs)
        return replace(self, num_accs=num_accs, types=types_in(changes.get("accelerator_type", self.types)))


def types_in(accelerator_type: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the accelerator types of an argument `accelerator_type`, the best first.

    Raises:
        AskingError: it is neither a name nor a list of names.
    """
    if accelerator_type is None:
        return ()
    names = (accelerator_type,) if isinstance(accelerator_type, str) else accelerator_type
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise AskingError(
            f"accelerator_type={accelerator_type!r} is no accelerator type; name one, or a list of them, the best first"
        )
    return tuple(dict.fromkeys(names))


def ray_options(asked: Asked, resource: str, others: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """Return the options for `ray.remote` or `.options()`.

    Args:
        asked: the accelerators.
        resource: the Ray resource of that family.
        others: every other option that the user gave; they pass through.
        known: the types that this machine knows.

    Raises:
        AskingError: an option that says the same otherwise.
    """
    options = dict(others)
    if asked.num_accs is not None and resource:
        _count(options, asked.num_accs, resource)
    if len(asked.types) == 1:
        options["accelerator_type"] = asked.types[0]
    elif asked.types:
        _prefer(options, asked.types, known)
    return options


def bundle_of(asked: Asked, resource: str, others: Mapping[str, float]) -> dict[str, float]:
    """Return the same as one bundle of a placement group: resources only.

    Raises:
        AskingError: a list of types, which a bundle cannot choose from; or a resource that is given twice.
    """
    if len(asked.types) > 1:
        raise AskingError(
            f"a placement group's bundle takes one accelerator_type, not a list ({', '.join(asked.types)}); Ray has no "
            "fallback for bundles"
        )
    if resource and resource in others:
        raise AskingError(f"num_accs and {resource} both say how many accelerators; leave one out")
    counted = {resource: asked.num_accs} if asked.num_accs is not None and resource else {}
    return {**others, **counted, **{ACCELERATOR_TYPE_PREFIX + name: ACCELERATOR_TYPE_AMOUNT for name in asked.types}}


def _count(options: dict[str, Any], num_accs: float, resource: str) -> None:
    key = "num_gpus" if resource == "GPU" else "resources"
    own = options.get(key) or {}
    if (resource == "GPU" and own) or (key == "resources" and resource in own):
        said = "num_gpus" if resource == "GPU" else f"resources={{{resource!r}: ...}}"
        raise AskingError(f"num_accs and {said} both say how many accelerators; leave one out")
    options[key] = num_accs if resource == "GPU" else {**own, resource: num_accs}


def _prefer(options: dict[str, Any], types: Sequence[str], known: Known) -> None:
    """Ask for a node of the first type; for one of the next where that cannot be had, and so on."""
    if options.get("fallback_strategy"):
        raise AskingError(
            "a list of accelerator types becomes Ray's fallback_strategy, and you give one, too; name one "
            "accelerator_type, or write the label selectors of all choices yourself"
        )
    own = options.get("label_selector") or {}
    for name in types:
        if own.get(known.types[name].label, name) != name:
            raise AskingError(
                f"label_selector[{known.types[name].label!r}] contradicts accelerator_type; leave one out"
            )
    first, *rest = [{**own, known.types[name].label: name} for name in types]
    options["label_selector"] = first
    options["fallback_strategy"] = [{"label_selector": selector} for selector in rest]
