"""A TPU slice is one node type and several hosts: what the promise says of host 0 is made true on each of them.

The launcher needs `ray.io/tpu-worker-id: "0"` and `TPU-<type>-head` in the promise, or no reservation of a slice could
ever make it launch one. Ray hands the promise to every host; what it says goes before what Ray detects there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from accel_scaling._ray.facts import LABEL_TPU_WORKER_ID, OVERRIDE_LABELS, OVERRIDE_RESOURCES, tpu_head_pod_type

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from accel_scaling.detect.model import Found


def correct_promise(environment: MutableMapping[str, str], found: Sequence[Found]) -> None:
    """Put this host's own number into the promise, and take the slice's head resource from hosts other than 0.

    Args:
        environment: of the process in which Ray will read the promise.
        found: what ``detect()`` returned; without a TPU that knows its number nothing is changed.
    """
    number = next((device.worker_id for device in found if device.worker_id is not None), None)
    if number is None:
        return
    labels = json.loads(environment.get(OVERRIDE_LABELS) or "{}")
    if LABEL_TPU_WORKER_ID in labels:
        environment[OVERRIDE_LABELS] = json.dumps({**labels, LABEL_TPU_WORKER_ID: str(number)})
    if number:
        resources = json.loads(environment.get(OVERRIDE_RESOURCES) or "{}")
        kept = {name: amount for name, amount in resources.items() if not tpu_head_pod_type(name)}
        if kept != resources:
            environment[OVERRIDE_RESOURCES] = json.dumps(kept)
