"""Queued resources of Cloud TPU: requests for slices that wait in Google's queue, seen as slices that are to come.

One queued resource is for one slice, and both have one name, which tells by its end that a queue is behind it. So a
node's name is enough for whoever asks for it or deletes it, also after the head's autoscaler has started again. A
queued resource has no labels; the slice that it asks for has.

States: docs.cloud.google.com/tpu/docs/queued-resources. One that failed or was suspended stays, and takes quota, until
it is deleted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from googleapiclient.errors import HttpError

from accel_scaling.catalog.launch_errors import PASSING, Category, Failure
from accel_scaling.message_text import shown
from accel_scaling.providers.gcp import tpu_operations
from accel_scaling.providers.gcp.answers import UnexpectedAnswerError, described, items_of
from accel_scaling.providers.gcp.calls import OperationFailedError, mappings, of_operation, status_of
from accel_scaling.providers.gcp.client import collection, new_request_id
from accel_scaling.providers.gcp.tpu_capacity import queue_time_s, tier

if TYPE_CHECKING:
    from accel_scaling.cluster.capacity import CapacityEntry

NAME_END = "queued-tpu"
"""The end of a queued slice's name; Ray reads the kind of a node from the last word."""

STATE = "queuedState"
"""The key of a node that is seen in the queue only: what the queued resource says of its state. No key of Google's."""

# ACCEPTED is the older word for WAITING_FOR_RESOURCES. ACTIVE without a slice is one that a list does not show yet.
WAITING = frozenset({"CREATING", "ACCEPTED", "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"})
OVER = frozenset({"FAILED", "SUSPENDED"})
_GOING = frozenset({"DELETING", "SUSPENDING"})

_PAGE = 1000  # as for slices
_REMEMBERED = 1000  # queued resources that are over
_NAME = re.compile(r"projects/[^/]+/locations/[^/]+/queuedResources/[^/]+")


def is_queued(node_id: str) -> bool:
    """Return whether a queued resource is, or was, behind a node, by its name."""
    return node_id.endswith(f"-{NAME_END}")


def failure_of(node: dict[str, Any]) -> Failure:
    """Return why a queued resource is over: failed, or suspended."""
    state = node.get(STATE) or {}
    if node["state"] == "SUSPENDED":
        text = "Google has suspended the queued resource before its slice could be used"
        return Failure(Category.CAPACITY, "SUSPENDED", text)
    failure = of_operation((state.get("failedData") or {}).get("error") or {"code": "FAILED", "message": ""})
    # "Some late-discovered problem with the request itself, or unavailability of resources" (QueuedResourceState): what
    # is no problem of the request is the latter, such as a time that has run out.
    if failure.category in PASSING or failure.category is Category.UNKNOWN:
        return Failure(Category.CAPACITY, failure.code, failure.message or "Google's queue had no slice in time")
    return failure


