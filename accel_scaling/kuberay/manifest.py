"""Reads the Ray manifests of a file: their groups, the devices in the limits, and what the user promises of a group."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from accel_scaling.catalog.kubernetes import DeviceResource, device_resources
from accel_scaling.errors import ClusterConfigError
from accel_scaling.inputs.bounds import LONGEST_NUMBER
from accel_scaling.inputs.json_text import NotJsonError, loads
from accel_scaling.kuberay import yaml_text as yt
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    import yaml

# The path of the cluster in each kind of manifest (KubeRay, apis/ray/v1).
CLUSTER_OF = {"RayCluster": ("spec",), "RayJob": ("spec", "rayClusterSpec"), "RayService": ("spec", "rayClusterConfig")}
GROUP_API = "ray.io"
# The old API has no group-level `resources` and `labels`, whatever the operator's version.
OLD_API = "ray.io/v1alpha1"
# rayStartParams that KubeRay 1.5 refuses together with `resources`, and their names in `resources` (validation.go).
PARAMS = {"num-cpus": "CPU", "num-gpus": "GPU", "memory": "memory"}
CUSTOM = "resources"
LABELS = "labels"
# The form of Kubernetes (apimachinery, pkg/api/resource/quantity.go), without negative values, which no limit has.
_QUANTITY = re.compile(r"\+?(?P<number>\d+(?:\.\d*)?|\.\d+)(?P<suffix>[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,3})?")
_SUFFIXES = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = "KMGTPE"
_MOST = Decimal(2) ** 80  # far above the 2**63 to which Kubernetes cuts a quantity down


@dataclass(frozen=True)
class Group:
    """One group of pods: the head's, or a worker group.

    Attributes:
        manifest: the kind and the name of its manifest, for messages.
        name: ``headgroup``, as Ray calls it, or its ``groupName``.
        is_head: whether it is the head group.
        node: its mapping.
        key: its key; None for an item of a list.
        api: the manifest's ``apiVersion``.
        shared: ids of the nodes of its document that an anchor puts into several places.
    """

    manifest: str
    name: str
    is_head: bool
    node: yaml.Node
    key: yaml.Node | None
    api: str
    shared: frozenset[int]

    @property
    def line(self) -> int:
        """Its first line, counted from 1."""
        return yt.line(self.key or self.node)

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"{self.manifest}, {'head group' if self.is_head else f'group {self.name}'}"

    @property
    def pod(self) -> yaml.Node | None:
        """The pod's spec."""
        return yt.at(self.node, "template", "spec")

    @property
    def container(self) -> yaml.Node | None:
        """The container that Ray runs in: the first one."""
        return next(iter(yt.items(yt.at(self.pod, "containers"))), None)

    @property
    def params(self) -> dict[str, str]:
        """Its ``rayStartParams``."""
        return yt.words(yt.at(self.node, "rayStartParams"))

    @property
    def hosts(self) -> int:
        """The number of pods of one replica: ``numOfHosts``, which ``validation.wrong_types`` must have passed."""
        return int(yt.word(yt.at(self.node, "numOfHosts")) or "1")

    def limits(self, key: str = "limits") -> dict[str, tuple[int, str]]:
        """Return the container's limits, or its ``requests``: name -> line and quantity."""
        entries = yt.pairs(yt.at(self.container, "resources", key))
        return {
            name: (yt.line(name_node), text)
            for name, (name_node, value) in entries.items()
            if (text := yt.word(value)) is not None
        }


def groups(text: str, file: str) -> list[Group]:
    """Return the groups of every Ray manifest in a file.

    Args:
        text: the file's text; a byte-order mark is not counted.
        file: its name, for the errors.

    Raises:
        ClusterConfigError: it is not YAML, or has no Ray manifest, or an incomplete one; the text has the line.
    """
    text = text.removeprefix(yt.BOM)
    roots = [item for root in yt.documents(text, file) for item in _objects(root)]
    all_groups = [group for root in roots if _is_ray(root) for group in _groups(root, file)]
    if any(map(_is_ray, roots)):
        return all_groups
    kinds = [f"{yt.word(yt.at(root, 'kind')) or 'no kind'} in line {yt.line(root)}" for root in roots]
    raise ClusterConfigError(
        f"{file}:{yt.line(roots[0]) if roots else 1}: has no {', '.join(CLUSTER_OF)} of {GROUP_API}; "
        f"it has {', '.join(kinds) or 'nothing'}"
    )


def _objects(root: yaml.Node) -> list[yaml.Node]:
    """Return a document's objects: itself, or the items of a List, as `kubectl get -o yaml` prints it."""
    return yt.items(yt.at(root, "items")) if yt.word(yt.at(root, "kind")) == "List" else [root]


def _is_ray(root: yaml.Node) -> bool:
    api = yt.word(yt.at(root, "apiVersion")) or ""
    return api.partition("/")[0] == GROUP_API and yt.word(yt.at(root, "kind")) in CLUSTER_OF


