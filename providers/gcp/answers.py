"""Checks that answers of Google's APIs have the expected form: a proxy may answer, or a connection may break."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.catalog.launch_errors import Category, Failure
from accel_scaling.message_text import shown
from accel_scaling.providers.gcp.calls import OperationFailedError, mappings

if TYPE_CHECKING:
    from collections.abc import Callable


class UnexpectedAnswerError(OperationFailedError):
    """An answer that is not what Google's API describes: a proxy's page, say, or half of it."""

    def __init__(self, what: str) -> None:
        text = f"the answer is not what Google's API describes: {what}"
        super().__init__(Failure(Category.UNAVAILABLE, "unexpected answer", text))


# What is read of a machine or slice: a key, and what its value must be.
_READ: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: isinstance(value, str) and bool(value),
    "labels": lambda value: isinstance(value, dict) and all(isinstance(label, str) for label in value.values()),
    "scheduling": lambda value: isinstance(value, dict),
    **dict.fromkeys(
        ("status", "state", "zone", "machineType", "labelFingerprint"), lambda value: isinstance(value, str)
    ),
    **dict.fromkeys(
        ("networkInterfaces", "networkEndpoints"),
        lambda value: isinstance(value, list) and len(mappings(value)) == len(value),
    ),
}


def described(item: Any) -> dict[str, Any]:
    """Return the description of a machine or slice, without what is empty in it.

    Raises:
        UnexpectedAnswerError: what is read of it is not of the form that the API describes.
    """
    if not isinstance(item, dict):
        raise UnexpectedAnswerError(f"a node is {shown(item)}")
    kept = {key: value for key, value in item.items() if value is not None}
    for key, fits in _READ.items():
        if key == "name" and key not in kept:
            raise UnexpectedAnswerError("a node has no name")
        if key in kept and not fits(kept[key]):
            raise UnexpectedAnswerError(f"{key} of a node is {shown(kept[key])}")
    for interface in kept.get("networkInterfaces", []):
        configs = interface.get("accessConfigs") or []
        if not isinstance(configs, list) or len(mappings(configs)) != len(configs):
            raise UnexpectedAnswerError(f"accessConfigs of a node are {shown(configs)}")
    return kept


def labels_to_keep(labels: dict[str, str], node_id: str) -> dict[str, str]:
    """Return the labels that a node has, to be written back with new ones.

    Raises:
        UnexpectedAnswerError: they lack one that each node of a cluster has: written back, it would be lost at Google,
            and no list of the cluster would find the node any more.
    """
    for key in (_ray.gcp_tags()[0], *_ray.gcp_reuse_tags()):
        if key not in labels:
            raise UnexpectedAnswerError(f"{node_id} has no label {key}")
    return labels


def named(operation: dict[str, Any]) -> str:
    """Return an operation's name.

    Raises:
        UnexpectedAnswerError: it has none.
    """
    name = operation.get("name")
    if not isinstance(name, str) or not name:
        raise UnexpectedAnswerError("an operation has no name")
    return name


def items_of(answer: dict[str, Any], key: str) -> list[Any]:
    """Return the items of one page of a list; none where the key is missing.

    Raises:
        UnexpectedAnswerError: they are no list.
    """
    items = answer.get(key) or []
    if not isinstance(items, list):
        raise UnexpectedAnswerError(f"{key} are {shown(items)}")
    return items
