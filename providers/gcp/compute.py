"""Machines of Compute Engine: create many at once over the zones, list all of them, label, delete, stop, start."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from googleapiclient.errors import HttpError

from accel_scaling import _ray, timeouts
from accel_scaling.catalog.launch_errors import Category, Failure
from accel_scaling.providers.gcp import launch
from accel_scaling.providers.gcp.answers import described, items_of, labels_to_keep, named
from accel_scaling.providers.gcp.calls import (
    OperationFailedError,
    ZonalResource,
    of_operation,
    retry_on_conflict,
    status_of,
)
from accel_scaling.providers.gcp.client import collection, new_request_id
from accel_scaling.providers.gcp.labels import from_labels, to_label
from accel_scaling.providers.gcp.reservations import Reservations
from accel_scaling.providers.gcp.reserved_launch import ReservedLaunches

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from accel_scaling.cluster.capacity import CapacityEntry
    from accel_scaling.providers.base.zone_launch import Launch

# Any bases: Ray ships no types for them.
_RayCompute: Any = _ray.gcp_resources()[0]
_RayComputeNode: Any = _ray.gcp_nodes()[0]

_PAGE = 500  # the most that Google returns at once


class Machine(_RayComputeNode):  # type: ignore[misc]
    """An instance as Google describes it, its labels as tags."""

    # docs.cloud.google.com/compute/docs/instances/instance-lifecycle; Ray overlooks the first and the last.
    NON_TERMINATED_STATUSES = frozenset({"PENDING", "PROVISIONING", "STAGING", "RUNNING", "REPAIRING"})
    STOPPED_STATUSES = frozenset({"TERMINATED", "STOPPED"})

    def is_stopped(self) -> bool:
        """Return whether it can be started again."""
        return self.get("status") in self.STOPPED_STATUSES

    def is_ending(self) -> bool:
        """Return whether it is on its way out permanently, or to a stop: only who has deleted it knows which."""
        return self.get("status") in {"STOPPING", "DEPROVISIONING"}

    def is_waiting(self) -> bool:
        """Return whether it waits for capacity: nothing of it exists yet, and nothing is paid."""
        return bool(self.get("status") == "PENDING")

    def is_preempted(self) -> bool:
        """Return whether it is a spot machine that Google has taken back and stopped."""
        scheduling = self.get("scheduling") or {}
        spot = scheduling.get("preemptible") or scheduling.get("provisioningModel") == "SPOT"
        return bool(spot) and self.is_stopped()

    def get_internal_ip(self) -> str | None:
        """Return the address within the network, None while it has none."""
        return (self._interface()).get("networkIP")

    def get_external_ip(self) -> str | None:
        """Return the public address, None where it has none."""
        accesses: list[dict[str, str]] = self._interface().get("accessConfigs") or [{}]
        return accesses[0].get("natIP")

    def _interface(self) -> dict[str, Any]:
        interfaces: list[dict[str, Any]] = self.get("networkInterfaces") or [{}]
        return interfaces[0]


class Compute(ZonalResource, _RayCompute):  # type: ignore[misc]
    """The Compute Engine of one project, in the zones of one cluster."""

    KIND = "compute"

    def __init__(
        self,
        client: Any,
        project: str,
        zones: Sequence[str],
        cluster_name: str,
        drain_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__(client, project, zones[0], cluster_name)
        self._set_zones(zones)
        self.reserved = ReservedLaunches(Reservations(client, project), time.time, drain_s)
        self.instances = collection(client, "instances")
        # Written by the listings of all zones at once, without a lock: each writes one item at a time.
        self._zone_of: dict[str, str] = {}
        self._seen: dict[str, Machine] = {}  # with the fingerprint of its labels; until these are written
        self._sold_out: dict[tuple[str, str], float] = {}  # (zone, machine type) -> when

    def get_instance(self, node_id: str) -> Machine:
        """Return one instance, asked for now.

        Raises:
            HttpError: 404: there is none in any zone.
        """
        zones = self.zones_of(node_id)
        for zone in zones:
            call = self.instances.get(project=self.project_id, zone=zone, instance=node_id)
            try:
                return self._machine(call.execute(), zone)
            except Exception as error:
                if status_of(error) != 404 or zone == zones[-1]:
                    raise
        raise AssertionError("unreachable: there is a zone")

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
        """Create up to ``count`` machines, by each capacity type zone after zone; those that come are kept."""
        return launch.create(
            self,
            node_config,
            labels,
            count,
            zones=zones,
            keep_stopped=keep_stopped,
            order=order,
            machines=machines,
        )

    def delete(self, node_id: str) -> None:
        """Delete a machine, whether it is there or not."""
        # In each zone where it may be: that of a machine which no listing has shown here is not known.
        for zone in self.zones_of(node_id):
            call = self.instances.delete(
                project=self.project_id, zone=zone, instance=node_id, requestId=new_request_id()
            )
            try:
                call.execute()
            except Exception as error:
                if status_of(error) != 404:
                    raise
        self._zone_of.pop(node_id, None)
        self._seen.pop(node_id, None)

    def stop(self, node_id: str) -> None:
        """Stop a machine that is to be started again."""
        zone = self.zone_of(node_id)
        call = self.instances.stop(project=self.project_id, zone=zone, instance=node_id, requestId=new_request_id())
        call.execute()

    def start(self, node_id: str) -> None:
        """Start a stopped machine, and wait until it is.

        Raises:
            OperationFailedError: Google could not, a sold-out zone say.
        """
        zone = self.zone_of(node_id)
        call = self.instances.start(project=self.project_id, zone=zone, instance=node_id, requestId=new_request_id())
        self.wait(call.execute(), zone)

    def write_labels(self, node_id: str, labels: dict[str, str]) -> bool:
        """Add labels to a machine's; False if there is no such machine. A change in between is read and kept."""

        def add() -> None:
            # As it was seen last, and read in each further try: Google refuses (412) the fingerprint of older labels.
            machine = self._seen.pop(node_id, None) or self.get_instance(node_id)
            self._seen.pop(node_id, None)
            self._set_labels(machine, {**labels_to_keep(machine.raw_labels, node_id), **labels})

        try:
            retry_on_conflict(add, lambda error: status_of(error) == 412)
        except HttpError as error:
            if status_of(error) == 404:
                return False
            raise
        return True

    def zone_of(self, node_id: str) -> str:
        """Return the zone that a machine is in.

        Raises:
            HttpError: 404: there is none in any zone.
        """
        if node_id not in self._zone_of:
            self.get_instance(node_id)
        return self._zone_of[node_id]

    def _set_labels(self, machine: Machine, labels: dict[str, str]) -> None:
        zone = self._zone_of[machine["name"]]
        body = {"labels": labels, "labelFingerprint": machine["labelFingerprint"]}
        call = self.instances.setLabels(
            project=self.project_id, zone=zone, instance=machine["name"], body=body, requestId=new_request_id()
        )
        self.wait(call.execute(), zone)

    def _list_zone(self, zone: str) -> list[Machine]:
        # A TPU's hosts are instances too, without ssh keys of ours: the slice stands for them.
        label_filter = f"(labels.{_ray.gcp_tags()[0]} = {to_label(self.cluster_name)}) AND (NOT labels.tpu_cores:*)"
        instances = self.instances
        request = instances.list(project=self.project_id, zone=zone, filter=label_filter, maxResults=_PAGE)
        machines: list[Machine] = []
        while request is not None:
            answer = request.execute()
            machines += [self._machine(item, zone) for item in items_of(answer, "items")]
            request = instances.list_next(request, answer)
        return machines

    def _machine(self, item: Any, zone: str) -> Machine:
        machine = Machine(described(item), self)
        # Google's form of the labels, not as tags: written back, a decoded value might be none that Google takes.
        machine.raw_labels = dict(machine.get("labels") or {})
        machine["labels"] = from_labels(machine.raw_labels)
        self._zone_of[machine["name"]] = zone
        self._seen[machine["name"]] = machine
        return machine

    def zones_of(self, node_id: str) -> list[str]:
        """Return the zone of a machine, or every zone where it may be."""
        known = self._zone_of.get(node_id)
        return [known] if known else self.zones

    def tried_order(self, machine_type: str) -> list[str]:
        """Return the zones in the order of the cluster file, those that were sold out a moment ago last."""
        since = time.monotonic() - timeouts.GCP_DRY_ZONE_S
        # `sorted` keeps the order of the file among zones that are alike.
        return sorted(self.zones, key=lambda zone: self._sold_out.get((zone, machine_type), since) > since)

    def note_sold_out(self, zone: str, machine_type: str) -> None:
        """Remember that a zone has no machine of this type just now."""
        self._sold_out[zone, machine_type] = time.monotonic()

    def existing(self, zone: str, names: Sequence[str]) -> list[str]:
        """Return those of the names that exist in a zone: after a failure only Google knows."""
        alive = {machine["name"] for machine in self._list_zone(zone) if not machine.is_terminated()}
        return [name for name in names if name in alive]

    def placed(self, zone: str, names: Sequence[str]) -> list[str]:
        """Remember which zone these machines are in, and return them."""
        # Placed at once: the next question about such a machine need not look for it in every zone.
        self._zone_of.update(dict.fromkeys(names, zone))
        return list(names)

    def wait_or_queued(self, operation: dict[str, Any], zone: str, node_id: str) -> None:
        """Wait until a flex-start machine is created, or is PENDING, in which it may be for two hours.

        Google does not document whether its operation is under way that long: the machine says it.

        Raises:
            OperationFailedError: it failed, or neither came in half an hour.
        """
        deadline = time.monotonic() + timeouts.GCP_OPERATION_S
        while operation.get("status") != "DONE":
            if time.monotonic() > deadline:
                text = f"{named(operation)} is not done after {timeouts.GCP_OPERATION_S:.0f} s"
                raise OperationFailedError(Failure(Category.UNAVAILABLE, "TIMEOUT", text))
            try:
                call = self.instances.get(project=self.project_id, zone=zone, instance=node_id)
                if self._machine(call.execute(), zone).is_waiting():
                    return
            except HttpError as error:
                if status_of(error) != 404:
                    raise
            time.sleep(timeouts.GCP_OPERATION_POLL_S)
            operations = collection(self.resource, "zoneOperations")
            operation = operations.get(project=self.project_id, zone=zone, operation=named(operation)).execute()
        if "error" in operation:
            raise OperationFailedError(of_operation(operation["error"]))

    def wait(self, operation: dict[str, Any], zone: str) -> dict[str, Any]:
        """Wait until an operation is done, by Google's own waiting call.

        Raises:
            OperationFailedError: it failed, or is not done after half an hour.
        """
        deadline = time.monotonic() + timeouts.GCP_OPERATION_S
        while operation.get("status") != "DONE":
            if time.monotonic() > deadline:
                text = f"{named(operation)} is not done after {timeouts.GCP_OPERATION_S:.0f} s"
                raise OperationFailedError(Failure(Category.UNAVAILABLE, "TIMEOUT", text))
            asked_at = time.monotonic()
            call = collection(self.resource, "zoneOperations").wait(
                project=self.project_id, zone=zone, operation=named(operation)
            )
            operation = call.execute()
            if operation.get("status") != "DONE" and time.monotonic() - asked_at < timeouts.GCP_OPERATION_POLL_S:
                time.sleep(timeouts.GCP_OPERATION_POLL_S)  # an overloaded server answers at once
        if "error" in operation:
            raise OperationFailedError(of_operation(operation["error"]))
        return operation
