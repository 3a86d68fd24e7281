"""The parts of the GCP provider that need no cloud: names, kinds of failure, and requests."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from googleapiclient.errors import HttpError
from httplib2 import Response
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling.catalog import launch_errors
from accel_scaling.catalog.launch_errors import Category
from accel_scaling.clouds import SHIPPED_FOLDER
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.gcp import calls, labels, request_bodies
from accel_scaling.providers.gcp.calls import of_exception, of_operation
from accel_scaling.providers.gcp.client import client, endpoint
from accel_scaling.providers.gcp.launch import in_large_batches

ROOT = Path(__file__).resolve().parents[3]

# --- names ---


@given(st.text(max_size=80))
def test_any_tag_is_a_label_that_google_takes_and_can_be_read_back(tag: str) -> None:
    label = labels.to_label(tag)
    assert re.fullmatch(r"[a-z0-9_-]*", label)
    assert labels.from_label(label) == tag


@given(st.from_regex(r"[a-z0-9_-]{0,63}", fullmatch=True).filter(lambda text: not text.startswith("x--")))
def test_what_google_takes_stays_as_it_is(tag: str) -> None:
    assert labels.to_label(tag) == tag


@given(st.text(max_size=80))
def test_a_label_of_anybody_can_be_read(label: str) -> None:
    assert isinstance(labels.from_label(label), str)


@given(st.text(min_size=1, max_size=80), st.sampled_from(["compute", "tpu"]))
def test_every_new_name_is_one_of_googles_and_says_its_kind(node_name: str, kind: str) -> None:
    name = labels.new_name(node_name, kind)
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name)
    assert name.endswith(f"-{kind}")
    assert name != labels.new_name(node_name, kind)


# --- kinds of failure ---


def http_error(status_: int, *, reason: str = "", message: str = "", **more: Any) -> HttpError:
    error = {"code": status_, "message": message, "errors": [{"reason": reason, "message": message}], **more}
    return HttpError(Response({"status": status_}), json.dumps({"error": error}).encode())


@pytest.mark.parametrize(
    ("error", "category", "passes"),
    [
        (http_error(403, reason="quotaExceeded", message="Quota 'CPUS' exceeded."), Category.QUOTA, False),
        (http_error(403, reason="rateLimitExceeded"), Category.THROTTLED, True),
        (http_error(403, reason="forbidden"), Category.PERMISSION, False),
        (http_error(503, reason="insufficientCapacity"), Category.CAPACITY, False),
        (http_error(503, reason="backendError"), Category.UNAVAILABLE, True),
        (http_error(400, reason="invalid", message="Unknown machine"), Category.BAD_REQUEST, False),
        (
            http_error(400, reason="invalid", message="Machine type with name 'x' does not exist in zone 'z'."),
            Category.NOT_OFFERED,
            False,
        ),
        (
            http_error(429, status="RESOURCE_EXHAUSTED", message="Quota limit 'TPUV6E' has been exceeded"),
            "quota",
            False,
        ),
        (http_error(429, status="RESOURCE_EXHAUSTED", message="Too many requests"), Category.THROTTLED, True),
        (http_error(418, reason="teapot"), Category.UNKNOWN, False),
        (TimeoutError("timed out"), Category.UNAVAILABLE, True),
        (ConnectionResetError("reset"), Category.UNAVAILABLE, True),
        (ValueError("ours"), Category.UNKNOWN, False),
    ],
)
def test_each_refusal_is_of_its_kind_and_only_what_passes_is_tried_again(
    error: Exception, category: Category, passes: bool
) -> None:
    assert of_exception(error).category == category
    assert calls.may_pass(error) is passes


def test_an_answer_that_is_no_json_has_its_status() -> None:
    error = HttpError(Response({"status": 502}), b"<html>Bad Gateway</html>")
    assert of_exception(error).category is Category.UNAVAILABLE


@pytest.mark.parametrize(
    ("error", "category"),
    [
        ({"errors": [{"code": "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "message": "m"}]}, Category.CAPACITY),
        (
            {"errors": [{"code": "VM_MIN_COUNT_NOT_REACHED", "message": "m"}, {"code": "QUOTA_EXCEEDED"}]},
            Category.QUOTA,
        ),
        ({"code": 8, "message": 'There is no more capacity in the zone "us-central1-b"'}, Category.CAPACITY),
        ({"code": 8, "message": "Quota limit 'TPUV4' has been exceeded"}, Category.QUOTA),
        ({"code": 3, "message": "Invalid runtime version"}, Category.BAD_REQUEST),
        ({"code": 99, "message": "?"}, Category.UNKNOWN),
    ],
)
def test_each_failed_operation_is_of_its_kind(error: dict[str, Any], category: Category) -> None:
    assert of_operation(error).category is category


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_every_row_of_the_table_of_failures_has_a_kind_and_a_source(cloud: str) -> None:
    rows = (SHIPPED_FOLDER / f"{cloud}_launch_errors.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len(launch_errors._rows(cloud)) == len(rows)
    assert len({(code, part) for code, part, _ in launch_errors._rows(cloud)}) == len(rows), "a row is there twice"
    assert all(row.rsplit(",", 1)[1].strip('"') for row in rows)


# --- requests ---


def discovery(schema: str) -> set[str]:
    import googleapiclient.discovery_cache as cache

    folder = Path(cache.__file__).parent / "documents"
    document = json.loads((folder / "compute.v1.json").read_text(encoding="utf-8"))
    return set(document["schemas"][schema]["properties"])


def test_what_bulk_creation_cannot_set_is_what_google_says() -> None:
    only = discovery("Instance") - discovery("InstanceProperties")
    missing = request_bodies.INSERT_ONLY - only
    assert not missing, f"bulk creation can set {missing} by now"
    # The rest are answers of Google's, not wishes of a user's.
    assert only - request_bodies.INSERT_ONLY == {
        *("cpuPlatform", "creationTimestamp", "fingerprint", "id", "kind", "labelFingerprint", "lastStartTimestamp"),
        *("lastStopTimestamp", "lastSuspendedTimestamp", "name", "resourceStatus", "satisfiesPzi", "satisfiesPzs"),
        *("selfLink", "startRestricted", "status", "statusMessage", "zone"),
    }


SPOT = {"provisioningModel": "SPOT"}
TERMINATE = {"onHostMaintenance": "TERMINATE"}
NOT_AGAIN = {**TERMINATE, "automaticRestart": False}


@pytest.mark.parametrize(
    ("config", "scheduling"),
    [
        ({"machineType": "n1-standard-4"}, None),
        ({"machineType": "zones/us-central1-a/machineTypes/g2-standard-4"}, TERMINATE),
        ({"machineType": "n1-standard-4", "guestAccelerators": [{"acceleratorType": "nvidia-tesla-t4"}]}, TERMINATE),
        (
            {"machineType": "n1-standard-4", "scheduling": SPOT},
            {**SPOT, **NOT_AGAIN, "instanceTerminationAction": "DELETE"},
        ),
        ({"machineType": "n1-standard-4", "scheduling": [{"preemptible": True}]}, {"preemptible": True, **NOT_AGAIN}),
        (
            {"machineType": "a3-highgpu-8g", "scheduling": {**SPOT, "instanceTerminationAction": "STOP"}},
            {**SPOT, **NOT_AGAIN, "instanceTerminationAction": "STOP"},
        ),
    ],
)
def test_a_machine_gets_the_scheduling_that_its_hardware_needs(
    config: dict[str, Any], scheduling: dict[str, Any] | None
) -> None:
    before = json.dumps(config)
    assert request_bodies.instance(config, {}, delete_preempted=True).get("scheduling") == scheduling
    assert json.dumps(config) == before


def test_types_are_bare_names_in_bulk_and_paths_in_the_zone() -> None:
    config = {
        "machineType": "zones/us-central1-a/machineTypes/n1-standard-4",
        "guestAccelerators": [{"acceleratorType": "projects/p/zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4"}],
        "disks": [{"initializeParams": {"diskType": "zones/us-central1-a/diskTypes/pd-ssd"}}],
    }
    body = request_bodies.instance(config, {}, delete_preempted=True)
    assert body["machineType"] == "n1-standard-4"
    placed = request_bodies.in_zone(body, "p", "us-central1-b")
    assert placed["machineType"] == "zones/us-central1-b/machineTypes/n1-standard-4"
    assert placed["guestAccelerators"][0]["acceleratorType"].endswith("us-central1-b/acceleratorTypes/nvidia-tesla-t4")
    assert placed["disks"][0]["initializeParams"]["diskType"] == "projects/p/zones/us-central1-b/diskTypes/pd-ssd"


def test_a_slice_has_the_service_account_of_its_node_type_each_time() -> None:
    config = {"acceleratorType": "v4-8", "serviceAccounts": [{"email": "e", "scopes": ["s"]}], "networkInterfaces": []}
    for _ in range(2):
        body = request_bodies.slice_node(config, {"a": "b"})
        assert body["serviceAccount"] == {"email": "e", "scope": ["s"]}
        assert body["networkConfig"] == {"enableExternalIps": True}


@pytest.mark.parametrize(
    ("named", "api", "url"),
    [
        (None, "compute", None),
        ("https://one.example", "compute", "https://one.example/compute/v1/"),
        ("https://one.example/", "tpu", "https://one.example/"),
        ({"compute": "https://c.example/compute/v1/"}, "compute", "https://c.example/compute/v1/"),
        ({"compute": "https://c.example"}, "tpu", None),
    ],
)
def test_an_endpoint_is_one_for_all_or_one_for_each(named: Any, api: str, url: str | None) -> None:
    assert endpoint({"api_endpoints": named}, api) == url


@pytest.mark.parametrize("named", [{"storage": "https://s.example"}, "one.example", 7])
def test_an_endpoint_that_is_not_one_is_refused(named: Any) -> None:
    with pytest.raises(ClusterConfigError, match=r"provider\.api_endpoints"):
        endpoint({"api_endpoints": named}, "compute")


@pytest.mark.parametrize(
    "given_credentials", [{}, {"type": "x"}, {"type": "service_account", "credentials": "{"}, "text"]
)
def test_credentials_of_no_known_kind_are_refused_in_a_sentence(given_credentials: Any) -> None:
    with pytest.raises(ClusterConfigError, match=r"provider\.gcp_credentials"):
        client({"gcp_credentials": given_credentials}, "iam")


def test_the_head_launches_in_large_batches_and_a_users_own_size_stays() -> None:
    config = in_large_batches({"head_start_ray_commands": ["ray stop", "ray start --head"]})
    assert in_large_batches(config)["head_start_ray_commands"][0] == "ray stop"
    line = config["head_start_ray_commands"][1].replace("ray start --head", "env")
    for provider, seen in (({}, "100"), ({"AUTOSCALER_MAX_LAUNCH_BATCH": "7"}, "7")):
        done = subprocess.run(["sh", "-c", line], env=provider, capture_output=True, text=True, check=True)
        assert f"AUTOSCALER_MAX_LAUNCH_BATCH={seen}\n" in done.stdout
