"""Promise equals truth on GCP: every slice against Ray's own TPU detection, every GPU machine against the hardware."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from ray._private.accelerators import tpu as ray_tpu
from ray._private.resource_and_label_spec import ResourceAndLabelSpec

from accel_scaling import _ray
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.tpu import Slice, known_slices, slice_of_type
from accel_scaling.fill import gcp
from accel_scaling.fill.cluster import promise_of
from accel_scaling.fill.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANAGER = ray_tpu.TPUAcceleratorManager
ADDRESS = "10.0.0.7"


@dataclass(frozen=True)
class Host:
    """One host of a slice as its metadata server and its /dev show it."""

    accelerator_type: str
    topology: str
    chips: int
    number: int
    vfio: bool = False


class Documented(NamedTuple):
    """A slice as Google documents it."""

    name: str
    topology: str
    chips: int
    hosts: int

    def host(self, number: int, *, vfio: bool = False) -> Host:
        return Host(self.name, self.topology, self.chips, number, vfio)

    def __str__(self) -> str:
        return self.name


# Slices as Cloud TPU's documentation lists them (cloud.google.com/tpu/docs/v2 to /v6e, /tpu7x): accelerator type,
# topology, chips on each host, hosts. Written down here and not taken from the catalog, which they check.
DOCUMENTED = [
    Documented(*row)
    for row in [
        ("v2-8", "2x2", 4, 1),
        ("v2-32", "4x4", 4, 4),
        ("v3-8", "2x2", 4, 1),
        ("v3-32", "4x4", 4, 4),
        ("v3-64", "4x8", 4, 8),
        ("v4-8", "2x2x1", 4, 1),
        ("v4-16", "2x2x2", 4, 2),
        ("v4-32", "2x2x4", 4, 4),
        ("v4-128", "4x4x4", 4, 16),
        ("v5litepod-1", "1x1", 1, 1),
        ("v5litepod-4", "2x2", 4, 1),
        ("v5litepod-8", "2x4", 8, 1),
        ("v5litepod-16", "4x4", 4, 4),
        ("v5litepod-32", "4x8", 4, 8),
        ("v5p-8", "2x2x1", 4, 1),
        ("v5p-16", "2x2x2", 4, 2),
        ("v5p-128", "4x4x4", 4, 16),
        ("v6e-1", "1x1", 1, 1),
        ("v6e-4", "2x2", 4, 1),
        ("v6e-8", "2x4", 8, 1),
        ("v6e-16", "4x4", 4, 4),
        ("v6e-256", "16x16", 4, 64),
        ("tpu7x-8", "2x2x1", 4, 1),
        ("tpu7x-16", "2x2x2", 4, 2),
    ]
]


@pytest.fixture(name="metadata", scope="module")
def metadata_fixture() -> Iterator[dict[str, str]]:
    """A metadata server on this machine; the attributes it serves, by name."""
    attributes: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            folder, _, key = self.path.rpartition("/")
            known = folder == "/computeMetadata/v1/instance/attributes" and key in attributes
            known = known and self.headers.get("Metadata-Flavor") == "Google"
            body = attributes[key].encode() if known else b""
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    with pytest.MonkeyPatch.context() as patched:
        url = f"http://127.0.0.1:{server.server_port}/computeMetadata/v1/instance/attributes/"
        patched.setattr(ray_tpu, "GCE_TPU_ACCELERATOR_ENDPOINT", url)
        yield attributes
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(name="detected")
def detected_fixture(
    metadata: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[dict[str, float], dict[str, str]]]]:
    """Return what Ray announces on a host, by itself or told a promise as its autoscaler tells it."""
    for name in ("TPU_ACCELERATOR_TYPE", "TPU_TOPOLOGY", "TPU_WORKER_ID", "TPU_NAME", "TPU_VISIBLE_CHIPS"):
        monkeypatch.delenv(name, raising=False)

    def announced(
        host: Host, resources: dict[str, float] | None = None, labels: dict[str, str] | None = None
    ) -> tuple[dict[str, float], dict[str, str]]:
        metadata.clear()
        metadata.update(
            {
                "accelerator-type": host.accelerator_type,
                "tpu-env": f"ACCELERATOR_TYPE: '{host.accelerator_type}'\nTOPOLOGY: '{host.topology}'\n",
                "instance-id": "slice-a",
                "agent-worker-number": str(host.number),
            }
        )
        accel = [] if host.vfio else [f"/dev/accel{chip}" for chip in range(host.chips)]
        groups = ["vfio", *(str(chip) for chip in range(host.chips))] if host.vfio else []
        monkeypatch.setattr(ray_tpu.glob, "glob", lambda pattern: accel if pattern == "/dev/accel*" else [])
        monkeypatch.setattr(ray_tpu.os, "listdir", lambda path: groups if path == "/dev/vfio" else [])
        monkeypatch.setattr(ray_tpu, "_is_vfio_group_a_tpu", lambda group: host.vfio and str(group) in groups)
        monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", json.dumps(resources or {}))
        monkeypatch.setenv("RAY_OVERRIDE_LABELS", json.dumps(labels or {}))
        MANAGER.get_current_node_num_accelerators.cache_clear()
        spec = ResourceAndLabelSpec().resolve(is_head=False, node_ip_address=ADDRESS)
        return {**spec.resources, "CPU": spec.num_cpus, "memory": spec.memory}, spec.labels

    yield announced
    MANAGER.get_current_node_num_accelerators.cache_clear()


def promised(each: Slice) -> tuple[dict[str, float], dict[str, str]]:
    promise = promise_of("w", Machine(each.machine, each))
    return dict(promise.resources), dict(promise.labels)


def of_tpu(announced: dict[str, float]) -> dict[str, float]:
    """What a host announces about its TPU; its slice's name and its address are no promise."""
    return {
        name: amount
        for name, amount in announced.items()
        if name not in {"CPU", "memory", "slice-a", f"node:{ADDRESS}"} and not name.startswith("node:")
    }


