"""What the user promises of a group: in its ``resources`` and ``labels``, and in ``rayStartParams``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling.inputs.json_text import NotJsonError, loads
from accel_scaling.kuberay.group import texts_of
from accel_scaling.kuberay.templates import is_open_text
from accel_scaling.message_text import shown
from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    from accel_scaling.kuberay.group import Group

# rayStartParams that KubeRay 1.5 refuses together with `resources`, and their names in `resources` (validation.go).
PARAMS = {"num-cpus": "CPU", "num-gpus": "GPU", "memory": "memory"}
CUSTOM = "resources"
LABELS = "labels"


@dataclass(frozen=True)
class UserValues:
    """The user's promise of a group.

    Attributes:
        resources: the group's ``resources``: names and quantities.
        labels: the group's ``labels``.
        params: from rayStartParams: the name in ``resources`` -> the quantity.
        param_labels: the labels in rayStartParams.
        wrong: why rayStartParams.resources or .labels cannot be read; empty where they can.
        left_open: which of the two a template leaves open; empty where none is.
    """

    resources: dict[str, str]
    labels: dict[str, str]
    params: dict[str, str]
    param_labels: dict[str, str]
    wrong: str = ""
    left_open: str = ""

    @property
    def all_resources(self) -> dict[str, str]:
        """The resources that Ray's autoscaler counts: ``resources`` takes precedence over rayStartParams."""
        return {**self.params, **self.resources}

    @property
    def all_labels(self) -> dict[str, str]:
        """The group's labels, those of rayStartParams included."""
        return {**self.param_labels, **self.labels}


def user_values(group: Group) -> UserValues:
    """Return the user's promise of a group."""
    params = group.params
    texts = {name: params.get(name) or "" for name in (CUSTOM, LABELS)}
    left_open = [name for name, text in texts.items() if is_open_text(text)]
    custom, wrong = custom_resources("" if CUSTOM in left_open else texts[CUSTOM])
    labels, wrong_labels = _labels("" if LABELS in left_open else texts[LABELS])
    moved = {name: params[param] for param, name in PARAMS.items() if params.get(param)}
    return UserValues(
        resources=texts_of(yt.at(group.node, "resources")),
        labels=texts_of(yt.at(group.node, "labels")),
        params={**moved, **custom},
        param_labels=labels,
        wrong=wrong or wrong_labels,
        left_open=f"rayStartParams.{left_open[0]}" if left_open else "",
    )


def custom_resources(text: str) -> tuple[dict[str, str], str]:
    """Return the resources of ``rayStartParams.resources``, and what is wrong with them.

    It is JSON in quotes for a shell, inside or outside escaped: ``'"{\\"a\\": 1}"'``.
    """
    if not text:
        return {}, ""
    resources = _quoted_json(text)
    amounts = resources.values() if isinstance(resources, dict) else [None]
    # Ray's autoscaler raises on any value that is no int, and then reads no group of the cluster.
    if any(isinstance(amount, bool) or not isinstance(amount, int) for amount in amounts):
        return {}, f"rayStartParams.resources is {shown(text)[1:-1]}, but Ray reads quoted JSON of whole numbers there"
    return {name: str(amount) for name, amount in resources.items()}, ""


def _labels(text: str) -> tuple[dict[str, str], str]:
    if (in_json := _json_labels(text)) is not None:
        return in_json, ""
    parts = [part.partition("=") for part in text.strip("\"'").split(",") if part.strip()]
    if any(not key.strip() or not sign or "=" in value for key, sign, value in parts):
        return {}, f"rayStartParams.labels is {shown(text)[1:-1]}, but Ray reads KEY=VALUE,KEY=VALUE there"
    return {key.strip(): value.strip() for key, _, value in parts}, ""


def _json_labels(text: str) -> dict[str, str] | None:
    """Return labels in JSON, as Ray before 2.45 reads them, and newer ones still do; None for anything else."""
    labels = _quoted_json(text)
    is_text = isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values())
    return labels if is_text else None


def _quoted_json(text: str) -> Any:
    """Return what JSON in quotes for a shell holds; None where it is not JSON."""
    try:
        return loads(text.strip().strip("'\"`").replace("\\", ""))
    except NotJsonError:
        return None
