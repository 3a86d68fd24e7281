"""Decides whether a node may join, and with which promise: whole, with fewer devices, or as one host of a TPU slice.

A TPU slice is one node type and several hosts. The launcher needs `ray.io/tpu-worker-id: "0"` and `TPU-<type>-head` in
the promise, or no reservation of a slice could ever make it launch one. Ray hands the promise to every host, and there
the promise takes precedence over what Ray detects.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import LABEL_TPU_WORKER_ID, OVERRIDE_LABELS, OVERRIDE_RESOURCES, tpu_head_pod_type
from accel_scaling.boot.verdicts import VerdictWord
from accel_scaling.cluster.policies import OnMismatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping

    from accel_scaling.boot.verdicts import Verdict
    from accel_scaling.detect.model import Detection

# Set right before a start command: what `provider.confirmation` says of the node's type, a word of OnMismatch.
ON_MISMATCH = "ACCEL_SCALING_ON_MISMATCH"

# Set in a start command that runs the boot check and does not start Ray: all hosts of a slice are confirmed first.
CONFIRM_ONLY = "ACCEL_SCALING_CONFIRM_ONLY"


def admitted_resources(verdict: Verdict, environment: Mapping[str, str]) -> dict[str, float] | None:
    """Return the resources with which this machine joins; None where it may not join.

    With ``on_mismatch: join``, a machine of the promised type with fewer devices joins with those, where nothing else
    is wrong with it. One host of a TPU slice cannot: its slice is useless without it. With ``report`` and ``skip``,
    each machine joins with its whole promise.
    """
    policy = policy_of(environment)
    if verdict.confirmed or policy.always_joins:
        return dict(verdict.promised)
    slice_host = is_slice_host(verdict.promised)
    # `others` counts too: with a second promised accelerator absent, joining with fewer of the first is not enough.
    only_fewer = {verdict.word, *verdict.others} == {VerdictWord.FEWER_THAN_PROMISED}
    if policy is not OnMismatch.JOIN or not only_fewer or slice_host:
        return None
    # What is no device (CPU, memory, types, the user's own) is not in `here`, and stays as promised.
    resources = {name: min(amount, verdict.here.get(name, amount)) for name, amount in verdict.promised.items()}
    # Where none of the promised devices is usable, there is nothing to join with.
    return resources if all(resources[name] for name in verdict.here if name in resources) else None


def policy_of(environment: Mapping[str, str]) -> OnMismatch:
    """Return what becomes of this machine where it does not hold its promise; a word that nobody knows refuses it."""
    try:
        return OnMismatch(environment.get(ON_MISMATCH, ""))
    except ValueError:
        return OnMismatch.REFUSE


def is_slice_host(promised: Iterable[str]) -> bool:
    """Return whether these Ray resources are promised of a host of a TPU slice."""
    return any(tpu_head_pod_type(name) for name in promised)


def wrong_slice(promised: Mapping[str, float], detected: Iterable[Detection]) -> str | None:
    """Return a sentence where this host is in a slice of another type than was promised, else None.

    Args:
        promised: Ray resources; ``TPU-v4-16-head`` promises a v4-16.
        detected: what ``detect()`` returned.
    """
    pod_type = next((device.pod_type for device in detected if device.pod_type), "")
    expected = [head for name, amount in promised.items() if amount > 0 and (head := tpu_head_pod_type(name))]
    # Not known is not wrong: a host of which the metadata server says nothing yet has the verdict NotYet.
    if not pod_type or not expected or pod_type in expected:
        return None
    return f"promised a host of a {expected[0]}; the metadata server says that it is a host of a {pod_type}"


def correct_promise(environment: MutableMapping[str, str], detected: Iterable[Detection]) -> None:
    """Put this host's own number into the promise, and take the slice's head resource from hosts other than 0.

    Args:
        environment: of the process in which Ray will read the promise.
        detected: what ``detect()`` returned; without a TPU that knows its number nothing is changed.
    """
    number = next((device.worker_id for device in detected if device.worker_id is not None), None)
    if number is None:
        return
    labels = json.loads(environment.get(OVERRIDE_LABELS) or "{}")
    # The promise says 0 on every host, or nothing could reserve a slice before it exists.
    if LABEL_TPU_WORKER_ID in labels:
        environment[OVERRIDE_LABELS] = json.dumps({**labels, LABEL_TPU_WORKER_ID: str(number)})
    # Host 0 keeps the head resource: the slice has one, and a reservation asks for it.
    if number:
        resources = json.loads(environment.get(OVERRIDE_RESOURCES) or "{}")
        kept = {name: amount for name, amount in resources.items() if not tpu_head_pod_type(name)}
        if kept != resources:
            environment[OVERRIDE_RESOURCES] = json.dumps(kept)
