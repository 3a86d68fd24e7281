"""The machines of Compute Engine with their statuses, and the calls for one of them."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.gce.api_errors import ApiError, exists, not_found
from accel_scaling.testing.gce.lists import page_size, parse_filter
from accel_scaling.testing.gce.machine_rules import check_labels
from accel_scaling.testing.gce.state import COMPUTE, Errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.testing.gce.state import State

GONE, TERMINATED, PENDING = "gone", "TERMINATED", "PENDING"


class Instances:
    """All machines, by zone and name.

    Args:
        state: the project's; whoever calls holds its lock.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._machines: dict[tuple[str, str], dict[str, Any]] = {}
        self._after: dict[tuple[str, str], str] = {}  # what becomes of a machine that is stopping
        self._started: dict[tuple[str, str], float] = {}  # when, on the state's clock
        state.at_each_look.append(self._end_run_durations)
        self.handlers: dict[str, Any] = {
            "compute.instances.get": self._get,
            "compute.instances.list": self._list,
            "compute.instances.setLabels": self._set_labels,
            "compute.instances.setMetadata": self._set_metadata,
            "compute.instances.delete": self._delete,
            "compute.instances.stop": self._stop,
            "compute.instances.start": self._start,
        }

    # What the engine calls.

    def all(self) -> list[dict[str, Any]]:
        """Return every machine."""
        return list(self._machines.values())

    def add(self, zone: str, machine: dict[str, Any]) -> None:
        """Take a new machine in.

        Raises:
            ApiError: 409, there is one of its name.
        """
        key = (zone, machine["name"])
        if key in self._machines:
            raise exists(f"projects/{self._state.project}/zones/{zone}/instances/{machine['name']}")
        self._machines[key] = machine

    def stage(self, name: str) -> None:
        """Complete Google's part of a creation or a start."""
        machine = self._machines.get(self._key(name))
        # It may have been deleted or stopped while its operation was under way: then it stays so.
        if machine and machine["status"] in {"PROVISIONING", TERMINATED}:
            machine["status"] = "RUNNING" if self._state.boots else "STAGING"
            self._started[self._key(name)] = self._state.clock()
            if (longest_s := _longest_run_s(machine)) is not None:
                ends = time_text(self._state.unix_s() + longest_s)
                status = machine.setdefault("resourceStatus", {})
                status["scheduling"] = {"terminationTimestamp": ends}

    def booted(self, name: str) -> None:
        """Take note that its host is up."""
        machine = self._machines.get(self._key(name))
        if machine and machine["status"] == "STAGING":
            machine["status"] = "RUNNING"

    def ended(self, name: str) -> None:
        """Take note that its host is off."""
        key = self._key(name)
        if key not in self._machines:
            return
        if self._after.pop(key, GONE) == GONE:
            del self._machines[key]
        else:
            self._machines[key]["status"] = TERMINATED

    def vanish(self, name: str) -> None:
        """Remove a machine that never came."""
        self._machines.pop(self._key(name), None)

    def preempt(self, name: str) -> None:
        """Take it back, as Google does: it stops, and is deleted where its scheduling says so."""
        key = self._existing(name)
        if capacity_type_of(self._machines[key]) != "spot":
            raise ValueError(f"{name} is no spot machine: Google does not take it back")
        self._end(key, _end_of(self._machines[key]))

    def end_at_launch(self, name: str) -> None:
        """End it as after an error of its host: a spot machine is preempted, any other stops and stays listed."""
        key = self._existing(name)
        self._machines[key]["statusMessage"] = "Instance was terminated by Compute Engine."
        self._end(key, _end_of(self._machines[key]))

    def set_status(self, name: str, status: str) -> None:
        """Put it into a status."""
        self._machines[self._existing(name)]["status"] = status

    def live(self, machine_type: str, capacity_type: str = "") -> int:
        """Count the machines of a type, or of one capacity type of it, that take capacity nobody has reserved."""
        return sum(
            machine["machineType"].endswith(f"/{machine_type}")
            and machine["status"] not in (TERMINATED, PENDING)
            and not reservation_of(machine)
            and capacity_type in ("", capacity_type_of(machine))
            for machine in self._machines.values()
        )

    def in_reservation(self, path: str) -> int:
        """Count the machines that have a place in a reservation."""
        return sum(
            reservation_of(machine) == path and machine["status"] != TERMINATED for machine in self._machines.values()
        )

    def end_reserved(self, path: str) -> None:
        """End the machines of a reservation that has ended, each as it asked for."""
        for key, machine in list(self._machines.items()):
            if reservation_of(machine) == path and machine["status"] not in ("STOPPING", TERMINATED):
                self._end(key, _end_of(machine))

    def waits(self, zone: str, name: str) -> bool:
        """Return whether a machine waits for capacity."""
        machine = self._machines.get((zone, name))
        return machine is not None and machine["status"] == PENDING

    def comes(self, zone: str, name: str, address: str) -> None:
        """Give a machine that waited its capacity and its address: Google starts it."""
        machine = self._machines[zone, name]
        machine["status"] = "PROVISIONING"
        machine["networkInterfaces"] = with_addresses(machine["networkInterfaces"], address)
        self.stage(name)

    def _end_run_durations(self) -> None:
        """End each machine that has run as long as it may."""
        now = self._state.clock()
        for key, machine in list(self._machines.items()):
            longest_s = _longest_run_s(machine)
            if longest_s is None or key not in self._started or machine["status"] in ("STOPPING", TERMINATED):
                continue
            if now >= self._started[key] + longest_s:
                self._end(key, _end_of(machine))

    # The calls.

    def find(self, parameters: dict[str, str]) -> dict[str, Any]:
        """Return the machine that a call names.

        Raises:
            ApiError: 404, there is none.
        """
        zone, name = self._state.zone(parameters["zone"]), parameters["instance"]
        if (zone, name) not in self._machines:
            raise not_found(f"projects/{self._state.project}/zones/{zone}/instances/{name}")
        return self._machines[zone, name]

    def _get(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        return self.find(parameters)

    def _list(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        zone = self._state.zone(parameters["zone"])
        fits = parse_filter(parameters.get("filter", ""))
        in_zone = [machine for (place, _), machine in sorted(self._machines.items()) if place == zone]
        size = page_size(parameters, self._state.injection)
        # A name, not a number: machines that vanish between two pages must not make the second one skip others.
        after = parameters.get("pageToken", "")
        rest = [machine for machine in in_zone if machine["name"] > after and fits(machine)]
        answer: dict[str, Any] = {"kind": "compute#instanceList", "id": f"zones/{zone}/instances"}
        if rest:
            answer["items"] = rest[:size]
        if len(rest) > size:
            answer["nextPageToken"] = rest[size - 1]["name"]
        return answer

    def _set_labels(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        machine = self.find(parameters)
        # Of two clients that read the same labels, the second to write must not undo what the first has written.
        if body.get("labelFingerprint") != machine["labelFingerprint"]:
            text = "Labels fingerprint either invalid or resource labels have changed"
            raise ApiError(412, text, "conditionNotMet")
        check_labels(body.get("labels", {}))
        machine["labels"] = dict(body.get("labels", {}))
        machine["labelFingerprint"] = fingerprint(machine["labels"])
        return self._begin("setLabels", machine, list)

    def _set_metadata(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        machine = self.find(parameters)
        machine["metadata"] = copy.deepcopy(body)
        return self._begin("setMetadata", machine, list)

    def _delete(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        machine = self.find(parameters)
        key = (parameters["zone"], machine["name"])
        on = machine["status"] != TERMINATED
        machine["status"], self._after[key] = "STOPPING", GONE

        # A machine that is off has no host whose end could complete the operation.
        def finish() -> Errors:
            if key in self._machines and (self._state.boots or not on):
                self.ended(key[1])
            return []

        return self._begin("delete", machine, finish, [machine["name"]] if on else [])

    def _stop(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        machine = self.find(parameters)
        key = (parameters["zone"], machine["name"])
        if machine["status"] == TERMINATED:
            return self._begin("stop", machine, list)
        machine["status"] = "STOPPING"
        self._after.setdefault(key, TERMINATED)  # a deletion that is under way stays one

        def finish() -> Errors:
            if self._state.boots:
                self.ended(key[1])
            return []

        return self._begin("stop", machine, finish, [machine["name"]])

    def _start(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        machine = self.find(parameters)
        if machine["status"] != TERMINATED:
            raise ApiError(400, f"The instance is {machine['status']}; only a stopped one starts.", "resourceNotReady")

        def finish() -> Errors:
            self.stage(machine["name"])
            return []

        return self._begin("start", machine, finish, [machine["name"]])

    def _begin(
        self, verb: str, machine: dict[str, Any], finish: Callable[[], Errors], hosts_of: list[str] | None = None
    ) -> dict[str, Any]:
        zone = machine["zone"].rpartition("/")[2]
        target = machine["selfLink"].removeprefix(COMPUTE)
        fault = self._state.injection.take_fault(f"compute.instances.{verb}", ("operation",))
        if fault:
            errors = [{"code": fault.code, "message": fault.message}]
            return self._state.view(self._state.begin(verb, target, f"zones/{zone}", lambda: errors))
        operation = self._state.begin(verb, target, f"zones/{zone}", finish, hosts_of=hosts_of or ())
        return self._state.view(operation)

    def _end(self, key: tuple[str, str], after: str) -> None:
        self._machines[key]["status"], self._after[key] = "STOPPING", after
        if self._state.boots:
            self.ended(key[1])

    def _key(self, name: str) -> tuple[str, str]:
        return next((key for key in self._machines if key[1] == name), ("", name))

    def _existing(self, name: str) -> tuple[str, str]:
        key = self._key(name)
        if key not in self._machines:
            raise KeyError(f"there is no machine {name}")
        return key


def _end_of(machine: dict[str, Any]) -> str:
    """Return what becomes of a machine that Google ends: it is deleted where its scheduling says so."""
    deleted = machine.get("scheduling", {}).get("instanceTerminationAction") == "DELETE"
    return GONE if deleted else TERMINATED


def _longest_run_s(machine: dict[str, Any]) -> float | None:
    longest = (machine.get("scheduling") or {}).get("maxRunDuration") or {}
    return float(longest["seconds"]) if longest.get("seconds") else None


def capacity_type_of(machine: Mapping[str, Any]) -> str:
    """Return as what a machine, or a request for one, is sold, apart from reservations."""
    scheduling = machine.get("scheduling") or {}
    if scheduling.get("preemptible") or scheduling.get("provisioningModel") == "SPOT":
        return "spot"
    return "flex-start" if scheduling.get("provisioningModel") == "FLEX_START" else "on-demand"


def reservation_of(machine: Mapping[str, Any]) -> str:
    """Return the path of the reservation that a machine has a place in; empty for none."""
    info = (machine.get("resourceStatus") or {}).get("reservationConsumptionInfo") or {}
    return str(info.get("consumedReservation", ""))


def capacity_word(machine: Mapping[str, Any]) -> str:
    """Return how a machine is bought, as events have it: ``reserved NAME``, ``block NAME``, or its capacity type."""
    asked = (machine.get("reservationAffinity") or {}).get("values") or [""]
    name = (reservation_of(machine) or str(asked[0])).rpartition("/")[2]
    if not name:
        return capacity_type_of(machine)
    is_block = (machine.get("scheduling") or {}).get("provisioningModel") == "RESERVATION_BOUND"
    return f"{'block' if is_block else 'reserved'} {name}"


def with_addresses(interfaces: list[dict[str, Any]], address: str) -> list[dict[str, Any]]:
    """Return the interfaces with addresses; a public one is one that the laptop reaches: the private one."""
    addressed = copy.deepcopy(interfaces)
    for number, interface in enumerate(addressed):
        interface |= {"name": f"nic{number}", "networkIP": address}
        for access in interface.get("accessConfigs", []):
            access["natIP"] = address
    return addressed


def fingerprint(value: Any) -> str:
    """Return a hash of a value, in the form of Google's fingerprints."""
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return base64.urlsafe_b64encode(digest[:6]).decode()


def now_text() -> str:
    """Return the time as Google writes it."""
    return time_text(time.time())


def time_text(unix_s: float) -> str:
    """Return a time as Google writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000-00:00", time.gmtime(unix_s))
