"""Names that Google takes: tags as label values and back, and names of instances from names of clusters.

A label value holds up to 63 of lower-case letters, digits, `_` and `-`; a key begins with a letter
(docs.cloud.google.com/compute/docs/labeling-resources). Ray's tags hold what users write: `ray.worker.gpu`. A value
that Google takes stays as it is; any other is written as `x--` and its text, each other character as `_` and two hex
digits of its UTF-8 bytes: `x--ray_2eworker_2egpu`. That can be read back, so nothing is lost.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LABEL = 63
MAX_NAME = 63  # of an instance, docs.cloud.google.com/compute/docs/naming-resources; TPU nodes are the same

_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_CHARACTERS = re.compile(r"[a-z0-9_-]*")
_ENCODED = re.compile(r"x--(?:[a-z0-9-]|_[0-9a-f]{2})*")
_MARK = "x--"


def valid_key(key: str) -> bool:
    """Say whether Google takes this as a label's key."""
    return _KEY.fullmatch(key) is not None


def valid_value(value: str) -> bool:
    """Say whether Google takes this as a label's value."""
    return _VALUE.fullmatch(value) is not None


def is_plain(value: str) -> bool:
    """Say whether a tag's value is a label's as it is, of whatever length."""
    return _CHARACTERS.fullmatch(value) is not None and not value.startswith(_MARK)


def to_label(value: str) -> str:
    """Return a tag's value as a label's; longer than Google takes where the value is long."""
    if is_plain(value):
        return value
    return _MARK + "".join(
        char if re.fullmatch(r"[a-z0-9-]", char) else "".join(f"_{byte:02x}" for byte in char.encode())
        for char in value
    )


def from_label(value: str) -> str:
    """Return the tag's value that to_label() wrote; a label that it did not write comes back as it is."""
    if not _ENCODED.fullmatch(value):
        return value
    data = re.sub(rb"_([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), value[len(_MARK) :].encode())
    try:
        return data.decode()
    except UnicodeDecodeError:
        return value


def to_labels(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags as labels."""
    return {key: to_label(value) for key, value in tags.items()}


def from_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels as tags."""
    return {key: from_label(value) for key, value in labels.items()}


def new_name(node_name: str, kind: str) -> str:
    """Return a new machine's name, such as `ray-mine-worker-1a2b3c4d-compute`; Ray reads the kind at its end.

    Shortened and with dashes where Google takes no more: the label with the node's name has all of it.
    """
    ending = f"-{uuid.uuid4().hex[:8]}-{kind}"
    begin = re.sub(r"[^a-z0-9-]", "-", node_name.lower())[: MAX_NAME - len(ending)].strip("-")
    return (begin if begin[:1].isalpha() else f"ray-{begin}"[: MAX_NAME - len(ending)].rstrip("-")) + ending
