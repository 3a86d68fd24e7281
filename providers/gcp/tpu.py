"""TPU slices of Cloud TPU: one node of ours is one slice, of one or many hosts."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from googleapiclient.errors import HttpError

from accel_scaling import _ray
from accel_scaling.catalog.launch_errors import SOLD_OUT, Category, Failure
from accel_scaling.cluster.capacity import CAPACITY
from accel_scaling.providers.base.capacity_launch import offers
from accel_scaling.providers.base.zone_launch import Launch, over_zones
from accel_scaling.providers.gcp import request_bodies, tpu_operations, tpu_queue
from accel_scaling.providers.gcp.answers import described, items_of, labels_to_keep
from accel_scaling.providers.gcp.calls import (
    BROKEN,
    ZonalResource,
    call_each,
    looked_up,
    of_exception,
    retry_on_conflict,
    status_of,
)
from accel_scaling.providers.gcp.client import collection
from accel_scaling.providers.gcp.labels import from_label, from_labels, new_name
from accel_scaling.providers.gcp.launch import purpose_of
from accel_scaling.providers.gcp.tpu_capacity import queue_time_s, slice_with_capacity
from accel_scaling.providers.gcp.tpu_queue import TpuQueue

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from accel_scaling.cluster.capacity import CapacityEntry
    from accel_scaling.providers.base.capacity_launch import Offer

# Any bases: Ray ships no types for them.
_RayTPU: Any = _ray.gcp_resources()[1]
_RayTPUNode: Any = _ray.gcp_nodes()[1]

_PAGE = 1000  # the most that Google returns at once


class _UndoneError(Exception):
    """Another process wrote back the labels that it had read before ours."""


class TpuNode(_RayTPUNode):  # type: ignore[misc]
    """A TPU node as Google describes it, its labels as tags."""

    # docs.cloud.google.com/tpu/docs/reference/rest/v2/projects.locations.nodes#state; Ray overlooks the last three.
    NON_TERMINATED_STATUSES = frozenset(
        {"CREATING", "STARTING", "RESTARTING", "READY", "REPAIRING", "REIMAGING", "UNHIDING"} | tpu_queue.WAITING
    )

    def is_waiting(self) -> bool:
        """Return whether it waits in Google's queue, or is being made at its turn: it has no hosts to set up yet."""
        return tpu_queue.is_queued(self["name"]) and self.get("state") in tpu_queue.WAITING

    def is_stopped(self) -> bool:
        """Return whether it can be started again."""
        return bool(self.get("state") == "STOPPED")

    def is_ending(self) -> bool:
        """Return whether it is being deleted."""
        return self.get("state") in {"DELETING", "SUSPENDING"}

    def is_preempted(self) -> bool:
        """Return whether Google has taken it back, or its queued resource is over; it can only be deleted."""
        return self.get("state") in {"PREEMPTED", "TERMINATED"} | tpu_queue.OVER

    @property
    def num_workers(self) -> int:
        """The number of its hosts."""
        return len(self.get_internal_ips())

    def get_internal_ips(self) -> list[dict[str, Any]]:
        """Return each host's endpoint; one without addresses while there are none."""
        endpoints: list[dict[str, Any]] = self.get("networkEndpoints") or [{}]
        return endpoints

    # An endpoint holds both of a host's addresses; Ray's get_internal_ip and get_external_ip take theirs from it.
    get_external_ips = get_internal_ips


