"""What `detect` and `confirm` say on TPU hosts, and that Ray's own detection finds the same there."""

from __future__ import annotations

import pytest

from accel_scaling.boot.compare import compare
from accel_scaling.boot.verdicts import VerdictWord
from accel_scaling.detect.model import DriverState
from accel_scaling.errors import RehearsalError
from accel_scaling.families.inventory import detect, survey
from accel_scaling.testing.devices.device_faults import with_fault
from accel_scaling.testing.devices.gcp_machines import hardware_of_tpu

# Accelerator type, chips of each host, Ray's type, Ray's name of the slice.
SLICES = [
    ("v2-8", 4, "TPU-V2", "v2-8"),
    ("v3-32", 4, "TPU-V3", "v3-32"),
    ("v4-8", 4, "TPU-V4", "v4-8"),
    ("v4-16", 4, "TPU-V4", "v4-16"),
    ("v5litepod-1", 1, "TPU-V5LITEPOD", "v5litepod-1"),
    ("v5litepod-8", 8, "TPU-V5LITEPOD", "v5litepod-8"),
    ("v5litepod-16", 4, "TPU-V5LITEPOD", "v5litepod-16"),
    ("v5p-8", 4, "TPU-V5P", "v5p-8"),
    ("v6e-8", 8, "TPU-V6E", "v6e-8"),
    ("tpu7x-8", 4, "TPU-V7X", "v7x-8"),
]


def promise(chips: int, ray_type: str, pod_type: str) -> dict[str, float]:
    return {"CPU": 8, "TPU": chips, f"accelerator_type:{ray_type}": 1, f"TPU-{pod_type}-head": 1}


@pytest.mark.parametrize(("kind", "chips", "ray_type", "pod_type"), SLICES)
def test_we_and_ray_find_the_same_on_a_host_of_each_generation(tpu_host, kind, chips, ray_type, pod_type):
    from ray._private.accelerators import TPUAcceleratorManager as Rays

    tpu_host(kind)
    (found,) = detect()
    assert (found.units, found.accelerator_type, found.pod_type) == (chips, ray_type, pod_type)
    assert (found.bus_count, found.driver_count, found.worker_id) == (chips, chips, 0)
    assert found.variant == ray_type
    assert Rays.get_current_node_num_accelerators() == found.ray_units
    assert Rays.get_current_node_accelerator_type() == found.accelerator_type
    assert Rays.get_current_node_tpu_pod_type() == found.pod_type
    assert Rays.get_current_node_tpu_worker_id() == found.worker_id


@pytest.mark.parametrize("row", SLICES)
@pytest.mark.parametrize(
    ("fault", "word", "sentence"),
    [
        ("", VerdictWord.CONFIRMED, "seen by the driver as"),
        ("no-device", VerdictWord.NO_DEVICE, "this machine has none"),
        ("no-driver", VerdictWord.DRIVER_MISSING, "the TPU driver is not loaded"),
    ],
)
def test_each_generation_gets_the_verdict_of_what_is_there(tpu_host, row, fault, word, sentence):
    kind, *promised = row
    tpu_host(kind, fault=fault)
    verdict = compare(promise(*promised), detect())
    assert verdict.word is word
    assert sentence in verdict.message


@pytest.mark.parametrize(
    ("fault", "seen"), [("fewer", "3 on the PCI bus, 3"), ("driver-fewer:2", "4 on the PCI bus, 2")]
)
def test_a_chip_that_is_missing_is_missed(tpu_host, fault, seen):
    tpu_host("v4-16", fault=fault)
    verdict = compare(promise(4, "TPU-V4", "v4-16"), detect())
    assert verdict.word is VerdictWord.FEWER_THAN_PROMISED
    assert verdict.message.startswith(f"promised 4 TPU of TPU-V4; {seen} seen by the driver as TPU v4 chip")


def test_another_generation_and_another_size_of_slice_are_another_type(tpu_host):
    tpu_host("v5p-8")
    assert compare(promise(4, "TPU-V4", "v4-8"), detect()).word is VerdictWord.OTHER_TYPE
    tpu_host("v4-8")
    verdict = compare(promise(4, "TPU-V4", "v4-16"), detect())
    assert verdict.word is VerdictWord.OTHER_TYPE
    assert "promised a host of a v4-16; the metadata server says that it is a host of a v4-8" in verdict.message


def test_the_bus_tells_v2_from_v3_though_they_have_one_pci_id(tpu_host):
    tpu_host("v2-8", status=404)  # and nobody else says
    (found,) = detect()
    assert found.answers_to == ("TPU-V2",)


@pytest.mark.parametrize("status", [500, 503])
def test_a_metadata_server_that_does_not_answer_is_waited_for_and_named(tpu_host, monkeypatch, status):
    tpu_host("v4-16", status=status)
    (found,) = detect()
    assert found.state is DriverState.NOT_YET
    assert f"HTTP {status}" in found.trouble
    assert compare(promise(4, "TPU-V4", "v4-16"), [found]).word is VerdictWord.NOT_YET
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    (found,) = detect()
    assert "the metadata server 127.0.0.1:1 does not answer" in found.trouble


def test_on_gke_the_environment_says_it_and_nobody_is_asked(tpu_host, monkeypatch):
    tpu_host("v6e-16", number=3)
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v6e-16")
    monkeypatch.setenv("TPU_WORKER_ID", "3")
    (found,) = detect()
    assert (found.state, found.pod_type, found.worker_id) == (DriverState.OK, "v6e-16", 3)


def test_a_machine_without_a_tpu_asks_no_metadata_server(tpu_host, monkeypatch):
    tpu_host("v4-8", fault="no-device")
    monkeypatch.setattr(
        "accel_scaling.families.built_in.tpu.ask_metadata_server", lambda _attribute: pytest.fail("it was asked")
    )
    assert detect() == []
    (said,) = [found.evidence for found in survey() if found.family == "tpu"]
    assert said == ("PCI bus: no TPU", "driver: no /dev/accel0, no /dev/vfio/0 of Google's")


def test_devices_of_others_below_dev_are_no_tpus(tpu_host):
    root = tpu_host("v4-8", fault="no-device")
    (root / "dev/accel").mkdir(parents=True)  # NVIDIA's newer drivers make it
    (root / "dev/vfio").mkdir()
    (root / "dev/vfio/96").touch()
    (root / "dev/vfio/vfio").touch()
    vendor = root / "sys/kernel/iommu_groups/96/devices/0000:01:00.0/vendor"
    vendor.parent.mkdir(parents=True)
    vendor.write_text("0x15b3\n")
    assert detect() == []


@pytest.mark.parametrize("fault", ["not-yet", "unhealthy"])
def test_a_fault_that_a_tpus_driver_cannot_show_is_refused_in_a_sentence(fault):
    with pytest.raises(RehearsalError, match="a TPU's driver says no more than its device nodes"):
        with_fault(hardware_of_tpu("v4-8")[0], fault)
