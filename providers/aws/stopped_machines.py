"""Stopped machines of a node type, started again before new ones are launched (`cache_stopped_nodes`, Ray's default).

As Ray's own provider does, but only in zones where the node type may be launched, and with an account of what came: a
machine that starts counts, and one that cannot be started is replaced by a new one. A start may be repeated: EC2 leaves
a machine as it is that is running already.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, timeouts
from accel_scaling.providers.aws.launch_failures import CallFailedError, Tries
from accel_scaling.providers.aws.subnet_zones import described_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from accel_scaling.catalog.launch_errors import Failure

logger = logging.getLogger(__name__)

_STOPPED, _STOPPING = "stopped", "stopping"
_ALIVE = ("pending", "running")


@dataclass
class Started:
    """What became of the stopped machines that were chosen.

    Attributes:
        machines: id -> instance of boto3; those that are starting or run.
        unknown: those of which EC2 did not say whether they start.
        failure: why it did not say.
    """

    machines: dict[str, Any] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    failure: Failure | None = None


class StoppedMachines:
    """The stopped machines of one cluster; safe for several threads.

    Args:
        ec2: boto3's resource, without retries.
        cluster_name: whose machines.
        set_tags: sets tags of machines at EC2, and in what Ray knows of them; may raise what EC2 answers.
        sleep: waits so many seconds.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        ec2: Any,
        cluster_name: str,
        set_tags: Callable[[Sequence[Any], dict[str, str]], None],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ec2 = ec2
        self._cluster_name = cluster_name
        self._set_tags = set_tags
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._claimed: set[str] = set()

    def start(self, tags: dict[str, str], count: int, may_start: Callable[[str], bool], tries: Tries) -> Started:
        """Start up to ``count`` stopped machines that were launched as these tags say.

        Args:
            tags: of the node type, as it is launched now.
            count: the most.
            may_start: says of a zone whether a machine in it may be started.
            tries: of the calls.

        Raises:
            CallFailedError: the stopped machines could not be listed.
        """
        # Listed under the lock: a list from before another launch has started a machine would show it as stopped when
        # that launch counts on it no more, and both would count on it.
        with self._lock:
            listed = tries.call(
                lambda: list(self._ec2.instances.filter(Filters=self._filters(tags, (_STOPPED, _STOPPING))))
            )
            # Those first that need not be waited for.
            listed.sort(key=lambda one: _state(one) != _STOPPED)
            chosen = [one for one in listed if one.id not in self._claimed and may_start(_zone(one))][:count]
            self._claimed.update(one.id for one in chosen)
        try:
            return self._started(chosen, tags, tries)
        finally:
            with self._lock:
                self._claimed.difference_update(one.id for one in chosen)

    def _started(self, chosen: list[Any], tags: dict[str, str], tries: Tries) -> Started:
        result = Started()
        if not chosen:
            return result
        # Before the start: a machine must not run with the tags of its life before, by which Ray takes it for set up.
        try:
            tries.call(lambda: self._set_tags(chosen, tags))
        except CallFailedError as error:
            logger.warning("stopped machines are not started again, their tags cannot be set: %s", error)
            return result
        ready = self._stopped_by_now(chosen)
        for machines in _by_zone(ready):
            self._start_all(machines, result, tries)
        return result

    def _start_all(self, machines: list[Any], result: Started, tries: Tries) -> None:
        """Start machines of one zone; one by one where EC2 refuses to start all."""
        names = [one.id for one in machines]
        try:
            tries.call(lambda: self._ec2.meta.client.start_instances(InstanceIds=names))
        except CallFailedError as error:
            if error.undecided:
                self._look(machines, error.failure, result)
            elif len(machines) > 1:
                for one in machines:
                    self._start_all([one], result, tries)
            else:
                logger.warning("%s could not be started again, a new one is launched: %s", names[0], error)
            return
        result.machines |= {one.id: one for one in machines}

    def _look(self, machines: list[Any], failure: Failure, result: Started) -> None:
        """Ask which machines run: whether the start was carried out, only EC2 knows."""
        states = self._states(machines)
        for one in machines:
            if states is None:
                result.unknown.append(one.id)
                result.failure = failure
            elif states.get(one.id) in _ALIVE:
                result.machines[one.id] = one

    def _stopped_by_now(self, machines: list[Any]) -> list[Any]:
        """Return the machines that are stopped, after a while for those that are stopping."""
        ready = [one for one in machines if _state(one) == _STOPPED]
        waiting = [one for one in machines if _state(one) != _STOPPED]
        until_s = self._clock() + timeouts.AWS_STOPPING_S
        while waiting:
            states = self._states(waiting) or {}
            ready += [one for one in waiting if states.get(one.id) == _STOPPED]
            waiting = [one for one in waiting if states.get(one.id, _STOPPING) == _STOPPING]
            if not waiting or self._clock() > until_s:
                break
            self._sleep(timeouts.AWS_STOPPING_POLL_S)
        return ready

    def _states(self, machines: Sequence[Any]) -> dict[str, str] | None:
        try:
            return {one.id: _state(one) for one in self._ec2.instances.filter(InstanceIds=[one.id for one in machines])}
        except Exception:  # noqa: BLE001 - the failure before this one is the one to tell
            return None

    def _filters(self, tags: dict[str, str], states: Sequence[str]) -> list[dict[str, Any]]:
        wanted = {_ray.cluster_name_tag(): self._cluster_name}
        wanted |= {key: tags[key] for key in _ray.aws_reuse_tags() if key in tags}
        return [
            {"Name": "instance-state-name", "Values": list(states)},
            *({"Name": f"tag:{key}", "Values": [value]} for key, value in wanted.items()),
        ]


def _state(machine: Any) -> str:
    return str((described_in(machine).get("State") or {}).get("Name", ""))


def _zone(machine: Any) -> str:
    return str((described_in(machine).get("Placement") or {}).get("AvailabilityZone", ""))


def _by_zone(machines: Sequence[Any]) -> Iterator[list[Any]]:
    zones: dict[str, list[Any]] = {}
    for one in machines:
        zones.setdefault(_zone(one), []).append(one)
    yield from zones.values()
