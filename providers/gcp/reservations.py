"""The reservations that launches name: their zone, free places, begin and end, asked of Google.

Asked by `compute.reservations.list`, and `compute.futureReservations.list` for the times of calendar mode. Where the
caller may not, a launch continues without the answer: Google refuses what does not fit.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.providers.base.known_reservations import KnownReservations
from accel_scaling.providers.gcp.calls import mappings, status_of
from accel_scaling.providers.gcp.capacity import ReservationName
from accel_scaling.providers.gcp.client import collection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

PERMISSION = "compute.reservations.list"
READY, MISSING = "READY", "MISSING"  # the first is Google's word; of what it does not list, the second is ours


@dataclass(frozen=True)
class Reservation:
    """One reservation, as Google describes it.

    Attributes:
        name: as a request names it.
        zone: where its machines are; empty where it is MISSING.
        machine_type: of its machines; empty where Google does not say.
        state: Google's word.
        total: how many machines have a place in it.
        free: how many more can be created in it.
        begins_s: from when it can be used, in Unix seconds; 0 where Google does not say.
        ends_s: when Google ends its machines, in Unix seconds; None where it does not end them.
        is_block: it is of calendar mode: it has an end, and its machines are RESERVATION_BOUND.
        policies: the placement policies that it was made with.
        is_dense: Google has placed its machines close to each other.
    """

    name: ReservationName
    zone: str = ""
    machine_type: str = ""
    state: str = MISSING
    total: int = 0
    free: int = 0
    begins_s: float = 0.0
    ends_s: float | None = None
    is_block: bool = False
    policies: tuple[str, ...] = ()
    is_dense: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether machines can be created in it, as far as Google says."""
        return self.state == READY

    @property
    def title(self) -> str:
        """What it is, and its name: for messages."""
        return str(self)

    def __str__(self) -> str:
        return f"the reservation {self.name}"


class Reservations(KnownReservations[ReservationName, Reservation]):
    """What Google says of reservations, as requests name them.

    Args:
        compute: Google's client of Compute Engine.
        project: of the machines.
        clock: Unix seconds.
    """

    def __init__(self, compute: Any, project: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self._compute, self._project = compute, project
        self._not_allowed_until_s: dict[str, float] = {}  # by project

    def ask(self, name: ReservationName) -> Reservation | None:
        """Ask Google for a reservation; None where it does not say."""
        if self._clock() < self._not_allowed_until_s.get(name.project, 0.0):
            return None
        try:
            return asked(self._compute, self._project, name)
        except Exception as error:  # noqa: BLE001 - no answer; the launch meets the same network
            self._unknown(name, error)
            return None

    def _unknown(self, name: ReservationName, error: Exception) -> None:
        if status_of(error) != 403:
            logger.warning("it is not known what the reservation %s has: %s", name, error)
            return
        first = name.project not in self._not_allowed_until_s
        self._not_allowed_until_s[name.project] = self._clock() + timeouts.NOT_ALLOWED_S
        if first:
            logger.warning(
                "the head's service account lacks %s in project %s: launches into reservations continue without "
                "knowing their zone, their free places, and when they begin and end",
                PERMISSION,
                name.project or self._project,
            )


def asked(compute: Any, project: str, name: ReservationName) -> Reservation:
    """Return a reservation as Google describes it now; one that is MISSING where it has none of this name.

    Args:
        compute: Google's client.
        project: of the machines.
        name: as a request names it.

    Raises:
        Exception: as the client raises it, 403 where the caller may not ask.
    """
    owner = name.project or project
    listed = _listed(collection(compute, "reservations"), owner, "reservations", f"name = {name.name}")
    found = next((_read(name, row) for row in listed if row.get("name") == name.name), Reservation(name))
    request = next((row for row in _requests(compute, owner) if _delivers(row, name.name)), None)
    return found if request is None else _with_times(found, request)


def _requests(compute: Any, owner: str) -> list[dict[str, Any]]:
    """Return the requests for reservations of calendar mode; none where the caller may not see them."""
    try:
        rows = list(_listed(collection(compute, "futureReservations"), owner, "futureReservations", ""))
    except Exception as error:
        if status_of(error) != 403:
            raise
        return []
    return [row for row in rows if row.get("reservationMode") == "CALENDAR"]


def _listed(calls: Any, project: str, what: str, text: str) -> Iterator[dict[str, Any]]:
    request = calls.aggregatedList(project=project, **({"filter": text} if text else {}))
    while request is not None:
        answer = request.execute()
        for scope, held in (answer.get("items") or {}).items():
            for row in mappings(held.get(what)):
                yield {"zone": scope, **row}
        request = calls.aggregatedList_next(request, answer)


def _read(name: ReservationName, row: dict[str, Any]) -> Reservation:
    specific = row.get("specificReservation") or {}
    total, used = _number(specific.get("count")), _number(specific.get("inUseCount"))
    # What a host error, or a suspended project, has taken of it for now.
    assured = _number(specific.get("assuredCount", total))
    return Reservation(
        name,
        str(row.get("zone", "")).rpartition("/")[2],
        str((specific.get("instanceProperties") or {}).get("machineType") or "").rpartition("/")[2],
        str(row.get("status") or READY),
        total,
        max(0, min(total, assured) - used),
        policies=tuple(map(str, (row.get("resourcePolicies") or {}).values())),
        is_dense=row.get("deploymentType") == "DENSE",
    )


def _delivers(request: dict[str, Any], name: str) -> bool:
    urls = (request.get("status") or {}).get("autoCreatedReservations") or []
    return request.get("reservationName") == name or any(str(url).endswith(f"/reservations/{name}") for url in urls)


def _with_times(found: Reservation, request: dict[str, Any]) -> Reservation:
    window, properties = request.get("timeWindow") or {}, request.get("specificSkuProperties") or {}
    machine_type = str((properties.get("instanceProperties") or {}).get("machineType") or "").rpartition("/")[2]
    begins_s, ends_s = unix_s(window.get("startTime")), unix_s(window.get("endTime"))
    made = found.state != MISSING
    return replace(
        found,
        zone=found.zone or str(request.get("zone", "")).rpartition("/")[2],
        machine_type=found.machine_type or machine_type,
        state=found.state if made else "APPROVED",
        total=found.total or _number(properties.get("totalCount")),
        begins_s=begins_s or 0.0,
        ends_s=ends_s,
        is_block=True,
    )


def unix_s(text: Any) -> float | None:
    """Return a time of Google's in Unix seconds; None where it is none."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _number(given: Any) -> int:
    return int(given) if str(given).isdecimal() else 0
