"""What `detect` finds on machines with emulated devices, and that Ray's own detection finds the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from accel_scaling import timeouts
from accel_scaling.detect.model import DriverState
from accel_scaling.families.inventory import detect, survey
from tests.support.devices import neuron, nvidia

RAY_AND_WE = """
import json
from ray._private.accelerators import NeuronAcceleratorManager, NvidiaGPUAcceleratorManager
from accel_scaling.families.inventory import detect
ours = [[found.ray_units, found.accelerator_type] for found in detect()]
rays = [
    [manager.get_current_node_num_accelerators(), manager.get_current_node_accelerator_type()]
    for manager in (NvidiaGPUAcceleratorManager, NeuronAcceleratorManager)
    if manager.get_current_node_num_accelerators()
]
print(json.dumps([ours, rays]))
"""

# A file system in which $1 is /opt/aws, for one command: Ray hard-codes /opt/aws/neuron/bin.
WITH_OPT_AWS = """
set -e
stage=$1; aws=$2; shift 2
mount -t tmpfs tmpfs "$stage"
for entry in /opt/*; do
    [ -d "$entry" ] || continue
    mkdir "$stage/${entry##*/}"
    mount --rbind "$entry" "$stage/${entry##*/}"
done
mkdir -p "$stage/aws"
mount --bind "$aws" "$stage/aws"
mount --rbind "$stage" /opt
exec "$@"
"""


@pytest.mark.parametrize(
    ("instance_type", "expected"),  # resource, devices, units of the resource, Ray's type, the exact product
    [
        ("p4d.24xlarge", ("GPU", 8, 8, "A100", "A100-40G")),
        ("p4de.24xlarge", ("GPU", 8, 8, "A100", "A100-80G")),
        ("p3dn.24xlarge", ("GPU", 8, 8, "V100", "V100-32G")),
        ("g5g.xlarge", ("GPU", 1, 1, "T4G", "T4G")),
        ("g6f.large", ("GPU", 1, 1, "L4", "L4-3Q")),
        ("g7e.48xlarge", ("GPU", 8, 8, "RTX-PRO-6000", "RTX-PRO-6000")),
        ("p2.16xlarge", ("GPU", 16, 16, "K80", "K80")),
        ("trn2.48xlarge", ("neuron_cores", 16, 64, "aws-neuron-core", "Trainium2")),
        ("inf1.2xlarge", ("neuron_cores", 1, 4, "aws-neuron-core", "Inferentia")),
        ("inf2.48xlarge", ("neuron_cores", 12, 24, "aws-neuron-core", "Inferentia2")),
    ],
)
def test_a_machine_is_detected_as_what_it_is(boot, instance_type, expected):
    boot(instance_type)
    (found,) = detect()
    assert (found.resource, found.count, found.units, found.accelerator_type, found.variant) == expected
    assert found.bus_count == found.driver_count == len(found.devices) == found.count
    assert found.ray_units == found.units
    assert found.state is DriverState.OK
    assert all(device.pci_address and device.pci_id and device.name for device in found.devices)


@pytest.mark.parametrize("count", [1, 8, 16])
def test_count_and_type_of_nvidia_devices_equal_rays_own_detection(boot, count):
    ours, rays = boot(nvidia(count)).answer(RAY_AND_WE)
    assert ours == rays == [[count, "A100"]]


@pytest.mark.parametrize("name", ["NVIDIA L4-3Q", "A100-SXM4-40GB"])
def test_the_type_of_any_nvidia_product_equals_rays_own_detection(boot, name):
    ours, rays = boot(nvidia(1, name)).answer(RAY_AND_WE)
    assert ours == rays


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root to give Ray an /opt/aws")
@pytest.mark.parametrize("count", [1, 8, 16])
def test_cores_and_type_of_neuron_devices_equal_rays_own_detection(boot, tmp_path, count):
    machine = boot(neuron(count))
    stage = tmp_path / "stage"
    stage.mkdir()
    inside = ["sh", "-c", WITH_OPT_AWS, "sh", str(stage), str(machine.root / "opt/aws"), sys.executable]
    environment = {**os.environ, **machine.environment}
    can = subprocess.run(["unshare", "-m", *inside, "-c", ""], env=environment, capture_output=True, check=False)
    if can.returncode != 0:
        pytest.skip(f"no private mounts on this machine: {can.stderr.decode()}")
    done = subprocess.run(
        ["unshare", "-m", *inside, "-c", RAY_AND_WE], env=environment, capture_output=True, check=True, timeout=120
    )
    ours, rays = json.loads(done.stdout)
    assert ours == rays == [[4 * count, "aws-neuron-core"]]


@pytest.mark.parametrize("instance_type", ["p4d.24xlarge", "trn2.48xlarge"])
def test_without_a_driver_the_bus_still_testifies(boot, instance_type):
    boot(instance_type, "no-driver")
    (found,) = detect()
    assert found.state is DriverState.MISSING
    assert (found.count, found.units, found.accelerator_type) == (0, 0, None)
    assert found.bus_count in (8, 16)
    assert found.variant in ("A100-40G", "Trainium2")
    assert any("not found" in sentence for sentence in found.evidence)


def test_a_library_whose_driver_is_not_loaded_says_so(boot):
    machine = boot("p4d.24xlarge")
    (machine.root / "etc/accel-emulated-nvml").unlink()
    (found,) = detect()
    assert found.state is DriverState.MISSING
    assert found.trouble == "the NVIDIA driver is not loaded"
    assert "NVML: nvmlInit failed: Driver Not Loaded (NVML error 9)" in found.evidence


def test_a_library_that_is_not_one_is_evidence_and_not_a_traceback(boot):
    machine = boot("p4d.24xlarge")
    (library,) = machine.root.rglob("libnvidia-ml.so.1")
    library.write_bytes(b"")
    (found,) = detect()
    assert found.state is DriverState.UNHEALTHY
    assert any("file too short" in sentence for sentence in found.evidence)


def test_a_driver_that_took_no_device_is_unhealthy(boot):
    boot("p4d.24xlarge", "driver-fewer:0")
    (found,) = detect()
    assert found.state is DriverState.UNHEALTHY
    assert "took none of the devices" in found.trouble


def test_a_lost_device_is_named(boot):
    boot("p4d.24xlarge", "unhealthy")
    (found,) = detect()
    assert (found.bus_count, found.driver_count) == (8, 7)
    assert "device 7: GPU is lost (NVML error 15)" in found.trouble


def test_ray_counts_a_lost_device_and_we_say_that_it_does(boot):
    ours, rays = boot("p4d.24xlarge", "unhealthy").answer(RAY_AND_WE)
    assert ours == rays == [[8, "A100"]]


@pytest.mark.parametrize(
    ("script", "state", "words"),
    [
        ("echo 'segmentation fault' >&2; exit 139", DriverState.UNHEALTHY, "exit 139: segmentation fault"),
        ("kill -9 $$", DriverState.UNHEALTHY, "exit -9"),
        ("echo Neuron tools 2.0", DriverState.UNHEALTHY, "printed no JSON: 'Neuron tools 2.0"),
        ("echo '{\"devices\": 3}'", DriverState.UNHEALTHY, "not a list of devices"),
        ("echo '[1, 2]'", DriverState.UNHEALTHY, "not a list of devices"),
        ("echo '[{\"neuron_device\": 0}]'", DriverState.UNHEALTHY, "without nc_count"),
        ("printf '\\377\\376'", DriverState.UNHEALTHY, "printed no JSON"),
        ("echo '[]'", DriverState.MISSING, "no device"),
    ],
)
def test_whatever_neuron_ls_does_becomes_evidence_and_not_a_traceback(boot, script, state, words):
    machine = boot("trn1.32xlarge")
    _neuron_ls(machine, script)
    (found,) = detect()
    assert found.state is state
    assert any(words in sentence for sentence in found.evidence), found.evidence


def test_a_neuron_tool_that_cannot_be_executed_is_evidence(boot):
    tool = boot("trn1.32xlarge").root / "opt/aws/neuron/bin/neuron-ls"
    tool.unlink()
    tool.mkdir()
    (found,) = detect()
    assert (found.state, found.units, found.ray_units) == (DriverState.TOOL_BROKEN, 32, 0)
    assert any("cannot be run" in sentence for sentence in found.evidence)


def test_a_neuron_tool_that_fails_without_a_driver_means_that_the_driver_is_missing(boot):
    machine = boot("trn1.32xlarge")
    shutil.rmtree(machine.root / "sys/devices/virtual/neuron_device")
    _neuron_ls(machine, "exit 1")
    (found,) = detect()
    assert found.state is DriverState.MISSING


def test_a_newer_neuron_tool_that_refuses_rays_option_still_counts_and_says_what_ray_cannot(boot):
    machine = boot("trn2.48xlarge")
    answer = json.dumps({"instance": {"type": "trn2.48xlarge"}, "list": [{"neuron_device": 0, "nc_count": 4}] * 16})
    _neuron_ls(machine, f"[ \"$1\" = --output-format ] || exit 2; echo '{answer}'")
    (found,) = detect()
    assert (found.state, found.count, found.units, found.ray_units) == (DriverState.OK, 16, 64, 0)
    assert any("Ray 2.60 cannot read this neuron-ls" in sentence for sentence in found.evidence)


def test_a_neuron_tool_that_hangs_is_given_up(boot, monkeypatch):
    boot("trn1.32xlarge", "not-yet")
    monkeypatch.setattr(timeouts, "NEURON_LS_TIMEOUT_S", 0.2)
    (found,) = detect()
    assert found.state is DriverState.NOT_YET


def test_an_old_neuron_driver_without_a_name_is_known_by_the_bus(boot):
    machine = boot("trn1.32xlarge")
    shutil.rmtree(machine.root / "sys/devices/virtual")
    (found,) = detect()
    assert (found.state, found.variant, found.units) == (DriverState.OK, "Trainium", 32)


def test_amazons_network_and_disk_devices_are_no_accelerators(boot):
    machine = boot("m5.large")
    for address, pci_id, device_class in (("0000:00:05.0", "ec20", "0x020000"), ("0000:00:04.0", "8061", "0x010802")):
        _pci(machine, address, "0x1d0f", f"0x{pci_id}", device_class)
    assert detect() == []


def test_a_gpus_sound_function_and_an_nvswitch_are_not_counted(boot):
    machine = boot("g6.xlarge")
    _pci(machine, "0000:10:1c.1", "0x10de", "0x22bc", "0x040300")
    _pci(machine, "0000:20:00.0", "0x10de", "0x22a3", "0x068000")
    (found,) = detect()
    assert found.bus_count == 1


def test_an_nvidia_gpu_that_the_catalog_lacks_is_still_found(boot):
    boot(nvidia(2, "NVIDIA Z900 Ultra", "10de:9999"))
    (found,) = detect()
    assert (found.count, found.accelerator_type, found.variant) == (2, "Z900", None)
    assert found.answers_to == ("Z900",)


def test_a_half_written_bus_entry_is_passed_over(boot):
    machine = boot("g6.xlarge")
    (machine.root / "sys/bus/pci/devices/0000:99:00.0").mkdir()
    (found,) = detect()
    assert found.bus_count == 1


def test_a_machine_without_an_accelerator_says_how_it_knows(boot):
    boot("m5.large")
    assert detect() == []
    evidence = [sentence for found in survey() for sentence in found.evidence]
    assert "PCI bus: no NVIDIA GPU" in evidence
    assert "NVML: libnvidia-ml.so.1 not found" in evidence


def test_a_folder_given_by_hand_is_looked_at_instead_of_this_machine(boot, tmp_path):
    boot("p4d.24xlarge")
    assert detect(tmp_path / "nothing") == []


def _neuron_ls(machine, script: str) -> None:
    (machine.root / "opt/aws/neuron/bin/neuron-ls").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")


def _pci(machine, address: str, vendor: str, device: str, device_class: str) -> None:
    folder = machine.root / "sys/bus/pci/devices" / address
    folder.mkdir(parents=True)
    for name, value in (("vendor", vendor), ("device", device), ("class", device_class)):
        (folder / name).write_text(value + "\n", encoding="ascii")
