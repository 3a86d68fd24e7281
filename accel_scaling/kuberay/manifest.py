"""Reads the Ray manifests of a file: their groups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from accel_scaling.cluster.other_files import is_cluster_file
from accel_scaling.errors import ClusterConfigError
from accel_scaling.kuberay.documents import documents
from accel_scaling.kuberay.group import Group
from accel_scaling.kuberay.sources import source_of_manifests
from accel_scaling.kuberay.templates import RENDER, is_open, note, shown
from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    import yaml

# The path of the cluster in each kind of manifest (KubeRay, apis/ray/v1). RayCronJob is there since KubeRay 1.6: its
# jobTemplate has the keys of a RayJob's spec.
CLUSTER_OF = {
    "RayCluster": ("spec",),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayService": ("spec", "rayClusterConfig"),
    "RayCronJob": ("spec", "jobTemplate", "rayClusterSpec"),
}
GROUP_API = "ray.io"
NEWEST_API = "ray.io/v1"
# The old API has no group-level `resources` and `labels`, whatever the operator's version.
OLD_API = "ray.io/v1alpha1"
_KIND = re.compile(rf"""(?:^|[\s{{,])["']?kind["']?\s*:\s*["']?(?:{"|".join(CLUSTER_OF)})\b""", re.MULTILINE)
_OF_CLUSTER_FILE = re.compile(r"^(?:provider|available_node_types)\s*:", re.MULTILINE)
_SERVED = re.compile(rf"{re.escape(GROUP_API)}/(v\d+|v1alpha1)")
# The API of Ray's own operator, before KubeRay (ray/python/ray/autoscaler/kubernetes, until Ray 1.12).
_FIRST_API = "cluster.ray.io"


def has_ray_manifest(text: str) -> bool:
    """Return whether a file is meant as manifests, and names a kind of Ray's among them; it is not parsed."""
    return _KIND.search(text) is not None and _OF_CLUSTER_FILE.search(text) is None


def groups(text: str, file: str) -> list[Group]:
    """Return the groups of every Ray manifest in a file.

    Args:
        text: the file's text; a byte-order mark is not counted.
        file: its name, for the errors.

    Raises:
        ClusterConfigError: it is not YAML, or has no Ray manifest, or an incomplete one; the text has the line.
    """
    text = text.removeprefix(yt.BOM)
    roots = [item for root in documents(text, file) for item in _objects(root)]
    all_groups = [group for root in roots if _is_ray(root) for group in _groups(root, file)]
    if any(map(_is_ray, roots)):
        return all_groups
    if wrong := next((root for root in roots if yt.word(yt.at(root, "kind")) in CLUSTER_OF), None):
        raise ClusterConfigError(f"{file}:{yt.line(wrong)}: {_other_api(wrong)}")
    if left_open := next((kind for root in roots if is_open(kind := yt.at(root, "kind"))), None):
        raise ClusterConfigError(f"{file}:{yt.line(left_open)}: {note([f'kind: {shown(left_open)}'])}")
    if cluster := next((root for root in roots if is_cluster_file(yt.pairs(root))), None):
        raise ClusterConfigError(
            f"{file}:{yt.line(cluster)}: this is a cluster file of `ray up`, not a manifest; give it to "
            "`accel-scaling fill`"
        )
    for root in roots:
        if sentence := source_of_manifests(root):
            raise ClusterConfigError(f"{file}:{yt.line(root)}: {sentence}")
    if not any(yt.word(yt.at(root, "kind")) for root in roots):
        line = yt.line(roots[0]) if roots else 1
        raise ClusterConfigError(f"{file}:{line}: this is not a Kubernetes manifest: it has no `kind`")
    kinds = [f"{yt.word(yt.at(root, 'kind')) or 'no kind'} in line {yt.line(root)}" for root in roots]
    raise ClusterConfigError(
        f"{file}:{yt.line(roots[0])}: has no {', '.join(CLUSTER_OF)} of {GROUP_API}; it has {', '.join(kinds)}"
    )


def _objects(root: yaml.Node) -> list[yaml.Node]:
    """Return a document's objects: itself, or the items of a List, as `kubectl get -o yaml` prints it."""
    return yt.items(yt.at(root, "items")) if yt.word(yt.at(root, "kind")) == "List" else [root]


def _is_ray(root: yaml.Node) -> bool:
    api = yt.word(yt.at(root, "apiVersion")) or ""
    return _SERVED.fullmatch(api) is not None and yt.word(yt.at(root, "kind")) in CLUSTER_OF


def _other_api(root: yaml.Node) -> str:
    """Say which apiVersion a manifest has, and what to write."""
    kind, node = yt.word(yt.at(root, "kind")) or "", yt.at(root, "apiVersion")
    api = shown(node) if is_open(node) else yt.word(node) or ""
    if is_open(node):
        return note([f"apiVersion: {api}"])
    has = f"the {kind} has apiVersion: {api}" if api else f"the {kind} has no apiVersion"
    if api.partition("/")[0] == _FIRST_API:
        return (
            f"{has}, of an operator that was used before KubeRay, and is no longer in use; write apiVersion: "
            f"{NEWEST_API}, "
            "and headGroupSpec and workerGroupSpecs in place of podTypes"
        )
    return f"{has}; write apiVersion: {NEWEST_API}, KubeRay's"


def _groups(root: yaml.Node, file: str) -> list[Group]:
    manifest_kind, api = yt.word(yt.at(root, "kind")) or "", yt.word(yt.at(root, "apiVersion")) or ""
    name_of = yt.at(root, "metadata", "name")
    title = f"{manifest_kind} {shown(name_of) if is_open(name_of) else yt.word(name_of) or 'without a name'}"
    *parents, _ = keys = CLUSTER_OF[manifest_kind]
    cluster, path = yt.at(root, *keys), ".".join(keys)
    if cluster is None and "Job" in manifest_kind and yt.at(root, *parents, "clusterSelector") is not None:
        return []  # the job runs on a cluster of another manifest
    head_key, head = yt.pairs(cluster).get("headGroupSpec", (None, None))
    if cluster is None or head is None or not yt.pairs(head):
        line = yt.line(head_key or cluster or root)
        advice = f"; {RENDER}" if is_open(head) or is_open(cluster) or is_open(yt.at(root, "spec")) else ""
        raise ClusterConfigError(f"{file}:{line}: {title} has no {path}.headGroupSpec with keys in it{advice}")
    workers = yt.at(cluster, "workerGroupSpecs")
    if workers is not None and is_open(workers):
        raise ClusterConfigError(
            f"{file}:{yt.line(workers)}: {title}: workerGroupSpecs is still a placeholder of a template: {RENDER}"
        )
    shared = yt.shared_nodes(root)
    all_groups = [Group(title, "headgroup", True, head, head_key, api, shared, cluster)]  # noqa: FBT003 - a field with a name
    for number, node in enumerate(yt.items(workers)):
        name_node = yt.at(node, "groupName")
        name = shown(name_node) if is_open(name_node) else yt.word(name_node)
        if not name:
            advice = f"; {RENDER}" if is_open(node) else ""
            place = f"{file}:{yt.line(node)}: {title}"
            raise ClusterConfigError(f"{place}: workerGroupSpecs[{number}] has no groupName{advice}")
        all_groups.append(Group(title, name, False, node, None, api, shared, cluster))  # noqa: FBT003 - as above
    for group in all_groups:
        if not yt.pairs(group.container):
            holders = (yt.at(group.node, "template"), group.pod, yt.at(group.pod, "containers"), group.container)
            advice = f"; {RENDER}" if any(map(is_open, holders)) else ""
            raise ClusterConfigError(f"{file}:{group.line}: {group.title} has no template.spec.containers{advice}")
    return all_groups
