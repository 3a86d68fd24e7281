"""The words that examples and starter files have in the place of the user's own: with them nothing can be launched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.errors import ClusterConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = "your-project-id"
AWS_IMAGE = "ami-of-your-own"
GCP_IMAGE = f"projects/{PROJECT}/global/images/your-image"

_MEANT = {PROJECT: "the id of your Google Cloud project", AWS_IMAGE: "an image's id", GCP_IMAGE: "your image"}


def check_filled_in(config: dict[str, Any]) -> None:
    """Refuse a cluster config in which a placeholder is left.

    Raises:
        ClusterConfigError: names the first one's key.
    """
    for where, value in _texts(config, ""):
        if value in _MEANT:
            raise ClusterConfigError(f"{where} is still {value!r}, as the example has it; write {_MEANT[value]} there")


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Yield every text below a value with its place, as ``available_node_types.head.node_config.ImageId``."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, f"{where}[{number}]")
