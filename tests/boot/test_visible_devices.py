"""The boot check counts what a visible-devices variable leaves of a machine: Ray starts with no more than that."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from accel_scaling._ray.facts import OVERRIDE_RESOURCES
from accel_scaling.boot import bundle, start_hook
from accel_scaling.boot.admission import ON_MISMATCH
from accel_scaling.boot.announcement import PROMISE, keep_to_machine
from accel_scaling.boot.compare import compare
from accel_scaling.boot.start_prefix import with_boot_check
from accel_scaling.boot.verdicts import VerdictWord
from accel_scaling.families.inventory import detect
from accel_scaling.testing.devices.gcp_machines import hardware_of_tpu
from tests.support.devices import neuron, nvidia
from tests.support.families import devices

T4 = {"GPU": 4, "accelerator_type:T4": 1}
FEWER, CONFIRMED = VerdictWord.FEWER_THAN_PROMISED, VerdictWord.CONFIRMED
UUIDS = "GPU-7c4f0a6e,GPU-8d5e1b7f,GPU-9e6f2c80,MIG-1a2b3c4d"


def t4s():
    return nvidia(4, "Tesla T4", "10de:1eb8")


@pytest.mark.parametrize(
    ("value", "word", "says"),
    [
        ("0,1,2,3", CONFIRMED, "seen by the driver as Tesla T4"),
        (UUIDS, CONFIRMED, "seen by the driver"),
        ("0,1,2", FEWER, "CUDA_VISIBLE_DEVICES=0,1,2 leaves 3 of 4 visible: 1 missing"),
        ("0,1,2", FEWER, "or promise 3 in the node type's resources"),
        ("", FEWER, "CUDA_VISIBLE_DEVICES is empty, which leaves none of 4 visible: 4 missing"),
        ("NoDevFiles", FEWER, "CUDA_VISIBLE_DEVICES=NoDevFiles leaves none"),
        ("0-3", FEWER, "Ray counts 0-3 as one: write the number of each"),
        ("all", FEWER, "CUDA_VISIBLE_DEVICES=all leaves none of 4"),
        ("-1,-1,-1,-1", FEWER, "leaves none of 4"),  # which Ray takes for four
        ("0,1,2,9", FEWER, "leaves 3 of 4"),
        ("0," + "9" * 5000, FEWER, "leaves 1 of 4"),
        ("00,+1,2 ,03", CONFIRMED, "seen by the driver"),
        ("0,1,1,2", FEWER, "leaves 2 of 4"),
        ("GPU-7c4f0a6e", FEWER, "CUDA_VISIBLE_DEVICES=GPU-7c4f0a6e leaves 1 of 4"),
    ],
)
def test_a_promise_above_what_is_visible_is_refused_with_the_variable_named(boot, monkeypatch, value, word, says):
    boot(t4s())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    verdict = compare(T4, detect())
    assert (verdict.word, verdict.confirmed) == (word, word is CONFIRMED)
    assert says in verdict.message
    if word is FEWER and "0-3" not in value:
        assert "take CUDA_VISIBLE_DEVICES out of the start command, docker's run_options or the image" in verdict.advice


# Family: its hardware with four devices, the variables of its manager and the values that leave three, and the promise.
OTHERS = {
    "neuron": (neuron(1), {"NEURON_RT_VISIBLE_CORES": "0,1,2"}, {"neuron_cores": 4}),
    "tpu": (hardware_of_tpu("v4-8")[0], {"TPU_VISIBLE_CHIPS": "0,1,2"}, {"TPU": 4}),
    "amd": (devices("amd", 4), {"HIP_VISIBLE_DEVICES": "0,1,2"}, {"GPU": 4}),
    "intel": (devices("intel", 4), {"ZE_AFFINITY_MASK": "0,1,2"}, {"GPU": 4}),
    "intel by oneAPI": (devices("intel", 4), {"ONEAPI_DEVICE_SELECTOR": "level_zero:0,1,2"}, {"GPU": 4}),
    "gaudi": (devices("gaudi", 4), {"HABANA_VISIBLE_MODULES": "0,1,2"}, {"HPU": 4}),
    "ascend": (devices("ascend", 4), {"ASCEND_RT_VISIBLE_DEVICES": "0,1,2"}, {"NPU": 4}),
    "rbln": (devices("rbln", 4), {"RBLN_DEVICES": "0,1,2"}, {"RBLN": 4}),
    "metax": (devices("metax", 4), {"CUDA_VISIBLE_DEVICES": "0,1,2"}, {"GPU": 4}),
    "furiosa": (devices("furiosa", 4), {"FURIOSA_DEVICES": "npu:0,npu:1,npu:2"}, {"FURIOSA": 4}),
    "mobilint": (devices("mobilint", 4), {"QBRUNTIME_VISIBLE_DEVICES": "0,1,2"}, {"MBLT": 4}),
    "tenstorrent": (devices("tenstorrent", 4), {"TT_VISIBLE_DEVICES": "0,1,2"}, {"TTNPU": 4}),
}


@pytest.mark.parametrize("family", OTHERS)
def test_every_familys_variable_is_read(boot, monkeypatch, family):
    hardware, variables, promised = OTHERS[family]
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v4-8")
    monkeypatch.setenv("TPU_WORKER_ID", "0")
    boot(hardware)
    ((name, value),) = variables.items()
    for given, left in ((value, "3 of 4"), ("", "none of 4")):
        monkeypatch.setenv(name, given)
        verdict = compare(promised, detect())
        assert verdict.word is FEWER, verdict.message
        assert name in verdict.message
        assert f"leaves {left} visible" in verdict.message
    monkeypatch.setenv(name, value)
    (device,) = detect()
    assert device.ray_units == 3
    (resource,) = promised
    assert compare({resource: 3}, [device]).word is CONFIRMED
    assert compare({resource: 2}, [device]).word is VerdictWord.MORE_THAN_PROMISED


def test_a_range_of_neuron_cores_is_one_to_ray(boot, monkeypatch):
    boot(neuron(1))
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "0-3")
    verdict = compare({"neuron_cores": 4}, detect())
    assert verdict.word is FEWER
    assert verdict.message.endswith("Ray counts 0-3 as one: write the number of each")


def test_rocms_own_variable_alone_stops_ray_and_beside_hips_it_does_not(boot, monkeypatch):
    boot(devices("amd", 4))
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "0,1,2,3")
    verdict = compare({"GPU": 1}, detect())
    assert verdict.word is FEWER
    assert "ROCR_VISIBLE_DEVICES=0,1,2,3 leaves none of 4 visible" in verdict.message
    assert verdict.advice == "Ray does not start with it: use HIP_VISIBLE_DEVICES in its place"
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0,1,2,3")
    assert compare({"GPU": 4}, detect()).word is CONFIRMED


def test_without_the_package_by_which_ray_counts_amd_gpus_it_reads_cudas_variable(boot, monkeypatch):
    boot(devices("amd", 4))
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0")
    assert compare({"GPU": 4}, detect()).word is CONFIRMED
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert "CUDA_VISIBLE_DEVICES=0 leaves 1 of 4" in compare({"GPU": 4}, detect()).message


def test_a_variable_of_another_family_narrows_nothing(boot, monkeypatch):
    boot(t4s())
    for name in ("HIP_VISIBLE_DEVICES", "NEURON_RT_VISIBLE_CORES", "ROCR_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "0")
    verdict = compare(T4, detect())
    assert (verdict.word, "VISIBLE" in verdict.message) == (CONFIRMED, False)


def test_a_makers_package_is_asked_for_all_devices_whatever_it_reads_itself(boot, monkeypatch):
    """As Habana's does: a machine of which none is visible is not called sick."""
    machine = boot(devices("gaudi", 4))
    (package,) = machine.root.rglob("hpu.py")
    with package.open("a", encoding="utf-8") as file:
        file.write('import os\nCOUNT = len(os.environ.get("HABANA_VISIBLE_MODULES", "0,1,2,3").replace(",", ""))\n')
    monkeypatch.setenv("HABANA_VISIBLE_MODULES", "")
    verdict = compare({"HPU": 4}, detect())
    assert verdict.word is FEWER
    assert "4 seen by the driver" in verdict.message