@pytest.mark.parametrize("row", DOCUMENTED, ids=str)
@pytest.mark.parametrize("vfio", [False, True], ids=["accel", "vfio"])
def test_host_0_is_promised_what_ray_detects_there(detected, row, vfio):
    each = slice_of_type(shipped_catalog(), row.name)
    resources, labels = promised(each)
    found, found_labels = detected(row.host(0, vfio=vfio))
    assert of_tpu(resources) == of_tpu(found)
    assert {key: labels[key] for key in found_labels if key != "ray.io/tpu-slice-name"} == {
        key: value for key, value in found_labels.items() if key != "ray.io/tpu-slice-name"
    }
    assert (each.topology, each.chips_per_host, each.hosts) == row[1:]


@pytest.mark.parametrize("row", [row for row in DOCUMENTED if row.hosts > 1], ids=str)
def test_a_later_host_differs_from_the_promise_in_its_number_and_the_slices_head_alone(detected, row):
    each = slice_of_type(shipped_catalog(), row.name)
    resources, labels = promised(each)
    last = row.hosts - 1
    found, found_labels = detected(row.host(last))
    assert resources.pop(f"TPU-{each.pod_type}-head") == 1
    assert of_tpu(resources) == of_tpu(found)
    labels["ray.io/tpu-worker-id"] = str(last)
    assert labels.items() >= {k: v for k, v in found_labels.items() if k != "ray.io/tpu-slice-name"}.items()


@pytest.mark.parametrize("row", DOCUMENTED, ids=str)
def test_told_the_promise_host_0_announces_it_and_the_name_of_its_slice(detected, row):
    resources, labels = promised(slice_of_type(shipped_catalog(), row.name))
    announced, announced_labels = detected(row.host(0), resources, labels)
    assert {key: announced[key] for key in resources} == resources
    assert announced["slice-a"] == 1
    assert announced_labels == {**labels, "ray.io/tpu-slice-name": "slice-a"}


def test_told_the_promise_a_later_host_would_call_itself_host_0_so_the_start_hook_must_correct_it(detected):
    # What the start hook is for: Ray lets the promise win over what it detects.
    resources, labels = promised(slice_of_type(shipped_catalog(), "v4-16"))
    announced, announced_labels = detected(Host("v4-16", "2x2x2", 4, number=1), resources, labels)
    assert announced_labels["ray.io/tpu-worker-id"] == "0"
    assert announced["TPU-v4-16-head"] == 1


def test_every_slice_is_named_as_rays_reservation_asks_for_it():
    asked = {
        each.accelerator_type: ray_tpu.infer_tpu_pod_type_from_topology(each.topology, each.chip.detected_type or "")
        for each in known_slices(shipped_catalog())
        if each.generation in ray_tpu.VALID_TPU_TYPES or each.generation == "tpu7x"
    }
    assert len(asked) > 100
    assert {each.pod_type for each in known_slices(shipped_catalog())} >= set(asked.values())
    wrong = [
        (each.accelerator_type, each.topology, each.pod_type, asked[each.accelerator_type])
        for each in known_slices(shipped_catalog())
        if each.accelerator_type in asked and each.pod_type != asked[each.accelerator_type]
    ]
    assert wrong == []


def test_rays_chips_of_a_host_are_the_catalogs_wherever_ray_knows_the_topology():
    rays = {(version, topology) for version, all_of in ray_tpu.VALID_TPU_TOPOLOGY.items() for topology in all_of}
    wrong = [
        (each.accelerator_type, each.topology, each.chips_per_host)
        for each in known_slices(shipped_catalog())
        if (version := each.pod_type.rpartition("-")[0], each.topology) in rays
        and ray_tpu.get_chips_per_host(each.topology, version) != each.chips_per_host
    ]
    assert wrong == []


# --- machines with GPUs ---


