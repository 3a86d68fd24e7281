"""Which of a cloud's answers counts against a node type: what is sold out is, a limit on calls is not."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httplib2
import pytest
from googleapiclient.errors import HttpError

from accel_scaling import _ray
from accel_scaling.catalog.launch_errors import SOLD_OUT, Category, Failure
from accel_scaling.providers.aws.launch import MachineLaunch
from accel_scaling.providers.aws.launch_failures import failure_of
from accel_scaling.providers.aws.reservations import Reservations
from accel_scaling.providers.aws.reserved_launch import ReservedLaunches
from accel_scaling.providers.aws.run_instances import NewMachines
from accel_scaling.providers.aws.subnet_zones import SubnetZones
from accel_scaling.providers.base.zone_launch import Launch, Workers, gated
from accel_scaling.providers.gcp.calls import of_exception
from tests.support.quarantine import A, B, Head

PER_MINUTE = (
    "Quota exceeded for quota metric 'Create node requests' and limit 'Create node requests per minute' of service"
    " 'tpu.googleapis.com' for consumer 'project_number:1'."
)
LAUNCH_FAILED = _ray.node_launch_exception()


def tpu_says(message: str, *details: dict[str, Any]) -> Category:
    content = {"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": list(details)}}
    error = HttpError(httplib2.Response({"status": 429}), json.dumps(content).encode())
    return of_exception(error).category


def test_too_many_calls_to_cloud_tpu_are_no_lack_of_quota_with_or_without_its_error_info() -> None:
    assert tpu_says(PER_MINUTE) is Category.THROTTLED
    assert tpu_says(PER_MINUTE, {"reason": "RATE_LIMIT_EXCEEDED"}) is Category.THROTTLED
    assert tpu_says("Quota limit 'TPUV4sPodPerProjectPerZoneForTPUAPI' has been exceeded.") is Category.QUOTA
    assert tpu_says("There is no more capacity in the zone") is Category.CAPACITY


@pytest.mark.parametrize("code", ["InsufficientVolumeCapacity", "InsufficientAddressCapacity"])
def test_a_zone_without_volumes_or_addresses_has_no_machine_either(code: str) -> None:
    assert failure_of(LAUNCH_FAILED(code, "none", None)).category in SOLD_OUT


def test_the_error_of_a_launch_names_the_zones_that_were_tried_and_no_other(head: Head) -> None:
    def create(node_config: Any, tags: Any, count: int) -> Any:
        raise LAUNCH_FAILED("VcpuLimitExceeded", "your quota is used up", None)

    class Client:
        def describe_subnets(self, SubnetIds: list[str]) -> Any:  # noqa: N803 - as boto3 has it
            zones = {"subnet-1": A, "subnet-2": B}
            return {"Subnets": [{"SubnetId": one, "AvailabilityZone": zones[one]} for one in SubnetIds]}

    new = NewMachines(create, None, "mine")
    reserved = ReservedLaunches(Reservations(Client(), lambda: 0.0), lambda: 0.0, lambda: 0.0)
    launch = MachineLaunch(new, None, SubnetZones(Client(), {}), head.gate, (), reserved=reserved)
    with pytest.raises(LAUNCH_FAILED) as error:
        launch.run(
            {"InstanceType": "p4d.24xlarge", "SubnetIds": ["subnet-1", "subnet-2"]},
            {"ray-node-type": "worker", "ray-user-node-type": "p4d"},
            1,
        )
    assert error.value.description.endswith(f"(tried in {A})")


@pytest.mark.parametrize(("slices", "quota_asked"), [(False, 4), (True, 8)])
def test_over_ten_minutes_of_google_cloud_a_bad_type_is_asked_for_a_few_times(
    slices: bool, quota_asked: int, head: Head
) -> None:
    asked: Counter[str] = Counter()

    def create(zones: list[str], category: Category, what: str) -> Launch:
        failures = {zone: Failure(category, what, "no") for zone in zones}
        if category is Category.QUOTA:  # no further zone is tried
            failures = {zones[0]: failures[zones[0]]}
        asked[what] += len(failures)
        return Launch({}, next(iter(failures.values())), list(failures), failures)

    def lies(zones: list[str]) -> Launch:
        asked["lies"] += 1
        return Launch({zones[0]: [f"node-{asked['lies']}"]}, None, zones[:1])

    def launch(node_type: str, made: Callable[[list[str]], Launch]) -> list[str]:
        if head.most(node_type) == 0:
            return []
        with contextlib.suppress(LAUNCH_FAILED):
            workers = Workers(node_type, 1, quota_is_regional=not slices)
            return gated(head.gate, workers, [A, B], made).nodes
        return []

    for _ in range(120):  # the autoscaler's rounds, 5 s each; there is always a task that wants one of each
        head.tick()
        for node in launch("p4d", lies):
            head.gate.refused(node, "p4d", A if asked["lies"] <= 2 else B, "DriverMissing", "none")
            head.gate.gone(node)
        launch("g5", lambda zones: create(zones, Category.CAPACITY, "stockout"))
        launch("t4", lambda zones: create(zones, Category.QUOTA, "quota"))
        launch("l4", lambda zones: create(zones, Category.THROTTLED, "throttled"))
        head.now_s += 5
    assert asked["lies"] == 4, "three until it is quarantined in all zones, one on trial"
    assert asked["stockout"] == 8, "after 0, 1, 3 and 7 minutes, in each of two zones"
    assert asked["quota"] == quota_asked, "a region's on Compute Engine, a zone's on Cloud TPU"
    assert asked["throttled"] == 240


def test_a_source_of_each_row_is_given() -> None:
    for path in (Path(__file__).parents[2] / "catalogs").glob("*_launch_errors.csv"):
        assert not [line for line in path.read_text().splitlines() if line.endswith(",")], path
