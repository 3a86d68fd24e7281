"""Which of a cloud's answers is held against a node type: what is sold out is, a limit on calls is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httplib2
import pytest
from googleapiclient.errors import HttpError

from accel_scaling import _ray
from accel_scaling.providers import aws_zones
from accel_scaling.providers.gcp_failures import of_exception
from accel_scaling.providers.launch_errors import SOLD_OUT, Category
from tests.test_quarantine_guard import A, B, Head, head_fixture  # noqa: F401 - a fixture

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
    assert aws_zones.failure_of(LAUNCH_FAILED(code, "none", None)).category in SOLD_OUT


def test_the_error_of_a_launch_names_the_zones_that_were_tried_and_no_other(head: Head) -> None:
    def create(node_config: Any, tags: Any, count: int) -> Any:
        raise LAUNCH_FAILED("VcpuLimitExceeded", "your quota is used up", None)

    launch = aws_zones.Launch(create, {"subnet-1": A, "subnet-2": B}, head.guard)
    with pytest.raises(LAUNCH_FAILED) as error:
        launch.run(
            {"InstanceType": "p4d.24xlarge", "SubnetIds": ["subnet-1", "subnet-2"]},
            {"ray-node-type": "worker", "ray-user-node-type": "p4d"},
            1,
        )
    assert error.value.description.endswith(f"(tried in {A})")


def test_a_source_of_each_row_is_given() -> None:
    for path in (Path(__file__).parent.parent / "catalogs").glob("*_launch_errors.csv"):
        assert not [line for line in path.read_text().splitlines() if line.endswith(",")], path
