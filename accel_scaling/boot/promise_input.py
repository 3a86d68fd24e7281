"""Where a promise comes from: a command's --expect, or what Ray exports on a node that the autoscaler launched."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import OVERRIDE_RESOURCES
from accel_scaling.errors import AccelScalingError

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLE = '{"GPU": 8, "accelerator_type:A100": 1}'


def parse_expected(text: str, where: str) -> dict[str, float]:
    """Read a promise.

    Args:
        text: a JSON object of Ray resources, e.g. ``{"GPU": 8, "accelerator_type:A100": 1}``.
        where: what to call its origin in an error, e.g. ``--expect``.

    Raises:
        AccelScalingError: it is not one; the text says what is wrong and shows an example.
    """
    try:
        promised = json.loads(text)
    except ValueError as error:
        raise AccelScalingError(f"{where} is not JSON ({error}): give an object such as {EXAMPLE}") from error
    if not isinstance(promised, dict):
        raise AccelScalingError(f"{where} is JSON but not an object of resources: give one such as {EXAMPLE}")
    for name, amount in promised.items():
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not math.isfinite(amount):
            raise AccelScalingError(f"{where}: {name} is {json.dumps(amount)}, not a number: write for example 8")
        if amount < 0:
            raise AccelScalingError(f"{where}: {name} is {amount}: an amount cannot be negative")
    return promised


def promised_from_environment(environment: Mapping[str, str] | None = None) -> dict[str, float] | None:
    """Return what the autoscaler promised for this node, None where it says nothing.

    Args:
        environment: by default this process's.

    Raises:
        AccelScalingError: the variable is there and is not a promise.
    """
    text = (os.environ if environment is None else environment).get(OVERRIDE_RESOURCES)
    return parse_expected(text, OVERRIDE_RESOURCES) if text else None
