"""In a pod of KubeRay's: the promise is what the operator's `ray start` command says, as nobody exports one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.boot.promise_input import promised_from_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

# KubeRay sets it in each Ray container; Ray tells KubeRay's pods by it, too (usage_constants.KUBERAY_ENV).
POD = "RAY_USAGE_STATS_KUBERAY_IN_USE"

SLICE = "mig-"  # what `kuberay fill` names slices of GPUs


def promised_here(environment: Mapping[str, str], ray_params: Any) -> dict[str, float]:
    """Return what this node promises; empty where nothing says it.

    Of MIG slices the driver shows the GPUs that they are in: so one GPU at least is wanted, however many slices.

    Args:
        environment: this process's.
        ray_params: what `ray start` was given.

    Raises:
        AccelScalingError: the autoscaler's variable is there and is not a promise.
    """
    exported = promised_from_environment(environment)
    if exported is not None or POD not in environment:
        return exported or {}
    given = {"CPU": ray_params.num_cpus, "GPU": ray_params.num_gpus, "memory": ray_params.memory}
    promised = {**given, **(ray_params.resources or {})}
    if any(name.startswith(SLICE) for name in promised):
        promised["GPU"] = min(promised["GPU"] or 0, 1)
    return {name: amount for name, amount in promised.items() if amount is not None}
