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
from accel_scaling.catalog.guest_accelerators import attach_rules
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.tpu_slices import TpuSlice, known_slices, slice_of_type
from accel_scaling.cluster.cluster import NodeMachine
from accel_scaling.fill.fill import promise_of
from accel_scaling.providers.gcp import node_config as gcp_node_config
from accel_scaling.testing.devices.gcp_machines import hardware_of_gcp, hardware_of_tpu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANAGER = ray_tpu.TPUAcceleratorManager
THIN = "tpu7"  # a generation that one source alone names; nothing is known of its hosts' devices
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


def promised(each: TpuSlice) -> tuple[dict[str, float], dict[str, str]]:
    promise = promise_of("w", NodeMachine(each.machine, each))
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


WITH_GPUS = sorted(
    row.name for row in shipped_catalog().machine_types("gcp").values() if row.chip and row.chip.family == "nvidia"
)
ATTACHED = [
    (rule.accelerator, rule.count, f"n1-custom-{rule.max_vcpus}-{rule.max_memory_mib}")
    for rules in attach_rules("gcp").values()
    for rule in rules
]


def gpus_of(node_config: dict[str, Any]) -> tuple[int, set[str]]:
    """The number of GPUs and the types that a node type is promised."""
    resources = promise_of("w", gcp_node_config.machine("w", node_config, shipped_catalog())).resources
    prefix = "accelerator_type:"
    return resources["GPU"], {name.removeprefix(prefix) for name in resources if name.startswith(prefix)}


@pytest.mark.parametrize("name", WITH_GPUS)
def test_a_machine_with_gpus_is_promised_its_count_and_what_ray_reads_from_the_drivers_name(name):
    hardware = hardware_of_gcp(name.removesuffix("-nolssd"))  # the same machine without its local SSDs
    count, types = gpus_of({"machineType": name})
    assert count == hardware.count
    read, named = _ray.nvidia_type_reader()(hardware.driver_name), _named(hardware.driver_name)
    if any(chip.partition_of for chip in named):
        # A part of a GPU is promised by its own name only, though Ray reads the whole one's.
        assert types == {chip.variant for chip in named}
        assert read not in types
    else:
        assert read in types
        assert types <= {read, *(chip.variant for chip in named)}


@pytest.mark.parametrize(("accelerator", "count", "machine_type"), ATTACHED)
def test_attached_gpus_are_promised_as_ray_reads_them_from_the_drivers_name(accelerator, count, machine_type):
    guests = [{"acceleratorType": accelerator, "acceleratorCount": count}]
    hardware = hardware_of_gcp(machine_type, [(accelerator, count)])
    promised_count, types = gpus_of({"machineType": machine_type, "guestAccelerators": guests})
    assert promised_count == hardware.count == count
    assert _ray.nvidia_type_reader()(hardware.driver_name) in types


def test_every_kind_of_machine_was_compared_with_its_hardware():
    families = {name.split("-")[0] for name in WITH_GPUS}
    assert families == {"a2", "a3", "a4", "a4x", "g2", "g4"}
    assert len({accelerator for accelerator, _, _ in ATTACHED}) >= 5


def test_every_slice_is_promised_the_hosts_and_the_chips_that_its_hardware_has():
    slices = {each.accelerator_type: each for each in known_slices(shipped_catalog()) if each.generation != THIN}
    assert len(slices) > 100
    wrong = []
    for name, each in slices.items():
        hardware, hosts = hardware_of_tpu(name)
        if (promised(each)[0]["TPU"], each.hosts) != (hardware.count, hosts):
            wrong.append((name, each, hardware))
    assert wrong == []


def _named(driver_name: str) -> list[Any]:
    return [chip for chip in shipped_catalog().chips.values() if driver_name in chip.driver_names]
