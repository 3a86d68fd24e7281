"""Manifests of KubeRay for plans, with Ray's autoscaler switched on, and what is planned for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.plan.manifest import read_manifest
from accel_scaling.plan.run import PlanArguments, plan_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.plan.cluster import AutoscalerCluster
    from accel_scaling.plan.model import Plan

L4 = "cloud.google.com/gke-accelerator: nvidia-l4"
A100 = "cloud.google.com/gke-accelerator: nvidia-a100-80gb"
V4 = "cloud.google.com/gke-tpu-accelerator: tpu-v4-podslice, cloud.google.com/gke-tpu-topology: 2x2x2"


def group(name: str, limits: str, *, selector: str = "", most: int = 4, **keys: object) -> str:
    """A worker group; ``limits`` and ``selector`` are flow YAML, further keys are the group's own."""
    own = "".join(f"    {key}: {value}\n" for key, value in {"minReplicas": 0, "maxReplicas": most, **keys}.items())
    parts = ["cpu: 8", "memory: 32Gi", *([limits] if limits else [])]
    return (
        f"  - groupName: {name}\n{own}"
        "    template:\n      spec:\n"
        f"        nodeSelector: {{{selector}}}\n"
        f"        containers: [{{name: ray, resources: {{limits: {{{', '.join(parts)}}}}}}}]\n"
    )


def raycluster(*groups: str, name: str = "demo", spec: str = "enableInTreeAutoscaling: true", cpus: str = "4") -> str:
    """A RayCluster with these groups; ``spec`` is a line of it."""
    limits = f"{{limits: {{cpu: {cpus}, memory: 16Gi}}}}"
    head = f"{{template: {{spec: {{containers: [{{name: head, resources: {limits}}}]}}}}}}"
    return (
        f"apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n"
        f"  headGroupSpec: {head}\n  workerGroupSpecs:{'' if groups else ' []'}\n" + "".join(groups)
    )


def planned(
    text: str, *demands: str, gangs: Sequence[Sequence[str]] = (), labels: Sequence[str] = (), name: str | None = None
) -> tuple[AutoscalerCluster, Plan]:
    """What a manifest is for its autoscaler, and the plan for these demands."""
    arguments = PlanArguments(demands, gangs, labels)
    return plan_manifest(read_manifest(text, "demo.yaml", name), shipped_catalog(), arguments)
