"""Reads the Ray manifests of a file, and their groups, of which the operator makes pods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.errors import ClusterConfigError
from accel_scaling.kuberay import yaml_text as yt

if TYPE_CHECKING:
    import yaml

# The path of the cluster in each kind of manifest (KubeRay, apis/ray/v1).
CLUSTER_OF = {"RayCluster": ("spec",), "RayJob": ("spec", "rayClusterSpec"), "RayService": ("spec", "rayClusterConfig")}
GROUP_API = "ray.io"
# The old API has no group-level `resources` and `labels`, whatever the operator's version.
OLD_API = "ray.io/v1alpha1"


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
        where: the file, for the errors.

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
