"""Labels that say where a node is: which machines its NVLink reaches, and its place in the cloud's data center.

With them, `topology_strategy` of Ray's placement groups works without labels in the cluster file. What is not known is
absent: a label that is wrong would put a job onto machines that are far from each other. A label never refuses a node.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling._ray.facts import LABEL_GPU_DOMAIN
from accel_scaling.boot.watcher_start import cloud_of_start
from accel_scaling.clouds import known_clouds
from accel_scaling.detect import forked_call

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from accel_scaling.detect.model import Detection

# As Kubernetes and Ray (ray/_private/label_utils.py) have it; a value that is cut would name other machines too.
_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def topology_labels(
    environment: Mapping[str, str], detected: Iterable[Detection], given: Mapping[str, str]
) -> dict[str, str]:
    """Return the labels of this node's place that nobody has given.

    Args:
        environment: this process's.
        detected: what ``detect()`` returned.
        given: the labels that `ray start` has; each of them stays.
    """
    labels = _of_cloud(environment)
    domains = [device.nvlink_domain for device in detected if device.nvlink_domain]
    if len(domains) == 1:
        labels[LABEL_GPU_DOMAIN] = domains[0]
    return {key: value for key, value in labels.items() if key not in given and _VALUE.fullmatch(value)}


def _of_cloud(environment: Mapping[str, str]) -> dict[str, str]:
    cloud = known_clouds().get(cloud_of_start(environment))
    if cloud is None or not cloud.has_part("topology"):
        return {}
    # In a child process: not even a name server that does not answer keeps the node waiting longer.
    with contextlib.suppress(forked_call.NoAnswerError, forked_call.CrashedError):
        return dict(forked_call.call(cloud.part("topology").labels, timeouts.TOPOLOGY_S))
    return {}
