"""A TPU slice is one node type and several hosts: what the promise says of host 0 is made true on each of them.

The launcher needs `ray.io/tpu-worker-id: "0"` and `TPU-<type>-head` in the promise, or no reservation of a slice could
ever make it launch one. Ray hands the promise to every host; what it says goes before what Ray detects there.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from accel_scaling.boot.promise_input import VARIABLE as RESOURCES

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from accel_scaling.detect.model import Found

LABELS = "RAY_OVERRIDE_LABELS"  # ray_constants.LABELS_ENVIRONMENT_VARIABLE
WORKER_ID = "ray.io/tpu-worker-id"
_HEAD = re.compile(r"TPU-.+-head")


def correct_promise(environment: MutableMapping[str, str], found: Sequence[Found]) -> None:
    """Put this host's own number into the promise, and take the slice's head resource from hosts other than 0.

    Args:
        environment: of the process in which Ray will read the promise.
        found: what ``detect()`` returned; without a TPU that knows its number nothing is changed.
    """
    number = next((device.worker_id for device in found if device.worker_id is not None), None)
    if number is None:
        return
    labels = json.loads(environment.get(LABELS) or "{}")
    if WORKER_ID in labels:
        environment[LABELS] = json.dumps({**labels, WORKER_ID: str(number)})
    if number:
        resources = json.loads(environment.get(RESOURCES) or "{}")
        kept = {name: amount for name, amount in resources.items() if not _HEAD.fullmatch(name)}
        if kept != resources:
            environment[RESOURCES] = json.dumps(kept)
