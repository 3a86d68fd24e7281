"""The numbers of accelerators that a task may ask for: whole numbers, fractions, or a few numbers, by Ray resource."""

from __future__ import annotations

import math

from accel_scaling.errors import AskingError

# What Ray's managers refuse a fraction of, and what no manager hands out (FPGA, MEDIA, QAIC), of which no two tasks can
# be kept apart either (ray/_private/accelerators, validate_resource_request_quantity); a contract test drives them.
WHOLE = frozenset({"FPGA", "FURIOSA", "HPU", "MBLT", "MEDIA", "QAIC", "RBLN", "TTNPU", "neuron_cores"})

# The only numbers that a task may have: a host's chips are connected in these shapes.
NUMBERS = {"TPU": (0, 1, 2, 4, 8)}

_CALLED = {"GPU": "GPU", "TPU": "TPU chip", "neuron_cores": "neuron core"}


def check(num_accs: float, resource: str, *, shared: bool | None = None) -> None:
    """Refuse a number of accelerators that Ray would refuse, or would leave pending for ever.

    Args:
        num_accs: how many units of the resource a task asks for.
        resource: the Ray resource.
        shared: whether two tasks may share one device; by default the family's rule.

    Raises:
        AskingError: one sentence with the possible numbers.
    """
    called = f"a {_CALLED.get(resource, resource)}"
    if isinstance(num_accs, bool) or not isinstance(num_accs, int | float) or not math.isfinite(num_accs):
        raise AskingError(f"num_accs={num_accs!r} is not a number of accelerators; ask for 1, 2, ...")
    if num_accs < 0:
        raise AskingError(f"num_accs={num_accs} is negative; ask for 0, 1, 2, ...")
    if resource in NUMBERS and num_accs not in NUMBERS[resource]:
        numbers = ", ".join(map(str, NUMBERS[resource][1:]))
        raise AskingError(f"num_accs={num_accs}: a task can have {numbers} of the {resource} chips of a host")
    if float(num_accs).is_integer():
        return
    if not (resource not in WHOLE if shared is None else shared):
        raise AskingError(
            f"num_accs={num_accs}: {called} is not shared between tasks; ask for {math.ceil(num_accs)}, or another "
            "whole number"
        )
    if num_accs > 1:
        raise AskingError(
            f"num_accs={num_accs}: above 1, Ray accepts whole numbers only; ask for {math.floor(num_accs)} or "
            f"{math.ceil(num_accs)}"
        )