# What a booted machine shows, by the driver's name for the GPU: Compute Engine's documentation of its GPU machine
# types (cloud.google.com/compute/docs/accelerator-optimized-machines and /gpus), and NVIDIA's product names.
GPU_MACHINES = {
    "NVIDIA A100-SXM4-40GB": {
        "a2-highgpu-1g": 1,
        "a2-highgpu-2g": 2,
        "a2-highgpu-4g": 4,
        "a2-highgpu-8g": 8,
        "a2-megagpu-16g": 16,
    },
    "NVIDIA A100-SXM4-80GB": {"a2-ultragpu-1g": 1, "a2-ultragpu-2g": 2, "a2-ultragpu-4g": 4, "a2-ultragpu-8g": 8},
    "NVIDIA H100 80GB HBM3": {
        "a3-highgpu-1g": 1,
        "a3-highgpu-2g": 2,
        "a3-highgpu-4g": 4,
        "a3-highgpu-8g": 8,
        "a3-edgegpu-8g": 8,
        "a3-megagpu-8g": 8,
    },
    "NVIDIA H200": {"a3-ultragpu-8g": 8},
    "NVIDIA B200": {"a4-highgpu-8g": 8},
    "NVIDIA GB200": {"a4x-highgpu-4g": 4},
    "NVIDIA GB300": {"a4x-maxgpu-4g-metal": 4},
    "NVIDIA L4": {
        "g2-standard-4": 1,
        "g2-standard-8": 1,
        "g2-standard-12": 1,
        "g2-standard-16": 1,
        "g2-standard-24": 2,
        "g2-standard-32": 1,
        "g2-standard-48": 4,
        "g2-standard-96": 8,
    },
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": {
        "g4-standard-48": 1,
        "g4-standard-96": 2,
        "g4-standard-192": 4,
        "g4-standard-384": 8,
    },
}
GPU_PARTITIONS = {
    "g4-standard-6": "NVIDIA RTX Pro 6000 Blackwell DC-12Q",
    "g4-standard-12": "NVIDIA RTX Pro 6000 Blackwell DC-24Q",
    "g4-standard-24": "NVIDIA RTX Pro 6000 Blackwell DC-48Q",
}
ATTACHED = {
    "nvidia-tesla-k80": "Tesla K80",
    "nvidia-tesla-p4": "Tesla P4",
    "nvidia-tesla-p100": "Tesla P100-PCIE-16GB",
    "nvidia-tesla-t4": "Tesla T4",
    "nvidia-tesla-v100": "Tesla V100-SXM2-16GB",
}


def gpus_of(node_config: dict[str, Any]) -> tuple[int, set[str]]:
    """The number of GPUs and the types that a node type is promised."""
    resources = promise_of("w", gcp.machine("w", node_config, shipped_catalog())).resources
    prefix = "accelerator_type:"
    return resources["GPU"], {name.removeprefix(prefix) for name in resources if name.startswith(prefix)}


@pytest.mark.parametrize(
    ("name", "count", "driver_name"),
    [(name, count, driver) for driver, machines in GPU_MACHINES.items() for name, count in machines.items()],
)
def test_a_machine_with_gpus_is_promised_its_count_and_what_ray_reads_from_the_drivers_name(name, count, driver_name):
    promised_count, types = gpus_of({"machineType": name})
    assert promised_count == count
    assert _ray.nvidia_type_reader()(driver_name) in types
    assert types <= {_ray.nvidia_type_reader()(driver_name), *(chip.variant for chip in _named(driver_name))}


@pytest.mark.parametrize(("api_name", "driver_name"), ATTACHED.items())
def test_an_attached_gpu_is_promised_as_ray_reads_it_from_the_drivers_name(api_name, driver_name):
    guests = [{"acceleratorType": api_name, "acceleratorCount": 1}]
    count, types = gpus_of({"machineType": "n1-standard-4", "guestAccelerators": guests})
    assert count == 1
    assert _ray.nvidia_type_reader()(driver_name) in types


@pytest.mark.parametrize(("name", "driver_name"), GPU_PARTITIONS.items())
def test_a_part_of_a_gpu_is_promised_by_its_own_name_and_never_as_the_whole(name, driver_name):
    count, types = gpus_of({"machineType": name})
    assert count == 1
    assert types == {chip.variant for chip in _named(driver_name)}
    assert not types & gpus_of({"machineType": "g4-standard-48"})[1]


def test_every_machine_type_with_gpus_is_held_against_its_hardware():
    covered = {name for machines in GPU_MACHINES.values() for name in machines} | GPU_PARTITIONS.keys()
    rows = shipped_catalog().machine_types("gcp").values()
    with_gpus = {row.name.removesuffix("-nolssd") for row in rows if row.chip and row.chip.family == "nvidia"}
    assert with_gpus == covered


def _named(driver_name: str) -> list[Any]:
    return [chip for chip in shipped_catalog().chips.values() if driver_name in chip.driver_names]
