"""`accel-scaling detect` as a user runs it."""

from __future__ import annotations

import json
import resource

LOADED = """
import json, sys
from accel_scaling.cli.main import main
main(sys.argv[1:])
heavy = {"ray", "boto3", "botocore", "moto"}
print(json.dumps(sorted(heavy & {name.partition(".")[0] for name in sys.modules})))
"""


def test_it_shows_the_three_kinds_of_evidence_of_an_accelerator(boot):
    done = boot("p4d.24xlarge").command("detect")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "8 x A100-40G",
        "  PCI bus: 8 x 10de:20b0",
        "  NVML: 8 x NVIDIA A100-SXM4-40GB",
        "  Ray: announces GPU: 8, accelerator_type:A100",
    ]


def test_it_shows_neuron_cores_as_ray_counts_them(boot):
    assert "  Ray: announces neuron_cores: 64, accelerator_type:aws-neuron-core" in (
        boot("trn2.48xlarge").command("detect").stdout.splitlines()
    )


def test_it_says_why_a_device_cannot_be_used(boot):
    shown = boot("p4d.24xlarge", "no-driver").command("detect").stdout
    assert "  NVML: libnvidia-ml.so.1 not found" in shown
    assert "  Ray: announces no GPU" in shown
    assert "  trouble: the NVIDIA driver is not loaded" in shown


def test_a_machine_without_one_says_so_and_how_it_knows(boot):
    done = boot("m5.large").command("detect")
    assert done.returncode == 0
    assert done.stdout.splitlines()[:2] == ["no accelerator found", "  PCI bus: no NVIDIA GPU"]


def test_json_is_a_list_with_the_documented_keys(boot):
    (accelerator,) = json.loads(boot("g6f.large").command("detect", "--json").stdout)
    assert {"family", "count", "accelerator_type", "devices", "evidence", "resource", "units", "variant"} <= set(
        accelerator
    )
    assert (accelerator["family"], accelerator["count"], accelerator["accelerator_type"], accelerator["variant"]) == (
        "nvidia",
        1,
        "L4",
        "L4-3Q",
    )
    assert accelerator["devices"][0]["name"] == "NVIDIA L4-3Q"
    assert accelerator["devices"][0]["memory_mib"] == 3072


def test_json_of_a_machine_without_one_is_an_empty_list(boot):
    assert json.loads(boot("m5.large").command("detect", "--json").stdout) == []


def test_it_imports_neither_ray_nor_a_cloud_sdk(boot):
    done = boot("p4d.24xlarge").python(LOADED, "detect")
    assert json.loads(done.stdout.splitlines()[-1]) == []


def cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_where_there_is_no_accelerator_the_whole_command_takes_less_than_three_tenths_of_a_second(boot):
    machine = boot("m5.large")
    took_s = []
    for _ in range(7):  # the fastest, and processor time: other processes of this machine must not fail the test
        before_s = cpu_of_children_s()
        machine.command("detect")
        took_s.append(cpu_of_children_s() - before_s)
    assert 0 < min(took_s) < 0.3
