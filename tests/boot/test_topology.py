"""Labels that say where a node is: NVLink by NVML, the data center by the metadata servers of both clouds."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ray._private.label_utils import validate_label_key, validate_label_value

from accel_scaling import timeouts
from accel_scaling._ray.facts import LABEL_GPU_DOMAIN, OVERRIDE_LABELS, OVERRIDE_RESOURCES
from accel_scaling.boot import bundle
from accel_scaling.boot.compare import compare
from accel_scaling.boot.topology import topology_labels
from accel_scaling.boot.verdicts import LABEL_VERDICT, VerdictWord
from accel_scaling.boot.watcher_start import WATCH, with_watch
from accel_scaling.cluster.policies import WatcherPolicy
from accel_scaling.detect.model import Detection
from accel_scaling.families.inventory import detect
from accel_scaling.testing.devices.drivers import NVML_CONFIG
from accel_scaling.testing.gce.metadata_server import of_instance
from accel_scaling.testing.hosts.metadata_servers import Metadata, _MetadataServer
from tests.support.devices import Machine, nvidia

RAY = Path(sys.executable).with_name("ray")
DOMAIN = "fa000000-0000-0000-0000-00000000004d.5"
IN_DOMAIN = replace(nvidia(4), nvlink_domain="77.5")
EC2 = {
    "placement/availability-zone-id": "use1-az4",
    "placement/group-name": "training",
    "placement/partition-number": "3",
    "placement/host-id": "h-0da999999f9999fb9",
}
GOOGLE = "instance/attributes/"
PLACES = {"block": "a" * 32, "subblock": "b" * 32, "host": "c" * 32}
SUBBLOCK, HOST = "cloud.google.com/gce-topology-subblock", "cloud.google.com/gce-topology-host"
GOOGLE_LABELS = {f"cloud.google.com/gce-topology-{place}": value for place, value in PLACES.items()}


@pytest.fixture(name="metadata")
def metadata_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    """What the metadata server of this machine says, of EC2 and of Google."""
    metadata: Metadata = {}
    server = _MetadataServer(("127.0.0.1", 0), lambda _: metadata)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    point_at(monkeypatch, server.server_address[1])
    yield metadata
    server.shutdown()
    server.server_close()


def point_at(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{port}")


def started_by(cloud: str) -> dict[str, str]:
    """What the provider of a cloud puts before each start command."""
    return {WATCH: with_watch("", cloud, WatcherPolicy(), head=False).split("'")[1]}


def labels(cloud: str = "", *, given: dict[str, str] | None = None) -> dict[str, str]:
    return topology_labels(started_by(cloud) if cloud else {}, [], given or {})


def test_the_nvlink_domain_of_a_node_is_its_gpu_domain(boot: Callable[..., Machine]) -> None:
    boot(IN_DOMAIN)
    assert topology_labels({}, detect(), {}) == {LABEL_GPU_DOMAIN: DOMAIN}
    validate_label_value(DOMAIN)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="no fabric"),
        pytest.param(["fabric {} -1"], id="not supported"),
        pytest.param(["fabric {} 2", "fabric-cluster {} 77"], id="still in progress"),
        pytest.param(["fabric {} 3", "fabric-cluster {} 77", "fabric-status {} 999"], id="completed with an error"),
        pytest.param(["fabric {} 3", "fabric-cluster {} 0", "fabric-clique {} 1"], id="switches of this machine only"),
        pytest.param(["fabric {0} 3", "fabric-cluster {0} 77", "fabric-clique {0} {0}"], id="devices of two cliques"),
    ],
)
def test_a_gpu_domain_that_is_not_known_is_absent(lines: list[str], boot: Callable[..., Machine]) -> None:
    machine = boot(nvidia(2))
    with (machine.root / NVML_CONFIG).open("a", encoding="ascii") as file:
        file.writelines(line.format(index) + "\n" for index in range(2) for line in lines)
    assert topology_labels({}, detect(), {}) == {}


@pytest.mark.parametrize("fault", [-2, -3], ids=["hangs", "crashes"])
def test_a_driver_that_fails_at_its_fabric_alone_still_confirms_a_node(
    fault: int, boot: Callable[..., Machine]
) -> None:
    machine = boot(nvidia(2))
    with (machine.root / NVML_CONFIG).open("a", encoding="ascii") as file:
        file.write(f"fabric 1 {fault}\n")
    detected = detect()
    # A question that kept the whole probe waiting would end as `not yet`.
    assert compare({"GPU": 2}, detected).word is VerdictWord.CONFIRMED
    assert topology_labels({}, detected, {}) == {}


def test_a_driver_without_the_second_version_is_asked_for_the_first(
    boot: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    from accel_scaling.families.built_in.nvidia import fabric

    monkeypatch.setattr(fabric, "VERSION", 9)
    boot(IN_DOMAIN)
    assert topology_labels({}, detect(), {}) == {LABEL_GPU_DOMAIN: DOMAIN}


def test_a_device_that_does_not_answer_takes_the_domain_of_no_other(boot: Callable[..., Machine]) -> None:
    boot(replace(IN_DOMAIN, lost_index=1))
    assert topology_labels({}, detect(), {}) == {LABEL_GPU_DOMAIN: DOMAIN}


def test_ec2_says_zone_group_partition_and_host(metadata: Metadata) -> None:
    metadata |= EC2
    assert labels("aws") == {
        "topology.k8s.aws/zone-id": "use1-az4",
        "accel-scaling.io/ec2-placement-group": "training",
        "accel-scaling.io/ec2-partition": "training.3",
        "accel-scaling.io/ec2-host": "h-0da999999f9999fb9",
    }
    assert [validate_label_key(key) for key in labels("aws")] == [None] * 4


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("physical_host_topology", json.dumps({"cluster": "europe-west1-cluster-jfhb", **PLACES})),
        ("physical_host_topology", json.dumps({name.replace("sub", "sub_"): at for name, at in PLACES.items()})),
        ("physical_host", "/" + "/".join(PLACES.values())),
        ("physical_host", "/".join(PLACES.values())),
    ],
)
def test_google_says_block_sub_block_and_host(key: str, text: str, metadata: Metadata) -> None:
    metadata[GOOGLE + key] = text
    assert labels("gcp") == GOOGLE_LABELS
    assert [validate_label_key(key) for key in GOOGLE_LABELS] == [None] * 3


@pytest.mark.parametrize(
    ("machine_type", "is_told"), [("a4-highgpu-8g", True), ("a3-highgpu-8g", True), ("a3-highgpu-1g", False)]
)
def test_machines_of_the_local_google_cloud_are_told_where_they_are(
    machine_type: str, is_told: bool, metadata: Metadata
) -> None:
    machine = {"name": "n", "id": "12", "zone": "zones/us-central1-a", "machineType": f"machineTypes/{machine_type}"}
    metadata |= of_instance(machine, "project")
    assert set(labels("gcp")) == (set(GOOGLE_LABELS) if is_told else set())


@pytest.mark.parametrize("cloud", ["aws", "gcp", "another", ""])
def test_what_no_metadata_server_says_is_absent(cloud: str, metadata: Metadata) -> None:
    assert labels(cloud) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"block": 5}', "/a/b", "NONE"])
def test_what_google_does_not_say_so_is_no_error(text: str, metadata: Metadata) -> None:
    metadata |= {f"{GOOGLE}physical_host_topology": text, f"{GOOGLE}physical_host": text}
    assert labels("gcp") == {}


@pytest.mark.parametrize("name", ["my group", "-a", "é", "a" * 64, "a/b"])
def test_a_value_that_is_no_label_is_absent_and_not_cut(name: str, metadata: Metadata) -> None:
    metadata |= {**EC2, "placement/group-name": name.encode().decode("latin-1")}
    assert set(labels("aws")) == {"topology.k8s.aws/zone-id", "accel-scaling.io/ec2-host"}


def test_a_label_of_the_user_wins(metadata: Metadata, boot: Callable[..., Machine]) -> None:
    metadata |= EC2
    boot(IN_DOMAIN)
    mine = {LABEL_GPU_DOMAIN: "rack-1", "topology.k8s.aws/zone-id": "mine"}
    found = topology_labels(started_by("aws"), detect(), mine)
    assert not set(mine) & set(found)
    assert "accel-scaling.io/ec2-host" in found


def test_a_server_that_does_not_answer_delays_a_start_by_less_than_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and says nothing
        point_at(monkeypatch, silent.getsockname()[1])
        before_s = time.monotonic()
        assert labels("aws") == labels("gcp") == {}
        # Without a limit it would wait for ever; a busy machine may take its time.
        assert time.monotonic() - before_s < 2 * timeouts.TOPOLOGY_S + 10
    assert timeouts.TOPOLOGY_S + timeouts.FABRIC_S < 1.0


def test_nobody_is_asked_where_no_provider_started_the_node(metadata: Metadata) -> None:
    metadata |= EC2
    assert labels() == {}
    for text in ("", "{", "[]", "null", '{"cloud": 5}'):
        assert topology_labels({WATCH: text}, [], {}) == {}


def test_two_families_with_domains_are_none() -> None:
    two = [Detection("nvidia", "GPU", nvlink_domain="a.1"), Detection("other", "GPU", nvlink_domain="b.1")]
    assert topology_labels({}, two, {}) == {}


DRIVER = """
import json, sys
import ray
from ray.util.placement_group import placement_group
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
group = placement_group([{"GPU": 1}], topology_strategy={sys.argv[2]: "STRICT_PACK"})
print("RESULT", json.dumps([group.wait(60), ray.nodes()[0]["Labels"]]))
"""


@pytest.fixture(name="started")
def started_fixture(boot: Callable[..., Machine], metadata: Metadata, tmp_path: Path) -> Iterator[str]:
    """The address of a cluster that a real `ray start` with the hook has started, as on a node of Google's."""
    metadata[f"{GOOGLE}physical_host_topology"] = json.dumps(PLACES)
    environment = {
        **os.environ,
        **boot(IN_DOMAIN).environment,
        **started_by("gcp"),
        "PYTHONPATH": str(bundle.content_of(bundle.build(tmp_path / "cache"))),
        "RAY_START_HOOK": "accel_scaling.boot.start_hook.run",
        OVERRIDE_RESOURCES: json.dumps({"CPU": 2, "GPU": 4, "accelerator_type:A100": 1}),
        OVERRIDE_LABELS: json.dumps({HOST: "of-the-file"}),
    }
    with tempfile.TemporaryDirectory() as folder:  # sockets in it: the path of pytest's is too long
        options = ["--head", "--port=0", "--include-dashboard=false", f"--temp-dir={folder}", "--block"]
        options.append(f"--labels={SUBBLOCK}=of-the-command")
        with subprocess.Popen([RAY, "start", *options], env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                found = (re.search(r"--address='([^']+)'", line) for line in process.stdout)
                yield next(match[1] for match in found if match)
            finally:
                process.terminate()


@pytest.mark.cluster
@pytest.mark.since(2, 57)
def test_a_placement_group_finds_the_gpu_domain_that_a_real_ray_start_has_announced(started: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, started, LABEL_GPU_DOMAIN],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    answers = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert answers, done.stderr[-3000:]
    placed, found = json.loads(answers[0].removeprefix("RESULT "))
    assert placed
    theirs = {SUBBLOCK: "of-the-command", HOST: "of-the-file"}
    expected = {**GOOGLE_LABELS, **theirs, LABEL_GPU_DOMAIN: DOMAIN, LABEL_VERDICT: "Confirmed"}
    assert {key: found.get(key) for key in expected} == expected
