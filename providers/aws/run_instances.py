"""Requests for new machines: one client token for one wanted launch, kept until EC2 has said what became of it.

An answer that is lost (a 5xx, a closed connection, a time-out) does not say whether machines were launched. EC2 knows
the same request by its token, and launches nothing a second time
(docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html).
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, timeouts
from accel_scaling.catalog.launch_errors import PASSING, Category, Failure
from accel_scaling.cluster import machine_lists
from accel_scaling.cluster.capacity import TAG
from accel_scaling.providers.aws.launch_failures import Tries, failure_of, is_undecided
from accel_scaling.providers.aws.subnet_zones import described_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    CreateNode = Callable[[dict[str, Any], dict[str, str], int], dict[str, Any]]

_ALIVE = ("pending", "running")


@dataclass(frozen=True)
class Request:
    """One wanted launch; a repetition of it is the same in every part.

    Attributes:
        node_config: with the one subnet that it names.
        tags: of the machines.
        count: how many.
        token: by which EC2 knows the request.
        asked_s: when, on the clock of ``NewMachines``; the last time, where it was repeated.
    """

    node_config: dict[str, Any]
    tags: dict[str, str]
    count: int
    token: str
    asked_s: float


@dataclass(frozen=True)
class Answer:
    """What became of a request.

    Attributes:
        machines: id -> instance of boto3; those that exist.
        failure: why they are fewer than asked for, None where EC2 gave no reason.
        undecided: the request, where nobody knows whether there will be more of its machines.
    """

    machines: dict[str, Any]
    failure: Failure | None = None
    undecided: Request | None = None


class NewMachines:
    """Asks EC2 for machines; safe for several threads.

    Args:
        create: Ray's, which asks once and raises what EC2 answers.
        ec2: boto3's resource, without retries.
        cluster_name: whose machines.
        clock: seconds that only grow.
    """

    def __init__(
        self, create: CreateNode, ec2: Any, cluster_name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._create = create
        self._ec2 = ec2
        self._cluster_name = cluster_name
        self._clock = clock
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._undecided: list[Request] = []

    def request(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> Request:
        """Return a new request."""
        return Request(node_config, dict(tags), count, uuid.uuid4().hex, self._clock())

    def ask(self, request: Request, tries: Tries) -> Answer:
        """Send a request until EC2 has answered it, or there is no further try; an undecided one is remembered."""
        undecided, found = False, dict[str, Any]()
        while True:
            try:
                # Ray's dicts are changed by Ray: each try has its own.
                new = self._create(
                    {**request.node_config, "ClientToken": request.token}, dict(request.tags), request.count
                )
            except Exception as error:  # noqa: BLE001 - whatever it is, those that came are kept
                failure = failure_of(error)
                lost = is_undecided(error)
            else:
                # Those that were seen are of the same reservation; EC2 names them all again.
                if new:
                    return Answer({**found, **new})
                failure, lost = Failure(Category.UNKNOWN, "none launched", "EC2 launched none and gave no reason"), True
            undecided = undecided or lost
            if undecided:
                found |= self._machines_of(request) or {}
                if len(found) >= request.count:
                    return Answer(found)
            passing = lost or failure.category in PASSING
            if passing and tries.wait():
                continue
            # A refusal after a lost answer decides: what was carried out would have been answered with its machines.
            if not (passing and undecided):
                return Answer(found, failure)
            request = replace(request, asked_s=self._clock())
            self._remember(request)
            return Answer(found, failure, request)

    def settle(self, tags: dict[str, str], most: int, known: Collection[str]) -> Answer:
        """Find out what became of the earlier requests of a node type that EC2 has not answered.

        Args:
            tags: of the node type, as it is launched now.
            most: how many machines are wanted now.
            known: the machines that Ray has listed; it has counted them before it asked for more.

        Returns:
            Their machines that Ray does not know; a request that is undecided still.
        """
        # One launch at a time: another one must not begin while it is open what these requests will bring.
        with self._settling:
            requests = self._take(tags)
            found = [self._machines_of(request) for request in requests]
            machines: dict[str, Any] = {}
            still_open: list[Request] = []
            for request, there in zip(requests, found, strict=True):
                machines |= {name: one for name, one in (there or {}).items() if name not in known}
                if not self._decided(request, there):
                    still_open.append(request)
            # The same requests: EC2 launches them now, or names what it launched then. Only where they fit into what is
            # wanted now, all of them: any may have been carried out.
            room = most - len(machines)
            alike = all(_untagged(request.tags) == _untagged(tags) for request in still_open)
            if not alike or room < sum(one.count for one in still_open):
                return self._open(still_open, machines)
            last = Answer({})
            for request in still_open:
                answer = self.ask(request, Tries(waits=()))
                machines |= {name: one for name, one in answer.machines.items() if name not in known}
                last = answer if answer.undecided else last
            return replace(last, machines=machines)

    def _decided(self, request: Request, there: Mapping[str, Any] | None) -> bool:
        old = self._clock() - request.asked_s > timeouts.AWS_VISIBLE_AFTER_S
        return there is not None and (old or len(there) >= request.count)

    def _open(self, requests: Sequence[Request], machines: dict[str, Any]) -> Answer:
        for request in requests:
            self._remember(request)
        if not requests:
            return Answer(machines)
        text = f"EC2 has not yet reported the result of a request for {requests[0].count} of them"
        return Answer(machines, Failure(Category.UNAVAILABLE, "no answer", text), requests[0])

    def _machines_of(self, request: Request) -> dict[str, Any] | None:
        """Return the machines that a request has launched, as far as EC2 shows them; None where it does not answer."""
        filters = [
            {"Name": f"tag:{_ray.cluster_name_tag()}", "Values": [self._cluster_name]},
            {"Name": "instance-state-name", "Values": list(_ALIVE)},
        ]
        try:
            # Not by the filter `client-token`: the question is the one that lists nodes, and so needs nothing else.
            listed = list(self._ec2.instances.filter(Filters=filters))
        except Exception:  # noqa: BLE001 - the failure before this one is the one to tell
            return None
        return {one.id: one for one in listed if described_in(one).get("ClientToken") == request.token}

    def _remember(self, request: Request) -> None:
        with self._lock:
            self._undecided.append(request)

    def _take(self, tags: dict[str, str]) -> list[Request]:
        """Take out the undecided requests of a node type."""
        with self._lock:
            mine = [request for request in self._undecided if _purpose(request.tags) == _purpose(tags)]
            self._undecided = [request for request in self._undecided if request not in mine]
        return mine


def _untagged(tags: dict[str, str]) -> dict[str, str]:
    """Return tags without capacity type and machine type, by whichever of them an earlier request was made."""
    return {key: value for key, value in tags.items() if key not in (TAG, machine_lists.TAG)}


def _purpose(tags: dict[str, str]) -> tuple[bool, str]:
    return _ray.is_head(tags), _ray.node_type_of(tags)