def test_what_is_wrong_with_the_machine_is_said_before_what_is_visible(boot, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    boot(t4s(), "no-driver")
    assert compare(T4, detect()).word is VerdictWord.DRIVER_MISSING
    boot(t4s(), "other-type:g5.xlarge")
    assert compare(T4, detect()).word is VerdictWord.OTHER_TYPE


def test_a_promise_of_a_type_alone_needs_one_device_that_is_visible(boot, monkeypatch):
    boot(t4s())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert compare({"accelerator_type:T4": 1}, detect()).confirmed
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert compare({"accelerator_type:T4": 1}, detect()).word is FEWER


def test_a_value_with_control_characters_is_shown_and_not_obeyed(boot, monkeypatch):
    boot(t4s())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "\x1b[31m" + "0," * 500)
    verdict = compare(T4, detect())
    assert verdict.message.isprintable()
    assert len(verdict.message) < 600


def test_ray_start_is_refused_by_the_variable_of_its_own_command(boot, monkeypatch, tmp_path, capsys):
    boot(t4s())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(OVERRIDE_RESOURCES, json.dumps({"CPU": 4, **T4}))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    with pytest.raises(SystemExit) as ended:
        start_hook.run(SimpleNamespace(labels=None), head=False)
    assert ended.value.code == 3
    assert "FewerThanPromised" in capsys.readouterr().err
    # A cluster that lets such a machine join has it with as many as Ray can start with.
    monkeypatch.setenv(ON_MISMATCH, "join")
    start_hook.run(SimpleNamespace(labels=None), head=False)
    assert json.loads(start_hook.os.environ[OVERRIDE_RESOURCES])["GPU"] == 3


