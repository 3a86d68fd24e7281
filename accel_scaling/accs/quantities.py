"""How many accelerators a task may ask for: whole ones, parts of one, or certain numbers, by the Ray resource."""

from __future__ import annotations

import math

from accel_scaling._ray.facts import RAY_ALLOWED_COUNTS, RAY_WHOLE_RESOURCES
from accel_scaling.errors import AskingError

# Two tasks cannot share a device of these either: no manager of Ray's hands them out.
WHOLE = RAY_WHOLE_RESOURCES | {"FPGA", "MEDIA", "QAIC"}

_CALLED = {"GPU": "GPU", "TPU": "TPU chip", "neuron_cores": "neuron core"}


def check(num_accs: float, resource: str, *, shared: bool | None = None) -> None:
    """Refuse a number of accelerators that Ray would refuse, or would leave pending for ever.

    Args:
        num_accs: how many units of the resource a task asks for.
        resource: the Ray resource.
        shared: whether two tasks may share one device; by default as the family has it.

    Raises:
        AskingError: one sentence with the numbers that go.
    """
    called = f"a {_CALLED.get(resource, resource)}"
    if isinstance(num_accs, bool) or not isinstance(num_accs, int | float) or not math.isfinite(num_accs):
        raise AskingError(f"num_accs={num_accs!r} is no number of accelerators; ask for 1, 2, ...")
    if num_accs < 0:
        raise AskingError(f"num_accs={num_accs} is less than none; ask for 0, 1, 2, ...")
    if resource in RAY_ALLOWED_COUNTS and num_accs not in RAY_ALLOWED_COUNTS[resource]:
        goes = ", ".join(map(str, RAY_ALLOWED_COUNTS[resource][1:]))
        raise AskingError(f"num_accs={num_accs}: a task takes one of {goes} of the {resource} chips of a host")
    if float(num_accs).is_integer():
        return
    if not (resource not in WHOLE if shared is None else shared):
        raise AskingError(
            f"num_accs={num_accs}: {called} is not shared between tasks; ask for {math.ceil(num_accs)}, or another "
            "whole number"
        )
    if num_accs > 1:
        raise AskingError(
            f"num_accs={num_accs}: above 1 Ray takes whole numbers only; ask for {math.floor(num_accs)} or "
            f"{math.ceil(num_accs)}"
        )
