"""What a cloud's answer to a launch means: its code, its words, and both together."""

from __future__ import annotations

import json

import httplib2
import pytest
from googleapiclient.errors import HttpError

from accel_scaling.catalog.launch_errors import ELSEWHERE, PASSING, Category, classified
from accel_scaling.catalog_lint.check import check_files
from accel_scaling.providers.gcp.calls import of_exception, of_operation

COLUMNS = "code,message,category,source\n"


def category(cloud: str, code: str, message: str = "") -> str:
    return classified(cloud, [code], message).category.value


@pytest.mark.parametrize(
    ("code", "means"),
    [
        ("Server.InsufficientInstanceCapacity", "capacity"),
        ("Server.SpotInstanceTermination", "capacity"),
        ("Server.InternalError", "unavailable"),
        ("Client.InternalError", "permission"),  # no access to the key of an encrypted volume
        ("Client.VolumeLimitExceeded", "quota"),
        ("Client.InvalidSnapshot.NotFound", "bad request"),
        ("Client.RequestLimitExceeded", "throttled"),
        ("Client.UnauthorizedOperation", "permission"),
        ("Client.UserInitiatedShutdown", "unknown"),  # no failure: a user ended it
    ],
)
def test_a_code_of_ec2_may_say_first_whose_fault_it_was(code: str, means: str) -> None:
    assert category("aws", code) == means


@pytest.mark.parametrize(
    ("cloud", "code", "means"),
    [
        ("aws", "InvalidNewThing.NotFound", "bad request"),
        ("aws", "InvalidNewThing", "bad request"),
        ("aws", "SubnetLimitExceeded", "quota"),
        ("aws", "InsufficientNewCapacity", "capacity"),
        ("aws", "UnsupportedNewThing", "bad request"),
        ("aws", "SomethingElse", "unknown"),
        ("gcp", "GPUS_QUOTA_REACHED", "quota"),
        ("gcp", "REGION_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "capacity"),
        ("gcp", "NEW_RATE_EXCEEDED", "throttled"),
        ("gcp", "NETWORK_NOT_FOUND", "bad request"),
        ("gcp", "SOMETHING_ELSE", "unknown"),
        ("gcp", "599", "unavailable"),
    ],
)
def test_a_code_that_no_row_names_is_read_by_its_form(cloud: str, code: str, means: str) -> None:
    assert category(cloud, code) == means


@pytest.mark.parametrize(
    ("message", "means"),
    [
        ("The requested configuration is currently not supported. Please check the documentation.", "not offered"),
        (
            "Your requested instance type (p4d.24xlarge) is not supported in your requested Availability Zone",
            "not offered",
        ),
        ("Something new that this zone does not do", "not offered"),
        (
            "Non-Windows instances with a virtualization type of 'paravirtual' are currently not supported",
            "bad request",
        ),
        ("The instance configuration for this AWS Marketplace product is not supported.", "bad request"),
    ],
)
def test_what_ec2_does_not_support_is_the_zones_unless_the_file_asked_for_it(message: str, means: str) -> None:
    assert category("aws", "Unsupported", message) == means
    assert (classified("aws", ["Unsupported"], message).category in ELSEWHERE) is (means == "not offered")


@pytest.mark.parametrize("code", ["9", "8", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "429", "badRequest"])
def test_a_reservation_without_room_is_a_lack_of_capacity_whatever_the_code(code: str) -> None:
    for words in (
        "Insufficient reserved capacity. Contact customer support to increase your reservation.",
        "Specified reservation 'mine' does not have available resources for the request.",
        "Zone does not currently have sufficient capacity for the requested resources",
    ):
        assert category("gcp", code, words) == "capacity"


@pytest.mark.parametrize("code", ["forbidden", "PERMISSION_DENIED", "403", "7"])
def test_a_zone_that_is_closed_to_the_project_is_no_lack_of_permission(code: str) -> None:
    assert category("gcp", code, "Location us-east1-d is not found or access is unauthorized.") == "not offered"
    assert category("gcp", code, "Required 'compute.instances.create' permission") == "permission"


def test_googles_answer_is_read_whether_or_not_it_lists_its_errors() -> None:
    words = "The zone 'projects/p/zones/us-central1-a' does not have enough resources available to fulfill the request."
    for content in (
        {"error": {"code": 503, "message": words}},
        {"error": {"code": 503, "message": words, "errors": [{"reason": "backendError"}]}},
        {"error": {"code": 503, "message": words, "status": "UNAVAILABLE"}},
    ):
        error = HttpError(httplib2.Response({"status": 503}), json.dumps(content).encode())
        assert of_exception(error).category is Category.CAPACITY
    broken = HttpError(httplib2.Response({"status": 503}), json.dumps({"error": {"message": "try again"}}).encode())
    assert of_exception(broken).category in PASSING


def test_an_operation_of_cloud_tpu_that_failed_within_google_passes() -> None:
    for code in (2, 4, 10, 13, 14):
        assert of_operation({"code": code, "message": "an internal error"}).category is Category.UNAVAILABLE
    preempted = {
        "code": 3,
        "message": "Cloud TPU received a bad request. update is not supported while in state PREEMPTED",
    }
    assert of_operation(preempted).category is Category.CAPACITY
    assert of_operation({"code": 3, "message": "Cloud TPU received a bad request."}).category is Category.BAD_REQUEST


def test_a_failure_without_any_code_is_read_by_its_words() -> None:
    assert classified("gcp", [], "Insufficient reserved capacity.").category is Category.CAPACITY
    assert (classified("gcp", [], "").category, classified("gcp", [], "").code) == (Category.UNKNOWN, "unknown")


def test_a_row_that_an_earlier_one_hides_is_a_mistake(tmp_path) -> None:
    path = tmp_path / "aws_launch_errors.csv"
    path.write_text(COLUMNS + "Invalid*,,bad request,who\nInvalidUserID,of you,permission,who\nBusy,now,quota,who\n")
    (mistake,) = check_files([path]).mistakes
    assert str(mistake) == (
        f"{path}:3: code InvalidUserID is hidden by line 2, Invalid*, which fits it too; put it before that line"
    )
    path.write_text(COLUMNS + "InvalidUserID,of you,permission,who\nInvalid*,,bad request,who\n")
    assert check_files([path]).mistakes == []
