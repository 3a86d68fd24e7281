"""How many accelerators a task may ask for: whole ones, parts of one, or certain numbers, by the Ray resource."""

from __future__ import annotations

import math

from accel_scaling.errors import AskingError
from accel_scaling.families.registry import family_of


def check(num_accs: float, resource: str) -> None:
    """Refuse a number of accelerators that Ray would refuse, or would leave pending for ever.

    Args:
        num_accs: how many units of the resource a task asks for.
        resource: the Ray resource; one that no family has is given in any parts, as Ray does.

    Raises:
        AskingError: one sentence with the numbers that go.
    """
    if isinstance(num_accs, bool) or not isinstance(num_accs, int | float) or not math.isfinite(num_accs):
        raise AskingError(f"num_accs={num_accs!r} is no number of accelerators; ask for 1, 2, ...")
    if num_accs < 0:
        raise AskingError(f"num_accs={num_accs} is less than none; ask for 0, 1, 2, ...")
    family = family_of(resource)
    if family and family.quantities and num_accs not in (0, *family.quantities):
        goes = ", ".join(map(str, family.quantities))
        raise AskingError(f"num_accs={num_accs}: a task takes one of {goes} of the {resource} chips of a host")
    if float(num_accs).is_integer():
        return
    if family and not family.shared:
        raise AskingError(
            f"num_accs={num_accs}: a {family.unit or resource} is not shared between tasks; ask for "
            f"{math.ceil(num_accs)}, or another whole number"
        )
    if num_accs > 1:
        raise AskingError(
            f"num_accs={num_accs}: above 1 Ray takes whole numbers only; ask for {math.floor(num_accs)} or "
            f"{math.ceil(num_accs)}"
        )
