"""Manifests for tests, made of parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.kuberay.check import findings
from accel_scaling.kuberay.fill import fill
from accel_scaling.kuberay.manifest import groups

if TYPE_CHECKING:
    from accel_scaling.kuberay.fill import Filled

TYPE = "accelerator_type:"
GPU = "nvidia.com/gpu: 1"
GKE = "cloud.google.com/gke-accelerator"
MACHINE = "node.kubernetes.io/instance-type"
# One slice of two hosts, as its node pool is selected.
TPU = "cloud.google.com/gke-tpu-accelerator: tpu-v4-podslice"
TOPOLOGY = "cloud.google.com/gke-tpu-topology: 2x2x2"

HEAD = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata:
  name: demo
spec:
  headGroupSpec:
    rayStartParams: {}
    template:
      spec:
        containers:
        - name: ray-head
          resources: {limits: {cpu: "2", memory: 4Gi}}
  workerGroupSpecs:
"""


def manifest(
    *,
    limits: str = "",
    requests: str = "",
    selector: str = "",
    terms: str = "",
    params: str = "{}",
    fields: str = "",
) -> str:
    """A RayCluster with one worker group; each part is flow YAML, ``fields`` lines of the group."""
    affinity = "requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: " + terms + "}"
    lines = [
        "  - groupName: workers",
        f"    rayStartParams: {params}",
        *(f"    {line}" for line in fields.splitlines()),
        "    minReplicas: 0",
        "    maxReplicas: 2",
        "    template:",
        "      spec:",
        f"        nodeSelector: {{{selector}}}",
        *([f"        affinity: {{nodeAffinity: {{{affinity}}}}}"] if terms else []),
        "        containers:",
        "        - name: ray-worker",
        "          resources:",
        f"            limits: {{cpu: 8, memory: 32Gi{limits and ', '}{limits}}}",
        *([f"            requests: {{{requests}}}"] if requests else []),
    ]
    return HEAD + "\n".join(lines) + "\n"


def filled(text: str, version: str | None = None) -> Filled:
    return fill(text, "demo.yaml", shipped_catalog(), version)


def found(text: str) -> list[tuple[int, str]]:
    """What `check` finds: line and sentence, without the group's title."""
    return [
        (each.line, each.text.removeprefix(f"{group.title}: "))
        for group in groups(text, "demo.yaml")
        for each in findings(group, shipped_catalog())
    ]


def group_of(text: str) -> dict:
    return yaml.safe_load(filled(text).text)["spec"]["workerGroupSpecs"][0]


def types_of(text: str) -> set[str]:
    return {name.removeprefix(TYPE) for name in group_of(text).get("resources", {}) if name.startswith(TYPE)}
