"""Reads a node's promise: from --expect, from Ray's autoscaler, or from the `ray start` of a KubeRay pod."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import OVERRIDE_RESOURCES
from accel_scaling.errors import AccelScalingError
from accel_scaling.inputs.bounds import MOST_AMOUNT
from accel_scaling.inputs.json_text import NotJsonError, loads
from accel_scaling.message_text import MOST_SHOWN, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

# KubeRay sets it in each Ray container; Ray recognises KubeRay's pods by it, too (usage_constants.KUBERAY_ENV).
POD = "RAY_USAGE_STATS_KUBERAY_IN_USE"

MIG_PREFIX = "mig-"  # of the resources that `kuberay fill` writes for partitions of GPUs

EXAMPLE = '{"GPU": 8, "accelerator_type:A100": 1}'


def parse_promise(text: str, source: str) -> dict[str, float]:
    """Return a promise from its JSON text.

    Args:
        text: a JSON object of Ray resources, e.g. ``{"GPU": 8, "accelerator_type:A100": 1}``.
        source: its origin, as errors name it, e.g. ``--expect``.

    Raises:
        AccelScalingError: it is not a promise; the text says what is wrong and shows an example.
    """
    try:
        promised = loads(text)
    except NotJsonError as error:
        raise AccelScalingError(f"{source} is not JSON ({error}): give an object such as {EXAMPLE}") from error
    if not isinstance(promised, dict):
        raise AccelScalingError(f"{source} is JSON but not an object of resources: give one such as {EXAMPLE}")
    for name, amount in promised.items():
        # Python's JSON reader accepts NaN and Infinity, which no amount can be.
        # In Python a bool is an int: `true` would be read as 1.
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not math.isfinite(amount):
            raise AccelScalingError(f"{source}: {name} is {_as_json(amount)}, not a number: write for example 8")
        if amount < 0:
            raise AccelScalingError(f"{source}: {name} is {amount}: an amount cannot be negative")
        if amount > MOST_AMOUNT:
            raise AccelScalingError(
                f"{source}: {name} is {amount}: no machine has more than {MOST_AMOUNT:,} of anything"
            )
    return promised


def promise_from_environment(environment: Mapping[str, str] | None = None) -> dict[str, float] | None:
    """Return the promise that the autoscaler exported for this node, None where there is none.

    Args:
        environment: by default this process's.

    Raises:
        AccelScalingError: the variable is set and is not a promise.
    """
    text = (os.environ if environment is None else environment).get(OVERRIDE_RESOURCES)
    return parse_promise(text, OVERRIDE_RESOURCES) if text else None


def promise_of_node(environment: Mapping[str, str], ray_params: Any) -> dict[str, float]:
    """Return the promise of this node; empty where nothing states it.

    In a pod of KubeRay nobody exports a promise: it is what the operator's `ray start` command says. For partitions
    (MIG) the driver shows the GPUs that they are on: so at least one GPU is expected, however many partitions there
    are.

    Args:
        environment: this process's.
        ray_params: the parameters of `ray start`.

    Raises:
        AccelScalingError: the autoscaler's variable is set and is not a promise.
    """
    exported = promise_from_environment(environment)
    if exported is not None or POD not in environment:
        return exported or {}
    given = {"CPU": ray_params.num_cpus, "GPU": ray_params.num_gpus, "memory": ray_params.memory}
    promised = {**given, **(ray_params.resources or {})}
    if any(name.startswith(MIG_PREFIX) for name in promised):
        promised["GPU"] = min(promised["GPU"] or 0, 1)
    # None: `ray start` was not told, and Ray detects it itself, so nothing is promised of it.
    return {name: amount for name, amount in promised.items() if amount is not None}


def _as_json(value: Any) -> str:
    """Return a value as it is written in the JSON text; a long one shortened."""
    text = json.dumps(value)
    return text if len(text) <= MOST_SHOWN else shown(value)
