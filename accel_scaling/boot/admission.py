"""Whether a machine joins: one that holds its promise does; one with less may, where the cluster file says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import tpu_head_pod_type
from accel_scaling.boot.verdict import VerdictWord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.boot.verdict import Verdict

# Set in the start commands where the cluster file has `provider.confirmation.on_mismatch: join`.
ON_MISMATCH = "ACCEL_SCALING_ON_MISMATCH"
JOIN = "join"

# Set in a start command that is to confirm the machine and not to start Ray: a slice's hosts are all confirmed first.
CONFIRM_ONLY = "ACCEL_SCALING_CONFIRM_ONLY"


def joining_with(verdict: Verdict, environment: Mapping[str, str]) -> dict[str, float] | None:
    """Return the resources that this machine joins with; None where it may not join.

    With ``on_mismatch: join``, a machine of the promised type with fewer devices joins with those, where nothing else
    is wrong with it. One host of a TPU slice cannot: its slice is useless without it.
    """
    if verdict.confirmed:
        return dict(verdict.promised)
    slice_host = any(map(tpu_head_pod_type, verdict.promised))
    fewer = {verdict.word, *verdict.others} == {VerdictWord.FEWER_THAN_PROMISED} and not slice_host
    if environment.get(ON_MISMATCH) != JOIN or not fewer:
        return None
    resources = {name: min(amount, verdict.here.get(name, amount)) for name, amount in verdict.promised.items()}
    return resources if all(resources[name] for name in verdict.here if name in resources) else None
