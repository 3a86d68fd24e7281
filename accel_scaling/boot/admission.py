"""Decides whether a node may join: with its whole promise, or with fewer devices where the cluster file allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.boot.tpu_slice import is_slice_host
from accel_scaling.boot.verdicts import VerdictWord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.boot.verdicts import Verdict

# Set in the start commands where the cluster file has `provider.confirmation.on_mismatch: join`.
ON_MISMATCH = "ACCEL_SCALING_ON_MISMATCH"
JOIN = "join"

# Set in a start command that runs the boot check and does not start Ray: all hosts of a slice are confirmed first.
CONFIRM_ONLY = "ACCEL_SCALING_CONFIRM_ONLY"


def admitted_resources(verdict: Verdict, environment: Mapping[str, str]) -> dict[str, float] | None:
    """Return the resources with which this machine joins; None where it may not join.

    With ``on_mismatch: join``, a machine of the promised type with fewer devices joins with those, where nothing else
    is wrong with it. One host of a TPU slice cannot: its slice is useless without it.
    """
    if verdict.confirmed:
        return dict(verdict.promised)
    slice_host = is_slice_host(verdict.promised)
    only_fewer = {verdict.word, *verdict.others} == {VerdictWord.FEWER_THAN_PROMISED}
    if environment.get(ON_MISMATCH) != JOIN or not only_fewer or slice_host:
        return None
    resources = {name: min(amount, verdict.here.get(name, amount)) for name, amount in verdict.promised.items()}
    return resources if all(resources[name] for name in verdict.here if name in resources) else None