class TpuQueue:
    """The queued resources of one project that are for slices of one cluster.

    Args:
        client: of Cloud TPU.
        project: whose.
        expected: the provider section has an order that queues. Without one, each zone is asked once, for what an
            earlier order may have left; where that is not allowed, there is nothing.
    """

    def __init__(self, client: Any, project: str, *, expected: bool) -> None:
        self._client, self._project, self._expected = client, project, expected
        self._resources = collection(client, "projects", "locations", "queuedResources")
        self._empty: set[str] = set()  # zones; each is written by the listing of that zone alone
        self._over: dict[str, dict[str, Any]] = {}  # as last seen: they are deleted soon after

    def request(self, zone: str, name: str, node: dict[str, Any], entry: CapacityEntry) -> None:
        """Ask for a slice, and wait until the request is in the queue.

        Args:
            zone: where.
            name: of the slice and of the request.
            node: the slice.
            entry: how it is bought, and how long it may wait.

        Raises:
            OperationFailedError: it failed at once.
        """
        parent = f"projects/{self._project}/locations/{zone}"
        body: dict[str, Any] = {"tpu": {"nodeSpec": [{"parent": parent, "nodeId": name, "node": node}]}}
        body |= tier(entry, self._project, zone)
        if seconds := queue_time_s(entry):
            body["queueingPolicy"] = {"validUntilDuration": f"{seconds:.0f}s"}
        call = self._resources.create(parent=parent, queuedResourceId=name, requestId=new_request_id(), body=body)
        try:
            operation = call.execute()
        except Exception as error:
            # As for a slice: the name is new, so an earlier try of this very call has made it.
            if status_of(error) != 409:
                raise
            operation = {"done": True}
        node_id, seen = f"{parent}/nodes/{name}", dict[str, Any]()

        def known() -> bool:
            seen.update(self.get(node_id) or {})
            return seen.get("state") not in (None, "CREATING")

        tpu_operations.wait(self._client, operation, enough=known)
        if not seen.get("state"):
            known()
        if not seen:
            text = f"the queued resource {name} was deleted at once"
            raise OperationFailedError(Failure(Category.UNAVAILABLE, "gone", text))
        if seen["state"] in OVER:
            raise OperationFailedError(failure_of(seen))

    def get(self, node_id: str) -> dict[str, Any] | None:
        """Return a slice as its queued resource describes it; None where there is no such queued resource."""
        try:
            return self._as_node(self._resources.get(name=_resource_of(node_id)).execute())
        except HttpError as error:
            if status_of(error) != 404:
                raise
            return None

    def last_seen(self, node_id: str) -> dict[str, Any] | None:
        """Return a slice whose queued resource is over, as it was seen last; None for any other."""
        return self._over.get(node_id)

    def list(self, zone: str) -> list[dict[str, Any]]:
        """Return the slices of a zone as their queued resources describe them, of all pages."""
        if zone in self._empty and not self._expected:
            return []
        parent = f"projects/{self._project}/locations/{zone}"
        request, nodes = self._resources.list(parent=parent, pageSize=_PAGE), list[dict[str, Any]]()
        while request is not None:
            try:
                answer = request.execute()
            except HttpError as error:
                # Cloud TPU is not in this zone, or this account has never been allowed to queue anything.
                if status_of(error) == 404 or (status_of(error) == 403 and not self._expected):
                    self._empty.add(zone)
                    return []
                raise
            mine = [item for item in mappings(items_of(answer, "queuedResources")) if is_queued(str(item.get("name")))]
            nodes += [self._as_node(item) for item in mine]
            request = self._resources.list_next(request, answer)
        if not nodes:
            self._empty.add(zone)
        return nodes

    def merged(self, queued: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
        """Return a slice that is in both lists; on its way out where its queued resource is, whatever it does still."""
        if queued["state"] in OVER:
            self._remember(node)  # the slice itself tells more: taken back, say
        return {**node, "state": "DELETING"} if queued["state"] in _GOING else node

    def delete(self, node_id: str) -> bool:
        """Delete a queued resource and its slice; return whether there was one.

        Raises:
            OperationFailedError: Google took the call, and does not delete it in its state.
        """
        name = _resource_of(node_id)
        try:
            operation = self._resources.delete(name=name, force=True, requestId=new_request_id()).execute()
        except Exception as error:
            if status_of(error) == 404:
                return False
            if status_of(error) in {400, 409} and self._is_going(node_id):
                return True
            raise
        # Not until it is gone, which takes as long as its slice. But Google takes the call in any state, and says in
        # the operation where it cannot delete: `ray down` would ask again and again.
        tpu_operations.wait(self._client, operation, enough=lambda: self._is_going(node_id))
        return True

    def _is_going(self, node_id: str) -> bool:
        node = self.get(node_id)
        return node is None or node["state"] in _GOING

    def _as_node(self, item: Any) -> dict[str, Any]:
        resource, state = _checked(item)
        zone, _, name = resource["name"].split("/", 3)[3].partition("/queuedResources/")
        node = {
            **resource["tpu"]["nodeSpec"][0]["node"],
            # Not the name in its specification, whose project may be a number.
            "name": f"projects/{self._project}/locations/{zone}/nodes/{name}",
            "queuedResource": resource["name"],
            "state": str(state.get("state")),
            STATE: state,
        }
        if node["state"] in OVER:
            self._remember(node)
        return node

    def _remember(self, node: dict[str, Any]) -> None:
        self._over[node["name"]] = node
        for name in list(self._over)[:-_REMEMBERED]:
            self._over.pop(name, None)


def _checked(item: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a queued resource and its state.

    Raises:
        UnexpectedAnswerError: what is read of it is not of the form that the API describes.
    """
    resource = dict(item) if isinstance(item, dict) else {}
    state = resource.pop("state", None)
    resource = described(resource)
    specs = mappings((resource.get("tpu") or {}).get("nodeSpec"))
    if not isinstance(state, dict) or not specs or not isinstance(specs[0].get("node"), dict):
        raise UnexpectedAnswerError(f"the queued resource {resource['name']} is {shown(item)}")
    if not _NAME.fullmatch(resource["name"]):
        raise UnexpectedAnswerError(f"the name of a queued resource is {shown(resource['name'])}")
    return resource, state


def _resource_of(node_id: str) -> str:
    return node_id.replace("/nodes/", "/queuedResources/")
