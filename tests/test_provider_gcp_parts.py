"""The parts of the GCP provider that need no cloud: names, kinds of failure, requests, and tags written behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from googleapiclient.errors import HttpError
from httplib2 import Response
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling import timings
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers import gcp_bodies, gcp_failures, gcp_names
from accel_scaling.providers.gcp_batches import in_large_batches
from accel_scaling.providers.gcp_clients import client, endpoint
from accel_scaling.providers.gcp_failures import Category, of_exception, of_operation
from accel_scaling.providers.gcp_labels import LabelWriter

ROOT = Path(__file__).resolve().parent.parent

# --- names ---


@given(st.text(max_size=80))
def test_any_tag_is_a_label_that_google_takes_and_can_be_read_back(tag: str) -> None:
    label = gcp_names.to_label(tag)
    assert re.fullmatch(r"[a-z0-9_-]*", label)
    assert gcp_names.from_label(label) == tag


@given(st.from_regex(r"[a-z0-9_-]{0,63}", fullmatch=True).filter(lambda text: not text.startswith("x--")))
def test_what_google_takes_stays_as_it_is(tag: str) -> None:
    assert gcp_names.to_label(tag) == tag


@given(st.text(max_size=80))
def test_a_label_of_anybody_can_be_read(label: str) -> None:
    assert isinstance(gcp_names.from_label(label), str)


@given(st.text(min_size=1, max_size=80), st.sampled_from(["compute", "tpu"]))
def test_every_new_name_is_one_of_googles_and_says_its_kind(node_name: str, kind: str) -> None:
    name = gcp_names.new_name(node_name, kind)
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name)
    assert name.endswith(f"-{kind}")
    assert name != gcp_names.new_name(node_name, kind)


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
    assert gcp_failures.may_pass(error) is passes


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


def test_every_row_of_the_table_of_failures_has_a_kind_and_a_source() -> None:
    rows = gcp_failures.TABLE.read_text(encoding="utf-8").splitlines()[1:]
    assert len(gcp_failures._table()) == len(rows)
    assert len({(code, part) for code, part, _ in gcp_failures._table()}) == len(rows), "a row is there twice"
    assert all(row.rsplit(",", 1)[1].strip('"') for row in rows)


# --- requests ---


def discovery(schema: str) -> set[str]:
    import googleapiclient.discovery_cache as cache

    folder = Path(cache.__file__).parent / "documents"
    document = json.loads((folder / "compute.v1.json").read_text(encoding="utf-8"))
    return set(document["schemas"][schema]["properties"])


def test_what_bulk_creation_cannot_set_is_what_google_says() -> None:
    only = discovery("Instance") - discovery("InstanceProperties")
    missing = gcp_bodies.INSERT_ONLY - only
    assert not missing, f"bulk creation can set {missing} by now"
    # The rest are answers of Google's, not wishes of a user's.
    assert only - gcp_bodies.INSERT_ONLY == {
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
    assert gcp_bodies.instance(config, {}, delete_preempted=True).get("scheduling") == scheduling
    assert json.dumps(config) == before


def test_types_are_bare_names_in_bulk_and_paths_in_the_zone() -> None:
    config = {
        "machineType": "zones/us-central1-a/machineTypes/n1-standard-4",
        "guestAccelerators": [{"acceleratorType": "projects/p/zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4"}],
        "disks": [{"initializeParams": {"diskType": "zones/us-central1-a/diskTypes/pd-ssd"}}],
    }
    body = gcp_bodies.instance(config, {}, delete_preempted=True)
    assert body["machineType"] == "n1-standard-4"
    placed = gcp_bodies.in_zone(body, "p", "us-central1-b")
    assert placed["machineType"] == "zones/us-central1-b/machineTypes/n1-standard-4"
    assert placed["guestAccelerators"][0]["acceleratorType"].endswith("us-central1-b/acceleratorTypes/nvidia-tesla-t4")
    assert placed["disks"][0]["initializeParams"]["diskType"] == "projects/p/zones/us-central1-b/diskTypes/pd-ssd"


def test_a_slice_has_the_service_account_of_its_node_type_each_time() -> None:
    config = {"acceleratorType": "v4-8", "serviceAccounts": [{"email": "e", "scopes": ["s"]}], "networkInterfaces": []}
    for _ in range(2):
        body = gcp_bodies.slice_node(config, {"a": "b"})
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
def test_an_endpoint_that_is_none_is_refused(named: Any) -> None:
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
    for own, seen in (({}, "100"), ({"AUTOSCALER_MAX_LAUNCH_BATCH": "7"}, "7")):
        done = subprocess.run(["sh", "-c", line], env=own, capture_output=True, text=True, check=True)
        assert f"AUTOSCALER_MAX_LAUNCH_BATCH={seen}\n" in done.stdout


# --- tags that are written behind ---


class Cloud:
    """Labels of nodes, written by a LabelWriter; may refuse, and says how often it was asked."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] = {}
        self.writes: list[str] = []
        self.refusing = 0
        self.slow = threading.Event()
        self.slow.set()

    def write(self, node_id: str, tags: dict[str, str]) -> bool:
        assert self.slow.wait(10)
        self.writes.append(node_id)
        if node_id == "gone":
            return False
        if self.refusing:
            self.refusing -= 1
            raise http_error(500)
        self.labels.setdefault(node_id, {}).update(tags)
        return True


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_tags_are_seen_at_once_and_written_together(cloud: Cloud) -> None:
    writer = LabelWriter(cloud.write)
    for status in ("a", "b", "c"):
        writer.set("n", {"status": status})
    writer.set("n", {"other": "x"})
    assert writer.merged("n", {"status": "old", "kept": "k"}, 0) == {"status": "c", "other": "x", "kept": "k"}
    assert writer.flush(10) == []
    assert cloud.labels == {"n": {"status": "c", "other": "x"}}
    assert cloud.writes == ["n"]


