"""Demands in Ray's form: requests of resources, with their label selectors, and placement groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from accel_scaling._ray import versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# A label selector: for each key whether it is negated, and the values.
Selector = tuple[tuple[str, bool, tuple[str, ...]], ...]

_GROUP = "_PG_"  # kPlacementGroupConstraintKeyPrefix, src/ray/common/constants.h


def resource_request(
    resources: Mapping[str, float], selectors: Sequence[Selector] = (), group: tuple[str, str] | None = None
) -> Any:
    """Return a request in Ray's form.

    Args:
        resources: what it asks for.
        selectors: label selectors, the best first.
        group: a placement group's strategy, and its name, where the strategy is a strict one.
    """
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.common_pb2 import LabelSelectorOperator as Operator

    kinds = ResourceRequestUtil.PlacementConstraintType
    strict = {"STRICT_SPREAD": kinds.ANTI_AFFINITY, "STRICT_PACK": kinds.AFFINITY}
    # PACK and SPREAD are wishes, which the autoscaler does not see: only the strict strategies become constraints.
    constraints = [(strict[group[0]], _GROUP + group[1], "")] if group and group[0] in strict else []
    operators = (Operator.LABEL_OPERATOR_IN, Operator.LABEL_OPERATOR_NOT_IN)
    written = [[(key, operators[negated], list(values)) for key, negated, values in selector] for selector in selectors]
    return ResourceRequestUtil.make(dict(resources), constraints, written)


def gang_request(requests: Iterable[Any]) -> Any:
    """Return a placement group in Ray's form."""
    from ray.core.generated.autoscaler_pb2 import GangResourceRequest

    gang = GangResourceRequest()
    # Ray 2.50 has the newer field, and its scheduler reads the older one only: the group would be empty silently.
    has_selectors = versions.has("bundle_selectors")
    bundles = gang.bundle_selectors.add().resource_requests if has_selectors else gang.requests
    bundles.extend(requests)
    return gang


def requests_of_gang(gang: Any) -> list[Any]:
    """Return the requests of a placement group."""
    # As Ray's scheduler reads it: the first selector only; older senders fill the legacy field `requests` instead.
    return list(gang.bundle_selectors[0].resource_requests if gang.bundle_selectors else gang.requests)


class ReadRequest(NamedTuple):
    """A request's resources and label selectors; the strategy and name of its placement group, where that is strict."""

    resources: dict[str, float]
    selectors: tuple[Selector, ...]
    strategy: str
    group: str


def read_request(request: Any) -> ReadRequest:
    """Return what a request asks for."""
    from ray.core.generated.common_pb2 import LabelSelectorOperator as Operator

    selectors = tuple(
        tuple(
            (label.label_key, label.operator == Operator.LABEL_OPERATOR_NOT_IN, tuple(label.label_values))
            for label in selector.label_constraints
        )
        for selector in request.label_selectors
    )
    strategy = group = ""
    for constraint in request.placement_constraints:
        spread = constraint.HasField("anti_affinity")
        strategy = "STRICT_SPREAD" if spread else "STRICT_PACK"
        group = (constraint.anti_affinity if spread else constraint.affinity).label_name.removeprefix(_GROUP)
    return ReadRequest(dict(request.resources_bundle), selectors, strategy, group)


def key_of(message: Any) -> bytes:
    """Return a key that is equal for equal requests and placement groups."""
    # Deterministic: protobuf may write the same map, as the resources are one, in another order each time.
    key: bytes = message.SerializeToString(deterministic=True)
    return key


def label_selector_error(selector: Mapping[str, str]) -> str | None:
    """Return Ray's sentence about a label selector that it would refuse."""
    from ray._private.label_utils import validate_label_selector

    sentence: str | None = validate_label_selector(dict(selector))
    return sentence
