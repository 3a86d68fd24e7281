"""`accel-scaling plan` for a manifest of KubeRay: tables, JSON, prices, standard input, and wrong arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.kuberay.fill import fill
from tests.support.manifests import L4, group, raycluster
from tests.support.plan import aws

MACHINES = "node.kubernetes.io/instance-type: "
TEXT = raycluster(
    group("l4", "nvidia.com/gpu: 1", selector=L4, replicas=1),
    group("p4d", "nvidia.com/gpu: 8", selector=f"{MACHINES}p4d.24xlarge"),
    group("part", "nvidia.com/gpu: 2", selector=f"{MACHINES}g5.48xlarge"),
)


@pytest.fixture(name="plan")
def plan_fixture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `accel-scaling plan` on a filled manifest; return exit code, stdout and stderr."""
    path = tmp_path / "ray.yaml"

    def running(*words: str, text: str = fill(TEXT, "", shipped_catalog()).text) -> tuple[int, str, str]:
        path.write_text(text, encoding="utf-8")
        code = main(["plan", str(path), *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return running


_ONE_RUNS = "running    a pod has  pods  for\nheadgroup  CPU 4         1\nl4         GPU 1 L4      1  L4\n"


def test_people_get_tables_of_groups_with_their_replicas(plan: Any) -> None:
    code, out, err = plan("--demand", "L4x3", "A100:8", "H100")
    assert (code, err) == (3, "")
    assert out == (
        "to launch  a pod has       pods  replicas  for\n"
        "l4         GPU 1 L4           2  1 to 3    L4x2\n"
        "p4d        GPU 8 A100-40G     1  0 to 1    A100:8\n\n"
        "running    a pod has  pods  for\n"
        "headgroup  CPU 4         1\n"
        "l4         GPU 1 L4      1  L4\n\n"
        "stays pending\n"
        "  H100: asks accelerator_type:H100, GPU 1; the groups of the manifest have L4, A100-40G, A10G; "
        "p5.4xlarge would take it\n"
    )
    assert plan("--demand", "L4")[:2] == (0, "nothing to launch\n\n" + _ONE_RUNS)


def test_programs_get_the_same_json_as_for_a_cluster_file(plan: Any) -> None:
    code, out, _ = plan("--demand", "L4x3", "H100", "--json")
    answer = json.loads(out)
    assert code == 3
    assert answer["launch"] == {"l4": 2}
    assert set(answer) == {"launch", "pending", "nodes", "limits", "notes"}
    assert answer["nodes"][0] == {
        "node_type": "l4",
        "instance_type": "",
        "count": 2,
        "launched": True,
        "for": [{"demand": "L4", "count": 2}],
        "for_min_workers": 0,
        "replicas": 3,
    }
    assert answer["pending"][0]["kind"] == "NoSuchAccelerator"


def test_a_price_is_of_a_whole_machine_only(plan: Any, tmp_path: Path) -> None:
    prices = tmp_path / "prices.csv"
    prices.write_text("instance_type,price_per_hour\np4d.24xlarge,32\ng5.48xlarge,16\n", encoding="utf-8")
    _, out, _ = plan("--demand", "A100:8x2", "A10G:2", "--prices", str(prices))
    assert "p4d        GPU 8 A100-40G     2  0 to 2       64.00  A100:8x2\n" in out
    assert "part       GPU 2 A10G         1  0 to 1    no price  A10G:2\n" in out
    assert "a price is counted only where the selectors name one machine type" in out


def test_a_manifest_comes_from_standard_input(capsys: pytest.CaptureFixture[str]) -> None:
    two = TEXT + "---\n" + raycluster(name="other")
    done = subprocess.run(
        [sys.executable, "-m", "accel_scaling", "plan", "-", "--name", "demo", "--demand", "GPU:8"],
        input=two,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "to launch  a pod has  pods  replicas  for\np4d        GPU 8         1  0 to 1    GPU:8\n"
    )


def test_wrong_arguments_are_one_sentence(plan: Any) -> None:
    assert plan("--demand", "GPU", "--name", "other")[2].endswith(
        "ray.yaml has RayCluster demo (line 6); none has this name\n"
    )
    code, _, err = plan("--demand", "A1OO")
    assert (code, err.startswith("accel-scaling: --demand 'A1OO': no node announces accelerator_type 'A1OO'")) == (
        2,
        True,
    )
    code, _, err = plan("--demand", "GPU", "--name", "demo", text=json.dumps(aws(t4="g4dn.xlarge")))
    assert (code, err.startswith("accel-scaling: --name chooses one of several manifests of KubeRay; ")) == (2, True)
    said = plan("--address", "10.0.0.5:x")[2]
    assert said.startswith("accel-scaling: --address '10.0.0.5:x': expected HOST or HOST:PORT")
    assert "no Ray cluster answers there" in plan("--address", "127.0.0.1:1")[2]
