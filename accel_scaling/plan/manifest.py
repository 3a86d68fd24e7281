"""One manifest of KubeRay in a file: chosen by name, checked, and in the form that Ray's autoscaler reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.errors import ClusterConfigError, PlanError
from accel_scaling.inputs.yaml_nodes import NotYamlError, construct
from accel_scaling.kuberay.manifest import groups
from accel_scaling.kuberay.templates import RENDER_FIRST, is_open, shown
from accel_scaling.kuberay.user_values import CUSTOM, LABELS, PARAMS, user_values
from accel_scaling.kuberay.validation import wrong_types
from accel_scaling.message_text import listed
from accel_scaling.message_text import shown as shown_text
from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    from collections.abc import Sequence

    import yaml

    from accel_scaling.kuberay.group import Group

# The defaults of the schema (KubeRay, apis/ray/v1/raycluster_types.go): the API server fills them in.
_DEFAULTS = {"replicas": 0, "minReplicas": 0, "maxReplicas": 2**31 - 1, "numOfHosts": 1}
# The keys of a group that Ray's autoscaler reads, besides the pod's.
_KEYS = (*_DEFAULTS, "groupName", "idleTimeoutSeconds", "priority", "rayStartParams", "resources", "labels")
_GROUP_FIELDS = ("resources", "labels")


@dataclass(frozen=True)
class Manifest:
    """One RayCluster, RayJob, RayService or RayCronJob of a file.

    Attributes:
        text: the file's text.
        file: its name, for messages.
        title: kind and name.
        groups: its groups, the head's first.
        others: how many other Ray manifests the file has.
    """

    text: str
    file: str
    title: str
    groups: tuple[Group, ...]
    others: int = 0


def read_manifest(text: str, file: str, name: str | None = None) -> Manifest:
    """Return the manifest of a file, or the one of this name.

    Args:
        text: the file's text.
        file: its name, for messages.
        name: of the manifest, as ``demo`` or ``RayCluster/demo``; None where the file has one.

    Raises:
        ClusterConfigError: the file has no such manifest, or several; or a value has the wrong type, or is left open by
            a template. The text has the line.
    """
    by_cluster: dict[int, list[Group]] = {}
    for group in groups(text, file):
        by_cluster.setdefault(id(group.cluster), []).append(group)
    chosen = _chosen(list(by_cluster.values()), file, name)
    for group in chosen:
        _check(group, file)
    return Manifest(text, file, chosen[0].manifest, tuple(chosen), len(by_cluster) - 1)


def _chosen(clusters: Sequence[list[Group]], file: str, name: str | None) -> list[Group]:
    if not clusters:
        raise ClusterConfigError(
            f"{file}: the job runs on a cluster of another manifest (clusterSelector); give the plan that one"
        )
    titles = [cluster[0].manifest for cluster in clusters]
    places = listed([f"{cluster[0].manifest} (line {cluster[0].line})" for cluster in clusters])
    if name is None:
        if len(clusters) > 1:
            raise ClusterConfigError(f"{file} has {places}; choose one with --name, such as --name {_name(titles[0])}")
        return clusters[0]
    wanted = name.replace("/", " ")
    found = [cluster for cluster, title in zip(clusters, titles, strict=True) if wanted in (title, _name(title))]
    if len(found) != 1:
        why = "none has this name" if not found else "several have this name; write KIND/NAME"
        raise PlanError(f"--name {shown_text(name)}: {file} has {places}; {why}")
    return found[0]


def _name(title: str) -> str:
    return title.partition(" ")[2]


def _check(group: Group, file: str) -> None:
    """Refuse what Kubernetes or Ray's autoscaler would refuse, and what a template leaves open."""
    wrong = next(iter(wrong_types(group)), None)
    if wrong:
        raise ClusterConfigError(f"{file}:{wrong.line}: {wrong.text}")
    for place, node in _read_nodes(group):
        if left_open := _open_node(node):
            raise ClusterConfigError(
                f"{file}:{yt.line(left_open)}: {group.title}: {place} is left open by a template "
                f"({shown(left_open)}): {RENDER_FIRST}, then plan it"
            )
    if trouble := user_values(group).wrong:
        raise ClusterConfigError(f"{file}:{group.line}: {group.title}: {trouble}")
    least, most = (number(group, key) for key in ("minReplicas", "maxReplicas"))
    if not group.is_head and least > most:
        raise ClusterConfigError(
            f"{file}:{group.line}: {group.title}: minReplicas is {least}, and maxReplicas {most}; write a larger "
            "maxReplicas"
        )