class Tpu(ZonalResource, _RayTPU):  # type: ignore[misc]
    """The Cloud TPU of one project, in the zones of one cluster. A slice's name has its zone in it."""

    KIND = "tpu"

    def __init__(
        self, client: Any, project: str, zones: Sequence[str], cluster_name: str, *, queues: bool = False
    ) -> None:
        """Use a client; ``queues``: some node type's order queues."""
        super().__init__(client, project, zones[0], cluster_name)
        self._set_zones(zones)
        self._nodes = collection(client, "projects", "locations", "nodes")
        self._queue = TpuQueue(client, project, expected=queues)

    def get_instance(self, node_id: str) -> TpuNode:
        """Return one slice, asked for now.

        Raises:
            HttpError: 404: there is none.
        """
        try:
            return self._node(self._nodes.get(name=node_id).execute())
        except HttpError as error:
            queued = self._queue.get(node_id) if status_of(error) == 404 and tpu_queue.is_queued(node_id) else None
            if queued is None:
                raise
            return self._node(queued)

    def last_seen(self, node_id: str) -> TpuNode | None:
        """Return a slice whose queued resource was over when it was seen last, though it is gone by now."""
        queued = self._queue.last_seen(node_id)
        return None if queued is None else self._node(queued)

    def create(
        self,
        node_config: dict[str, Any],
        labels: dict[str, str],
        count: int,
        *,
        zones: Collection[str],
        keep_stopped: bool,
        order: Sequence[CapacityEntry] = (),
        machines: Mapping[str, dict[str, Any]] | None = None,
    ) -> Launch:
        """Create up to ``count`` slices at once, each in the first place that has one; those that come are kept."""
        del keep_stopped  # a preempted slice can only be deleted, whoever asks
        del machines  # no two types of slices hold the same promise
        key = f"provider.{CAPACITY}.{_ray.node_type_of(from_labels(labels))}"
        ways = offers(order, self.zones, node_config, labels, functools.partial(slice_with_capacity, key))
        allowed = [way for place, way in ways.items() if place in zones]
        launches, errors = call_each(lambda _: self._create_one(allowed), range(count))
        made: dict[str, list[str]] = {}
        for zone, nodes in (pair for launch in launches.values() for pair in launch.made.items()):
            made.setdefault(zone, []).extend(nodes)
        failures = [launch.failure for launch in launches.values() if launch.failure is not None]
        failures += [of_exception(error) for error in errors.values()]
        # Each slice goes its own way over the zones: the longest way names every zone that was tried.
        tried = max((launch.zones for launch in launches.values()), key=len, default=[])
        by_zone = {zone: failure for launch in launches.values() for zone, failure in launch.failures.items()}
        # A place in the queue shows of no zone that it has capacity.
        waiting = {place: [node for node in nodes if tpu_queue.is_queued(node)] for place, nodes in made.items()}
        at_once = {place: [node for node in nodes if not tpu_queue.is_queued(node)] for place, nodes in made.items()}
        return Launch(_filled(at_once), next(iter(failures), None), tried, by_zone, _filled(waiting))

    def delete(self, node_id: str) -> None:
        """Delete a slice and its queued resource, whether they are there or not."""
        if tpu_queue.is_queued(node_id) and self._queue.delete(node_id):
            return
        try:
            self._nodes.delete(name=node_id).execute()
        except Exception as error:
            if status_of(error) != 404 and not self._is_deleting(node_id, error):
                raise

    def stop(self, node_id: str) -> None:
        """Stop a slice that is to be started again; one of several hosts, or of a queue, cannot be, and is deleted.

        Source: docs.cloud.google.com/tpu/docs/managing-tpus-tpu-vm, "You can't stop TPU slices".
        """
        if tpu_queue.is_queued(node_id) or self.get_instance(node_id).num_workers > 1:
            self.delete(node_id)
        else:
            self._nodes.stop(name=node_id).execute()

    def start(self, node_id: str) -> None:
        """Start a stopped slice, and wait until it is.

        Raises:
            OperationFailedError: Google could not.
        """
        self._wait(self._nodes.start(name=node_id).execute())

    def write_labels(self, node_id: str, labels: dict[str, str]) -> bool:
        """Add labels to a slice's; False if there is no such slice.

        This API replaces all labels at once and has no fingerprint, so another process's write can undo this one. It
        is looked for once; what another process has read before and writes after that look is not seen. In a cluster,
        only the head's autoscaler writes labels of slices.
        """

        def add() -> None:
            before = self._labels(node_id)
            body = {"labels": {**labels_to_keep(before, node_id), **labels}}
            self._wait(self._nodes.patch(name=node_id, updateMask="labels", body=body).execute())
            after = self._labels(node_id)
            # A label that is as before, and not as written: another process has written back what it had read earlier.
            if any(after.get(key) == before.get(key) != value for key, value in labels.items()):
                raise _UndoneError(node_id)

        try:
            # A slice takes one operation at a time: "unable to queue the operation", a 400 or a 409.
            retry_on_conflict(add, lambda error: isinstance(error, _UndoneError) or status_of(error) in {400, 409, 412})
        except HttpError as error:
            if status_of(error) == 404:
                return False
            raise
        return True

    def _labels(self, node_id: str) -> dict[str, str]:
        labels: dict[str, str] = described(self._nodes.get(name=node_id).execute()).get("labels") or {}
        return labels

    def _create_one(self, ways: Sequence[Offer]) -> Launch:
        by_place = {way.place: way for way in ways}

        def try_place(place: str, _missing: int) -> tuple[list[str], Failure | None]:
            way = by_place[place]
            zone, body = way.zone, request_bodies.slice_node(way.node_config, way.tags)
            # A new name for each try: _create_named() believes that a name which is taken was taken by itself.
            queued = queue_time_s(way.entry) is not None
            end = tpu_queue.NAME_END if queued else self.KIND
            name = new_name(from_label(body["labels"][_ray.gcp_tags()[1]]), end)
            node_id = f"projects/{self.project_id}/locations/{zone}/nodes/{name}"
            try:
                if queued and way.entry:
                    self._queue.request(zone, name, body, way.entry)
                else:
                    self._create_named(zone, name, body)
            except Exception as error:  # noqa: BLE001 - the next zone may have what this one lacks
                # The connection broke, the creation may not have: without this look, a second slice would be paid for.
                if isinstance(error, BROKEN) and looked_up(lambda: self.get_instance(node_id)):
                    return [node_id], of_exception(error)
                failure = of_exception(error)
                if not self._swept(node_id):
                    self.hold(purpose_of(body["labels"]), [node_id])
                    # Nobody knows whether it exists: it is not bought elsewhere, or in another way.
                    failure = replace(failure, category=Category.UNAVAILABLE)
                return [], failure
            return [node_id], None

        # Quota, too, is a zone's: docs.cloud.google.com/tpu/docs/quota
        return over_zones(by_place, 1, try_place, go_on_after=SOLD_OUT)

    def _create_named(self, zone: str, name: str, body: dict[str, Any]) -> None:
        parent = f"projects/{self.project_id}/locations/{zone}"
        try:
            operation = self._nodes.create(parent=parent, nodeId=name, body=body).execute()
        except Exception as error:
            # This API has no request id. The name is new: if it is taken, an earlier try of this very call did it.
            if status_of(error) == 409:
                return
            raise
        self._wait(operation)

    def _swept(self, node_id: str) -> bool:
        """Delete what a failed creation may leave behind; return whether that was possible."""
        try:
            self.delete(node_id)
        except Exception:  # noqa: BLE001 - the failure before this one is the one to tell; a listing will find it
            return False
        return True

    def _is_deleting(self, node_id: str, error: Exception) -> bool:
        """Return whether a delete failed because the slice is being deleted already."""
        if status_of(error) not in {400, 409}:
            return False
        return str(self._nodes.get(name=node_id).execute().get("state")) == "DELETING"

    def _list_zone(self, zone: str) -> list[TpuNode]:
        parent = f"projects/{self.project_id}/locations/{zone}"
        request = self._nodes.list(parent=parent, pageSize=_PAGE)
        # Before the slices: one that comes between the two lists is in the second, and none is in neither.
        queued = {node["name"]: node for node in self._queue.list(zone)}
        nodes: list[Any] = []
        while request is not None:
            try:
                answer = request.execute()
            except HttpError as error:
                if status_of(error) != 404:
                    raise
                return []  # Cloud TPU is not in this zone, which has machines anyway
            nodes += [described(item) for item in items_of(answer, "nodes")]
            request = self._nodes.list_next(request, answer)
        merged = queued | {
            node["name"]: self._queue.merged(queued[node["name"]], node) if node["name"] in queued else node
            for node in nodes
        }
        # This API cannot filter by label.
        return [
            node
            for node in map(self._node, merged.values())
            if node.get_labels().get(_ray.gcp_tags()[0]) == self.cluster_name
        ]

    def _node(self, item: Any) -> TpuNode:
        node = described(item)
        return TpuNode({**node, "labels": from_labels(node.get("labels") or {})}, self)

    def _wait(self, operation: dict[str, Any]) -> None:
        """Wait until an operation is done.

        Raises:
            OperationFailedError: it failed, or is not done after half an hour.
        """
        tpu_operations.wait(self.resource, operation)


def _filled(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return {place: nodes for place, nodes in places.items() if nodes}