def _groups(root: yaml.Node, file: str) -> list[Group]:
    manifest_kind, api = yt.word(yt.at(root, "kind")) or "", yt.word(yt.at(root, "apiVersion")) or ""
    title = f"{manifest_kind} {yt.word(yt.at(root, 'metadata', 'name')) or 'without a name'}"
    cluster, path = yt.at(root, *CLUSTER_OF[manifest_kind]), ".".join(CLUSTER_OF[manifest_kind])
    if cluster is None and manifest_kind == "RayJob" and yt.at(root, "spec", "clusterSelector") is not None:
        return []  # it runs on a cluster of another manifest
    head_key, head = yt.pairs(cluster).get("headGroupSpec", (None, None))
    if head is None or not yt.pairs(head):
        line = yt.line(head_key or cluster or root)
        raise ClusterConfigError(f"{file}:{line}: {title} has no {path}.headGroupSpec with keys in it")
    shared = yt.shared_nodes(root)
    all_groups = [Group(title, "headgroup", True, head, head_key, api, shared)]  # noqa: FBT003 - a field with a name
    for number, node in enumerate(yt.items(yt.at(cluster, "workerGroupSpecs"))):
        name = yt.word(yt.at(node, "groupName"))
        if not name:
            raise ClusterConfigError(f"{file}:{yt.line(node)}: {title}: workerGroupSpecs[{number}] has no groupName")
        all_groups.append(Group(title, name, False, node, None, api, shared))  # noqa: FBT003 - as above
    for group in all_groups:
        if not yt.pairs(group.container):
            raise ClusterConfigError(f"{file}:{group.line}: {group.title} has no template.spec.containers")
    return all_groups


@dataclass(frozen=True)
class Devices:
    """The devices that a pod gets.

    Attributes:
        name: the device plug-in's name for them, as in the limits.
        amount: the number of them; 0 where the limit is not a whole number.
        resource: the catalog's entry for the name.
        line: the line of the limit.
        text: the limit as it is written.
    """

    name: str
    amount: int
    resource: DeviceResource
    line: int
    text: str

    @property
    def mig_profile(self) -> str | None:
        """``1g.5gb`` of ``nvidia.com/mig-1g.5gb``."""
        return self.name.partition("/mig-")[2] or None


def devices_of(group: Group, key: str = "limits") -> list[Devices]:
    """Return the devices in a group's limits (or ``requests``), without limits of 0."""
    devices = [
        Devices(name, whole(text) or 0, resource, line, text)
        for name, (line, text) in group.limits(key).items()
        if (resource := known_device(name))
    ]
    return [device for device in devices if whole(device.text) != 0]


def known_device(name: str) -> DeviceResource | None:
    """Return the catalog's entry for a device plug-in's name, None where there is none."""
    return next((resource for resource in device_resources() if resource.matches(name)), None)


def amount(text: str) -> Decimal | None:
    """Return the value of a quantity (``4``, ``"16Gi"``, ``500m``), None where it is not one."""
    match = _QUANTITY.fullmatch(text.strip()) if len(text) <= LONGEST_NUMBER else None
    if not match:
        return None
    # Exact, as no float is: requests and limits are compared, and `0.7` must equal `700m`.
    number, suffix = Decimal(match["number"]), match["suffix"] or ""
    if suffix.endswith("i"):
        value = number * Decimal(1024) ** (_BINARY.index(suffix[0]) + 1)
    else:
        # `E` alone is the suffix exa; `E3` is an exponent.
        exponent = int(suffix[1:]) if len(suffix) > 1 else _SUFFIXES.get(suffix, 0)
        value = number.scaleb(exponent)
    return value if value < _MOST else None


def whole(text: str) -> int | None:
    """Return a quantity that is a whole number of 0 or more, None for any other."""
    number = amount(text)
    return int(number) if number is not None and number == number.to_integral_value() else None


@dataclass(frozen=True)
class UserValues:
    """The user's promise of a group.

    Attributes:
        resources: the group's ``resources``: names and quantities.
        labels: the group's ``labels``.
        params: from rayStartParams: the name in ``resources`` -> the quantity.
        param_labels: the labels in rayStartParams.
        wrong: why rayStartParams.resources or .labels cannot be read; empty where they can.
    """

    resources: dict[str, str]
    labels: dict[str, str]
    params: dict[str, str]
    param_labels: dict[str, str]
    wrong: str = ""

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
    custom, wrong = custom_resources(params.get(CUSTOM) or "")
    labels, wrong_labels = _labels(params.get(LABELS) or "")
    moved = {name: params[param] for param, name in PARAMS.items() if params.get(param)}
    return UserValues(
        resources=yt.words(yt.at(group.node, "resources")),
        labels=yt.words(yt.at(group.node, "labels")),
        params={**moved, **custom},
        param_labels=labels,
        wrong=wrong or wrong_labels,
    )


def custom_resources(text: str) -> tuple[dict[str, str], str]:
    """Return the resources of ``rayStartParams.resources``, and what is wrong with them.

    It is JSON in quotes for a shell, inside or outside escaped: ``'"{\\"a\\": 1}"'``.
    """
    if not text:
        return {}, ""
    try:
        resources = loads(text.strip().strip("'\"`").replace("\\", ""))
    except NotJsonError:
        resources = None
    amounts = resources.values() if isinstance(resources, dict) else [None]
    # Ray's autoscaler raises on any value that is no int, and then reads no group of the cluster.
    if any(isinstance(amount, bool) or not isinstance(amount, int) for amount in amounts):
        return {}, f"rayStartParams.resources is {shown(text)[1:-1]}, but Ray reads quoted JSON of whole numbers there"
    return {name: str(amount) for name, amount in resources.items()}, ""


def _labels(text: str) -> tuple[dict[str, str], str]:
    parts = [part.partition("=") for part in text.strip("\"'").split(",") if part.strip()]
    if any(not key.strip() or not sign or "=" in value for key, sign, value in parts):
        return {}, f"rayStartParams.labels is {shown(text)[1:-1]}, but Ray reads KEY=VALUE,KEY=VALUE there"
    return {key.strip(): value.strip() for key, _, value in parts}, ""
