"""Launches on EC2: each zone's subnets, a short launch asked again, and AWS's reason where machines are missing."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray, timeouts
from accel_scaling.catalog.launch_errors import PASSING, Category, Failure, classified
from accel_scaling.providers.aws.cloud import CLOUD
from accel_scaling.providers.aws.errors import sentence_of
from accel_scaling.providers.base.zone_launch import Workers, gated, over_zones

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.providers.base.zone_launch import Launch
    from accel_scaling.quarantine.gate import Gate

    CreateNode = Callable[[dict[str, Any], dict[str, str], int], dict[str, Any]]


class MachineLaunch:
    """One launch of like machines; what came is kept, whatever becomes of the rest."""

    def __init__(
        self,
        create: CreateNode,
        zone_of_subnet: Mapping[str, str],
        gate: Gate,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Launch with Ray's provider.

        Args:
            create: Ray's ``create_node``, which tries each of ``SubnetIds`` once.
            zone_of_subnet: subnet -> zone.
            gate: which zones are in quarantine.
            sleep: waits so many seconds.
        """
        self._create = create
        self._zone_of_subnet = zone_of_subnet
        self._gate = gate
        self._sleep = sleep
        self._made: dict[str, Any] = {}

    def run(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        """Launch ``count`` machines, zone after zone in the order of ``SubnetIds``.

        Raises:
            NodeLaunchException: AWS's code and message, and how many came; those are kept.
            click.ClickException: the same, for the head node, which `ray up` launches.
        """
        by_zone: dict[str, list[str]] = {}
        for subnet in node_config.get("SubnetIds") or []:
            by_zone.setdefault(self._zone_of_subnet.get(subnet, ""), []).append(subnet)
        zones = list(by_zone) or [""]  # subnets whose zones EC2 did not say count as one zone without a name

        def try_zone(zone: str, missing: int) -> tuple[list[str], Failure | None]:
            placed = {**node_config, "SubnetIds": by_zone[zone]} if zone in by_zone else node_config
            return self._in_zone(placed, tags, missing)

        def launch(allowed: list[str]) -> Launch:
            return over_zones(allowed, count, try_zone)

        if _ray.is_head(tags):
            result = launch(zones)
        else:
            result = gated(self._gate, Workers(_ray.node_type_of(tags), count), zones, launch)
        if result.failure is not None:
            raise self._shortfall(result, node_config, tags, count)
        return self._made

    def _in_zone(
        self, node_config: dict[str, Any], tags: dict[str, str], count: int
    ) -> tuple[list[str], Failure | None]:
        """Launch in one zone; a short launch is asked again.

        EC2 gives no reason when it launches fewer than asked (MinCount is 1), only when it launches none; so the rest
        is asked for once more, and what EC2 answers then is the reason.
        """
        # One series of waits for the whole zone, in however many pieces the machines come.
        waits = iter(timeouts.AWS_LAUNCH_RETRY_WAITS_S)
        made: list[str] = []
        while len(made) < count:
            try:
                new = self._create(node_config, tags, count - len(made))
            except Exception as error:  # noqa: BLE001 - whatever it is, those that came are kept
                failure = failure_of(error)
                wait_s = next(waits, None) if failure.category in PASSING else None
                if wait_s is None:
                    return made, failure
                self._sleep(wait_s)
                continue
            if not new:
                return made, Failure(Category.UNKNOWN, "none launched", "EC2 launched none and gave no reason")
            # Ray wants the instances by their ids; over_zones() keeps the ids alone.
            self._made |= new
            made += new
        return made, None

    def _shortfall(self, launch: Launch, node_config: dict[str, Any], tags: dict[str, str], count: int) -> Exception:
        machine_type, failure = node_config.get("InstanceType", "?"), launch.failure
        tried = f" (tried in {', '.join(launch.zones)})" if any(launch.zones) else ""
        if failure is None or _ray.is_head(tags):
            return click.ClickException(f"the head node ({machine_type}) could not be launched: {failure}{tried}")
        made = len(self._made)
        came = f"{made} of {count} x {machine_type} launched and kept; for the rest AWS says: "
        exception: Exception = _ray.node_launch_exception()(
            failure.code, f"{came if made else f'{machine_type}: '}{failure.message}{tried}", sys.exc_info()
        )
        return exception


def failure_of(error: BaseException) -> Failure:
    """Return what an error of a launch means."""
    if isinstance(error, _ray.node_launch_exception()):
        # Ray's provider has wrapped AWS's error into its own, with the code as the category.
        return classified(CLOUD.name, [error.category], error.description)
    response = getattr(error, "response", None) or {}
    details = response.get("Error", {}) if isinstance(response, dict) else {}
    message = details.get("Message") or sentence_of(error) or str(error)
    return classified(CLOUD.name, [details.get("Code") or type(error).__name__], message)


def zones_of(client: Any, subnets: list[str]) -> dict[str, str]:
    """Return subnet -> zone, asked of EC2; empty where it does not say, and all subnets count as one zone then."""
    if not subnets:
        return {}
    try:
        answer = client.describe_subnets(SubnetIds=subnets)
    except Exception:  # noqa: BLE001 - the launch itself says what is wrong with a subnet
        return {}
    return {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in answer["Subnets"]}