def test_tags_are_written_without_being_asked_for(cloud: Cloud) -> None:
    writer = LabelWriter(cloud.write)
    writer.set("n", {"status": "a"})
    deadline = time.monotonic() + 10
    while not cloud.labels:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_answer_that_was_on_its_way_does_not_bring_an_old_value_back(cloud: Cloud) -> None:
    writer = LabelWriter(cloud.write)
    asked_before = time.monotonic()
    writer.set("n", {"status": "new"})
    assert writer.flush(10) == []
    assert writer.merged("n", {"status": "old"}, asked_before) == {"status": "new"}
    # Asked after the write, Google is believed, and what another process wrote is seen.
    assert writer.merged("n", {"status": "another's"}, time.monotonic()) == {"status": "another's"}
    assert writer.merged("n", {"status": "old"}, asked_before) == {"status": "old"}


def test_a_failed_write_is_made_again_with_what_was_set_since(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timings, "GCP_LABELS_RETRY_S", 0.01)
    cloud.refusing = 2
    writer = LabelWriter(cloud.write)
    writer.set("n", {"a": "1", "b": "1"})
    writer.set("n", {"b": "2"})
    assert writer.flush(10) == []
    assert cloud.labels == {"n": {"a": "1", "b": "2"}}


def test_a_node_that_is_gone_is_forgotten(cloud: Cloud) -> None:
    writer = LabelWriter(cloud.write)
    writer.set("gone", {"a": "1"})
    assert writer.flush(10) == []
    assert writer.merged("gone", {}, 0) == {}


def test_a_flush_says_what_it_could_not_write_in_time(cloud: Cloud) -> None:
    cloud.slow.clear()
    writer = LabelWriter(cloud.write)
    writer.set("n", {"a": "1"})
    assert writer.flush(0.3) == ["n"]
    cloud.slow.set()
    assert writer.flush(10) == []


def test_many_threads_that_set_tags_lose_none(cloud: Cloud) -> None:
    writer = LabelWriter(cloud.write)
    threads = [
        threading.Thread(target=lambda n=number: [writer.set(f"n{i % 7}", {f"k{n}": str(i)}) for i in range(50)])
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush(10) == []
    expected = {f"k{number}" for number in range(8)}
    assert all(set(labels) == expected for labels in cloud.labels.values())
    assert {cloud.labels[f"n{i % 7}"]["k0"] for i in (48, 49)} == {"48", "49"}


def test_what_is_unwritten_when_a_process_ends_is_written(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from accel_scaling.providers.gcp_labels import LabelWriter\n"
        "def write(node, tags):\n"
        "    with open(sys.argv[1], 'a') as file: file.write(node + str(tags) + '\\n')\n"
        "    return True\n"
        "writer = LabelWriter(write)\n"
        "for i in range(3): writer.set(f'n{i}', {'a': 'b'})\n"
        "sys.exit(0 if sys.argv[2] == 'ends' else 1/0)\n"
    )
    for how in ("ends", "fails"):
        path = tmp_path / how
        subprocess.run([sys.executable, "-c", code, path, how], cwd=ROOT, check=False, capture_output=True, timeout=60)
        assert sorted(path.read_text().splitlines()) == [f"n{i}{{'a': 'b'}}" for i in range(3)]
