"""KubeRay's operator, emulated as far as groups go: what it refuses, and the `ray start` that it makes of a group.

Written after its source of v1.5 (controllers/ray/utils/validation.go, controllers/ray/common/pod.go); no operator runs
in these tests.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ray.autoscaler._private.kuberay.utils import parse_quantity

CLUSTER_OF = {
    "RayCluster": ("spec",),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayService": ("spec", "rayClusterConfig"),
    "RayCronJob": ("spec", "jobTemplate", "rayClusterSpec"),
}
MIG = re.compile(r"nvidia\.com/mig-\d+g\.\d+gb$")
CUSTOM = {"aws.amazon.com/neuroncore": "neuron_cores", "google.com/tpu": "TPU"}
WITH_A_VALUE = {"log-color", "include-dashboard"}


def groups_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The groups of a manifest by name, the head's first."""
    cluster = document
    for key in CLUSTER_OF[document["kind"]]:
        cluster = cluster[key]
    return {"headgroup": cluster["headGroupSpec"], **{each["groupName"]: each for each in cluster["workerGroupSpecs"]}}


def refusals(group: dict[str, Any]) -> list[str]:
    """Why the operator would not take a group."""
    params, said = group.get("rayStartParams") or {}, []
    if group.get("resources") and any(params.get(name) for name in ("num-cpus", "num-gpus", "memory", "resources")):
        said.append("resource fields in both rayStartParams and Resources")
    if "labels" in params:
        said.append("rayStartParams['labels'] is not supported")
    for field in ("resources", "labels", "rayStartParams"):
        values = group.get(field) or {}
        said += [f"{field}.{key} is no string" for key, value in values.items() if not isinstance(value, str)]
    return said


def ray_start(group: dict[str, Any], *, head: bool) -> str:
    """The command that the pod's shell runs, without `--block` and the ports, which no promise is in."""
    limits = group["template"]["spec"]["containers"][0]["resources"].get("limits", {})
    params = {**(group.get("rayStartParams") or {}), **_of_fields(group)}
    for name, option in (("cpu", "num-cpus"), ("memory", "memory")):
        if name in limits:
            params.setdefault(option, str(_ceiling(limits[name])))
    for name in sorted(limits):
        if name.endswith("gpu") or MIG.search(name):
            params.setdefault("num-gpus", str(_ceiling(limits[name])))
    custom = next((name for name in sorted(limits) if name in CUSTOM), None)
    known = json.loads(params.get("resources", "{}").strip("'\"` "))
    if custom and not set(CUSTOM.values()) & set(known):
        params["resources"] = f"'{json.dumps({**known, CUSTOM[custom]: _ceiling(limits[custom])})}'"
    words = []
    for option in sorted(params):
        boolean = params[option].lower() in ("true", "false") and option not in WITH_A_VALUE
        words += [f"--{option}"] if boolean and params[option].lower() == "true" else []
        words += [] if boolean else [f"--{option}={params[option]}"]
    return " ".join(["ray start", *(["--head"] if head else []), *words])


def _of_fields(group: dict[str, Any]) -> dict[str, str]:
    params: dict[str, str] = {}
    custom: dict[str, float] = {}
    for name, quantity in (group.get("resources") or {}).items():
        option = {"cpu": "num-cpus", "memory": "memory"}.get(name.lower())
        option = option or ("num-gpus" if name.lower().endswith("gpu") else None)
        if option:
            params[option] = str(_ceiling(quantity))
        else:
            custom[name] = float(parse_quantity(quantity))
    if custom:
        params["resources"] = f"'{json.dumps(custom)}'"
    if group.get("labels"):
        params["labels"] = ",".join(f"{key}={group['labels'][key]}" for key in sorted(group["labels"]))
    return params


def _ceiling(quantity: Any) -> int:
    return -int(-parse_quantity(quantity) // 1)