NARROWED_STARTS = {
    "the image's .bashrc": ". ~/.bashrc; {ray} start {options}",
    "the command": "export CUDA_VISIBLE_DEVICES=0,1; CUDA_VISIBLE_DEVICES=0,1,2 {ray} start {options} || true",
}


@pytest.mark.parametrize("how", NARROWED_STARTS)
def test_rays_own_program_is_refused_before_it_fails(boot, tmp_path, how):
    machine, home, whole = boot(t4s()), tmp_path / "node", bundle.build()
    home.mkdir()
    (home / ".accel_scaling_bundle").symlink_to(whole)
    (home / ".bashrc").write_text("export CUDA_VISIBLE_DEVICES=0,1,2\n")
    options = f"--head --port=0 --temp-dir={tmp_path / 'ray'}"
    command = NARROWED_STARTS[how].format(ray=Path(sys.executable).with_name("ray"), options=options)
    done = subprocess.run(
        ["bash", "-c", with_boot_check(command, bundle.content_of(whole).name)],
        env={**machine.environment, "HOME": str(home), "PATH": "/usr/bin:/bin", OVERRIDE_RESOURCES: json.dumps(T4)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "FewerThanPromised: promised 4 x T4" in done.stderr
    assert "CUDA_VISIBLE_DEVICES=0,1,2 leaves 3 of 4 visible" in done.stderr
    assert "ValueError" not in done.stderr
    assert not (tmp_path / "ray").exists()


def test_detect_says_what_ray_announces_and_why(boot):
    machine = boot(t4s())
    lines = machine.command("detect", CUDA_VISIBLE_DEVICES="0,1,2").stdout.splitlines()
    assert lines[0] == "4 x T4"
    assert lines[-1] == "  Ray: announces GPU: 3 (CUDA_VISIBLE_DEVICES=0,1,2), accelerator_type:T4"
    none = machine.command("detect", CUDA_VISIBLE_DEVICES="").stdout.splitlines()
    assert none[-1] == "  Ray: announces no GPU (CUDA_VISIBLE_DEVICES is empty)"
    (found,) = json.loads(machine.command("detect", "--json", CUDA_VISIBLE_DEVICES="0,1,2").stdout)
    assert (found["units"], found["ray_units"], found["visible"]["count"]) == (4, 3, 3)
    assert json.loads(machine.command("detect", "--json").stdout)[0]["visible"] is None


def test_start_options_above_what_is_visible_are_not_announced(boot, monkeypatch):
    boot(t4s())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    given = SimpleNamespace(num_cpus=None, num_gpus=3, resources=None, labels=None)
    (sentence,) = keep_to_machine(given, {"CPU": 4}, detect(), {PROMISE: "{}"})
    assert given.num_gpus is None
    assert "--num-gpus=3 is not promised, and this machine has 2 (CUDA_VISIBLE_DEVICES=0,1)" in sentence


def test_a_start_option_below_the_promise_is_said_to_be_overruled(boot):
    boot(t4s())
    given = SimpleNamespace(num_cpus=None, num_gpus=3, resources=None, labels=None)
    (sentence,) = keep_to_machine(given, T4, detect(), {PROMISE: "{}"})
    expected = "--num-gpus=3 is less than is promised, GPU: 4, which is announced; for 3, promise it in the node type's"
    assert sentence.startswith(expected)


def test_of_two_makers_gpus_ray_announces_one_makers(boot, monkeypatch):
    from accel_scaling.families.registry import all_families
    from accel_scaling.families.visible import narrowed

    boot(t4s())
    (nvidias,) = detect()
    boot(devices("amd", 2))
    (amds,) = detect()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    both = narrowed([nvidias, amds], all_families(), {"CUDA_VISIBLE_DEVICES": "0"})
    assert [each.ray_units for each in both] == [0, 2]
    assert "Ray announces those of AMD GPU" in both[0].evidence[-1]
    assert [each.visible for each in both] == [None, None]
    assert replace(both[1], visible=None) == amds
