"""Launching on EC2 zone after zone: each zone's subnets, those left alone passed over, each failure of its own kind."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray, timeouts
from accel_scaling.catalog.launch_errors import ELSEWHERE, PASSING, SOLD_OUT, Category, Failure, classified
from accel_scaling.quarantine.ledger import EVERY_ZONE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.quarantine.gate import Gate

    CreateNode = Callable[[dict[str, Any], dict[str, str], int], dict[str, Any]]


@dataclass
class Launch:
    """Everything that a launch needs.

    Attributes:
        create: Ray's ``create_node``, which tries each of ``SubnetIds`` once.
        zone_of_subnet: subnet -> zone.
        guard: which zones are left alone.
    """

    create: CreateNode
    zone_of_subnet: Mapping[str, str]
    guard: Gate
    sleep: Callable[[float], None] = time.sleep
    made: dict[str, Any] = field(default_factory=dict)

    def run(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        """Launch ``count`` machines, zone after zone in the order of ``SubnetIds``; a short launch is asked again.

        EC2 gives no reason when it launches fewer than asked (MinCount is 1), only when it launches none; so the rest
        is asked for once more, and what EC2 answers then is the reason.

        Raises:
            NodeLaunchException: AWS's code and message, and how many came; those are kept.
            click.ClickException: the same, for the head node, which `ray up` launches.
        """
        node_type, head = _ray.node_type_of(tags), _ray.is_head(tags)
        by_zone: dict[str, list[str]] = {}
        for subnet in node_config.get("SubnetIds") or []:
            by_zone.setdefault(self.zone_of_subnet.get(subnet, ""), []).append(subnet)
        zones = list(by_zone) or [""]
        if not head:
            zones = self.guard.check(node_type, zones)
        failure: Failure | None = None
        tried: list[str] = []
        with self.guard.launching(node_type, 0 if head else count):
            for zone in zones:
                tried.append(zone)
                placed = {**node_config, "SubnetIds": by_zone[zone]} if zone in by_zone else node_config
                failure = self._in_zone(placed, tags, count, zone)
                if failure is None:
                    return self.made
                if not head:
                    sold_out = failure.category in SOLD_OUT
                    where = EVERY_ZONE if failure.category is Category.QUOTA else zone  # EC2's quota is a region's
                    self.guard.failed(node_type, where, failure.code, failure.message, sold_out=sold_out)
                if failure.category not in ELSEWHERE:
                    break
        raise self._exception(failure or Failure(Category.UNKNOWN, "?", ""), node_config, count, tried, head=head)

    def _in_zone(self, node_config: dict[str, Any], tags: dict[str, str], count: int, zone: str) -> Failure | None:
        waits = iter(timeouts.AWS_LAUNCH_RETRY_WAITS_S)
        while len(self.made) < count:
            try:
                new = self.create(node_config, tags, count - len(self.made))
            except Exception as error:  # noqa: BLE001 - whatever it is, those that came are kept
                failure = failure_of(error)
                wait_s = next(waits, None) if failure.category in PASSING else None
                if wait_s is None:
                    return failure
                self.sleep(wait_s)
                continue
            if not new:
                return Failure(Category.UNKNOWN, "none launched", "EC2 launched none and gave no reason")
            self.made |= new
            if not _ray.is_head(tags):
                self.guard.launched(_ray.node_type_of(tags), zone, new)
        return None

    def _exception(
        self, failure: Failure, node_config: dict[str, Any], count: int, zones: list[str], *, head: bool
    ) -> Exception:
        machine = node_config.get("InstanceType", "?")
        tried = f" (tried in {', '.join(zones)})" if any(zones) else ""
        if head:
            return click.ClickException(f"the head node ({machine}) could not be launched: {failure}{tried}")
        made = len(self.made)
        came = f"{made} of {count} x {machine} launched and kept; for the rest AWS says: " if made else f"{machine}: "
        launch_failure: Exception = _ray.node_launch_exception()(
            failure.code, f"{came}{failure.message}{tried}", sys.exc_info()
        )
        return launch_failure


def failure_of(error: BaseException) -> Failure:
    """Return what an error of a launch means."""
    if isinstance(error, _ray.node_launch_exception()):
        return classified("aws", [error.category], error.description)
    response = getattr(error, "response", None) or {}
    details = response.get("Error", {}) if isinstance(response, dict) else {}
    return classified("aws", [details.get("Code") or type(error).__name__], details.get("Message") or str(error))


def zones_of(client: Any, subnets: list[str]) -> dict[str, str]:
    """Return subnet -> zone, asked of EC2; empty where it does not say, and all subnets count as one zone then."""
    if not subnets:
        return {}
    try:
        answer = client.describe_subnets(SubnetIds=subnets)
    except Exception:  # noqa: BLE001 - the launch itself says what is wrong with a subnet
        return {}
    return {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in answer["Subnets"]}
