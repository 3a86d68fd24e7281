"""Files that are not a cluster file of `ray up`: recognized by their keys, with what takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling import documentation
from accel_scaling.message_text import listed, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

RAY_MANIFESTS = ("RayCluster", "RayJob", "RayService", "RayCronJob")
"""The kinds of manifest that KubeRay runs Ray by (KubeRay, apis/ray/v1)."""

_NO_CLUSTER_FILE = "not a cluster file of `ray up`"
# Of dstack's configurations (docs.dstack.ai, reference of .dstack.yml): the words of `type`.
_DSTACK = frozenset(("task", "service", "dev-environment", "fleet", "volume", "gateway"))


def other_file(config: Mapping[Any, Any]) -> str | None:
    """Return the sentence for a file of another program; None for what may be a cluster file.

    Args:
        config: what the file holds.
    """
    keys = set(config)
    if "provider" in keys or "available_node_types" in keys:
        return None
    if {"apiVersion", "kind"} <= keys:
        return of_manifest(config["kind"])
    return next((sentence for sentence in (_of_launcher(config, keys), _of_ray(config, keys)) if sentence), None)


def of_manifest(kind: object) -> str:
    """Return the sentence for a manifest of Kubernetes.

    Args:
        kind: what it says of itself.
    """
    manifest = f"this is a Kubernetes manifest (kind: {kind if isinstance(kind, str) else shown(kind)})"
    if kind in RAY_MANIFESTS:
        return f"{manifest}, {_NO_CLUSTER_FILE}; give it to `accel-scaling kuberay fill`, or to `accel-scaling plan`"
    return f"{manifest}, {_NO_CLUSTER_FILE}; `accel-scaling kuberay fill` takes {listed(RAY_MANIFESTS)}"


def is_cluster_file(keys: Collection[str]) -> bool:
    """Return whether a file with these keys at its top level is a cluster file of `ray up`, complete or not."""
    return "provider" in keys and bool({"available_node_types", "head_node", "cluster_name", "max_workers"} & set(keys))


def _of_launcher(config: Mapping[Any, Any], keys: Collection[object]) -> str | None:
    # The keys of a task in SkyPilot's reference of its YAML.
    if ("resources" in keys and {"run", "setup", "num_nodes"} & set(keys)) or {"run", "setup"} <= set(keys):
        return f"this is a task of SkyPilot, {_NO_CLUSTER_FILE}; {_START}"
    if str(config.get("type")) in _DSTACK:
        return f"this is a configuration of dstack, {_NO_CLUSTER_FILE}; {_START}"
    if isinstance(config.get("services"), dict):
        return f"this is a file of Docker Compose, {_NO_CLUSTER_FILE}; {_START}"
    return None


def _of_ray(config: Mapping[Any, Any], keys: Collection[object]) -> str | None:
    if "applications" in keys or "import_path" in keys:
        return f"this is a config of Ray Serve, {_NO_CLUSTER_FILE}; {_START}"
    # The chart `ray-cluster` of KubeRay.
    if isinstance(config.get("head"), dict) and isinstance(config.get("worker"), dict):
        return (
            f"these are values of a Helm chart, {_NO_CLUSTER_FILE}; render the chart (`helm template`), and give what "
            "comes out to `accel-scaling kuberay fill`"
        )
    return None


_START = f"begin with `accel-scaling init`, or a file of {documentation.examples()}"