def _read_nodes(group: Group) -> list[tuple[str, yaml.Node]]:
    """Return what Ray's autoscaler reads of a group, each with its place."""
    nodes = [(key, yt.at(group.node, key)) for key in _KEYS if key != "rayStartParams"]
    # A shell of the pod reads the others, and there `$HOME` is no placeholder of a template.
    nodes += [(f"rayStartParams.{key}", yt.at(group.node, "rayStartParams", key)) for key in (*PARAMS, CUSTOM, LABELS)]
    nodes += [("nodeSelector", yt.at(group.pod, "nodeSelector")), ("resources", yt.at(group.container, "resources"))]
    return [(key, node) for key, node in nodes if node is not None]


def _open_node(node: yaml.Node) -> yaml.Node | None:
    """Return the first value in a node that a template leaves open; None where none is."""
    if is_open(node):
        return node
    for key_node, value in yt.pairs(node).values():
        if found := key_node if is_open(key_node) else _open_node(value):
            return found
    return None


def number(group: Group, key: str) -> int:
    """Return a number of a worker group, or its default."""
    text = yt.word(yt.at(group.node, key))
    return _DEFAULTS[key] if text is None else int(text)


def config_of(manifest: Manifest) -> dict[str, Any]:
    """Return what Ray's autoscaler makes of a manifest.

    Raises:
        ClusterConfigError: it cannot read a group.
    """
    head, *workers = manifest.groups
    options = yt.at(head.cluster, "autoscalerOptions")
    spec = {"headGroupSpec": _spec(head), "workerGroupSpecs": [_spec(group) for group in workers]}
    try:
        if options is not None:
            spec["autoscalerOptions"] = construct(options)
        return _ray.kuberay_config(spec)
    except _ray.UnreadableGroupError as error:
        group = next(group for group in manifest.groups if group_name(group) == error.group)
        raise ClusterConfigError(
            f"{manifest.file}:{group.line}: {group.title}: Ray's autoscaler cannot read it, and then launches nothing: "
            f"{error}"
        ) from None


def _spec(group: Group) -> dict[str, Any]:
    """Return what Ray's autoscaler reads of a group, in the API server's form."""
    # An older Ray in the image reads neither, whatever Ray is installed here.
    left_out = () if group.autoscalers_ray.reads_fields else _GROUP_FIELDS
    values: dict[str, Any] = {} if group.is_head else dict(_DEFAULTS)
    try:
        for key in _KEYS:
            node = yt.at(group.node, key)
            if node is not None and key not in left_out:
                values[key] = _without_nulls(construct(node))
        pod = {"nodeSelector": yt.at(group.pod, "nodeSelector"), "resources": yt.at(group.container, "resources")}
        selector, resources = (_without_nulls(construct(node)) if node else {} for node in pod.values())
    except NotYamlError as error:
        raise ClusterConfigError(f"{group.title}: {error.problem}") from None
    values["template"] = {"spec": {"nodeSelector": selector, "containers": [{"resources": resources}]}}
    return values


def _without_nulls(value: Any) -> Any:
    """Return a value without the entries that are null: the API server drops them."""
    if not isinstance(value, dict):
        return value
    return {key: _without_nulls(entry) for key, entry in value.items() if entry is not None}


def group_name(group: Group) -> str:
    """Return the name of a group as a node type."""
    return _ray.HEAD_GROUP if group.is_head else group.name
