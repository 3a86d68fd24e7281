"""Files from which manifests are made, and which are none themselves: charts of Helm, kustomizations, Argo CD, Flux."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    from collections.abc import Mapping

_HELM = "render the chart first, and give what comes out: `helm template CHART | accel-scaling kuberay fill -`"
_KUSTOMIZE = (
    "this is a kustomization; build it first, and give what comes out: "
    "`kubectl kustomize FOLDER | accel-scaling kuberay fill -`"
)
# API groups whose objects name a chart or a folder with manifests: Argo CD, Flux, Rancher's Helm controller.
_DEPLOYERS = ("argoproj.io/", "helm.toolkit.fluxcd.io/", "kustomize.toolkit.fluxcd.io/", "helm.cattle.io/")
_KUSTOMIZATION_KEYS = frozenset(
    ("resources", "patches", "patchesStrategicMerge", "components", "configMapGenerator", "helmCharts", "namePrefix")
)


def source_of_manifests(root: yaml.Node) -> str | None:
    """Return the sentence for a file that manifests are made from; None for any other.

    Args:
        root: a document of the file.
    """
    keys = yt.pairs(root)
    kind, api = yt.word(yt.at(root, "kind")), yt.word(yt.at(root, "apiVersion")) or ""
    if kind == "Kustomization" and not api.startswith(_DEPLOYERS):
        return _KUSTOMIZE
    if kind is not None:
        return f"this {kind} names manifests and has none; render them first" if api.startswith(_DEPLOYERS) else None
    if "apiVersion" in keys and "name" in keys and "version" in keys:  # Chart.yaml
        return f"this is a chart of Helm; {_HELM}"
    if isinstance(yt.at(root, "resources"), yaml.SequenceNode) and keys.keys() - {"namespace"} <= _KUSTOMIZATION_KEYS:
        return _KUSTOMIZE
    if "apiVersion" not in keys and _are_values(keys):
        return f"these are values of a Helm chart; {_HELM}"
    return None


def _are_values(keys: Mapping[str, tuple[yaml.Node, yaml.Node]]) -> bool:
    """Return whether a mapping looks like values.yaml: the sections of KubeRay's chart, or those of most charts."""
    sections = {name for name, (_, value) in keys.items() if isinstance(value, yaml.MappingNode)}
    return {"head", "worker"} <= sections or "ray-cluster" in sections or bool(sections & {"image", "global"})
