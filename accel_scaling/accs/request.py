"""Checks `num_accs` and `accelerator_type`, and turns them into Ray's options. The caller hands over the chips."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling._ray import versions
from accel_scaling._ray.facts import ACCELERATOR_TYPE_AMOUNT, ACCELERATOR_TYPE_PREFIX
from accel_scaling.errors import AskingError
from accel_scaling.families.registry import family_of
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from accel_scaling.accs.types import AcceleratorTypes

# The options that `ray_options` may write; a request that replaces another removes those that it does not write.
WRITES = ("num_gpus", "resources", "accelerator_type", "label_selector", "fallback_strategy")


@dataclass(frozen=True)
class AccRequest:
    """The accelerators that a task asks for.

    Attributes:
        num_accs: how many units of the family's resource; None where it asks for a type only.
        types: accelerator types, the best first; empty for any type.
    """

    num_accs: float | None = None
    types: tuple[str, ...] = ()

    @property
    def untyped(self) -> bool:
        """True where the cluster decides which family is meant; 0 accelerators are of no family."""
        return bool(self.num_accs) and not self.types

    @property
    def by_cluster(self) -> bool:
        """True where the options depend on the cluster: on its families, or on its autoscaler."""
        return self.untyped or len(self.types) > 1

    def changed(self, changes: Mapping[str, Any]) -> AccRequest:
        """Return the request with `num_accs` and `accelerator_type` of ``changes``, where it has them."""
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
            f"accelerator_type={shown(accelerator_type)} is not an accelerator type; name one, or a list of "
            "them, the best first"
        )
    return tuple(dict.fromkeys(names))


def ray_options(
    request: AccRequest, resource: str, others: Mapping[str, Any], accelerators: AcceleratorTypes
) -> dict[str, Any]:
    """Return the options for `ray.remote` or `.options()`.

    Args:
        request: the accelerators.
        resource: the Ray resource of the accelerators' family.
        others: all other options that the user gave; they pass through.
        accelerators: the accelerator types of this machine's catalog.

    Raises:
        AskingError: another option asks for the same accelerators.
    """
    options = dict(others)
    if request.num_accs is not None and resource:
        _count(options, request.num_accs, resource)
    if len(request.types) == 1:
        options["accelerator_type"] = request.types[0]
    elif request.types:
        _prefer(options, request.types, accelerators)
    return options


def bundle_of(request: AccRequest, resource: str, others: Mapping[str, float]) -> dict[str, float]:
    """Return the request as one bundle of a placement group: resources only.

    Raises:
        AskingError: a list of types, which a bundle cannot choose from; or a resource that is given twice.
    """
    if len(request.types) > 1:
        raise AskingError(
            f"a placement group's bundle takes one accelerator_type, not a list ({', '.join(request.types)}); Ray "
            "has no fallback for bundles"
        )
    if resource and resource in others:
        raise AskingError(f"num_accs and {resource} both set the number of accelerators; remove one of them")
    counted = {resource: request.num_accs} if request.num_accs is not None and resource else {}
    # Ray's small amount: up to 1,000 tasks share a node's one unit of a type.
    types = {ACCELERATOR_TYPE_PREFIX + name: ACCELERATOR_TYPE_AMOUNT for name in request.types}
    return {**others, **counted, **types}


def _count(options: dict[str, Any], num_accs: float, resource: str) -> None:
    key = "num_gpus" if resource == "GPU" else "resources"
    given = options.get(key) or {}
    if (resource == "GPU" and given) or (key == "resources" and resource in given):
        other_option = "num_gpus" if resource == "GPU" else f"resources={{{shown(resource)}: ...}}"
        raise AskingError(f"num_accs and {other_option} both set the number of accelerators; remove one of them")
    if num_accs == 0 and _refuses_zero(resource):
        return
    options[key] = num_accs if resource == "GPU" else {**given, resource: num_accs}


def _refuses_zero(resource: str) -> bool:
    # Ray's TPU manager takes a few numbers only (TPU_VALID_CHIP_OPTIONS), and 0 is none of them; every other manager
    # takes 0. A task without the resource gets no device either, so 0 means the same for all families.
    family = family_of(resource)
    return family is not None and bool(family.quantities) and 0 not in family.quantities


def _prefer(options: dict[str, Any], types: Sequence[str], accelerators: AcceleratorTypes) -> None:
    """Ask for a node of the first type; for one of the next type where that is not available, and so on."""
    if options.get("fallback_strategy"):
        raise AskingError(
            "a list of accelerator types becomes Ray's fallback_strategy, and you also give one; name one "
            "accelerator_type, or write the label selectors of all choices yourself"
        )
    if len(types) > 1 and not versions.has("fallback_strategy"):
        raise AskingError(versions.needs_newer("fallback_strategy", "a list of accelerator types") + ", or name one")
    given = options.get("label_selector") or {}
    for name in types:
        if given.get(accelerators.types[name].label, name) != name:
            raise AskingError(
                f"label_selector[{shown(accelerators.types[name].label)}] contradicts accelerator_type; "
                "remove one of them"
            )
    # Ray's fallbacks take label selectors and no resources: so the first choice is a label too.
    first, *rest = [{**given, accelerators.types[name].label: name} for name in types]
    options["label_selector"] = first
    options["fallback_strategy"] = [{"label_selector": selector} for selector in rest]


def check_number(num_accs: float, resource: str) -> None:
    """Refuse a number of accelerators that Ray would refuse, or would leave pending for ever.

    Args:
        num_accs: how many units of the resource a task asks for.
        resource: the Ray resource; one that no family has is given in any parts, as Ray does.

    Raises:
        AskingError: one sentence with the possible numbers.
    """
    # In Python a bool is a number: True would be one accelerator.
    if isinstance(num_accs, bool) or not isinstance(num_accs, int | float) or not -math.inf < num_accs < math.inf:
        raise AskingError(f"num_accs={shown(num_accs)} is not a number of accelerators; ask for 1, 2, ...")
    if num_accs < 0:
        raise AskingError(f"num_accs={num_accs} is negative; ask for 0, 1, 2, ...")
    family = family_of(resource)
    if family and family.quantities and num_accs not in (0, *family.quantities):
        numbers = ", ".join(map(str, family.quantities))
        raise AskingError(f"num_accs={num_accs}: a task can have {numbers} of the {resource} chips of a host")
    if float(num_accs).is_integer():
        return
    if family and not family.shared:
        raise AskingError(
            f"num_accs={num_accs}: a {family.unit or resource} is not shared between tasks; ask for "
            f"{math.ceil(num_accs)}, or another whole number"
        )
    if num_accs > 1:
        raise AskingError(
            f"num_accs={num_accs}: above 1, Ray accepts whole numbers only; ask for {math.floor(num_accs)} or "
            f"{math.ceil(num_accs)}"
        )
