"""In a pod: KubeRay's own `ray start`, run by a shell as in its container, confirms the pod by what it is given.

The operator is emulated (tests/support/kuberay_operator.py), and so are the devices; `ray start` and the hook are real.
No Ray is started: the hook ends the command, or this test does right behind it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from accel_scaling.boot.promise_input import POD, promise_of_node
from accel_scaling.boot.verdict_file import VERDICT_FILE
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED, LABEL_VERDICT
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.kuberay.fill import fill
from tests.kuberay.test_from_zero import clusters, text_of
from tests.support.kuberay_operator import groups_of, ray_start

ROOT = Path(__file__).resolve().parents[2]
HOOK = "accel_scaling.boot.start_hook.run"
# Stands where Ray would be started: says with what, and ends.
SHOWN = """
import json, sys
from accel_scaling.boot import start_hook
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED, LABEL_VERDICT
def run(ray_params, head):
    start_hook.run(ray_params, head)
    print("JOINS " + json.dumps([ray_params.num_gpus, ray_params.resources, ray_params.labels]))
    sys.exit(0)
"""


def start(machine: Any, tmp_path: Path, name: str, group: str, hook: str = HOOK) -> subprocess.CompletedProcess[str]:
    """Run a group's container as KubeRay makes it, on an emulated machine; the package is in its image."""
    (document,) = clusters(fill(text_of(name), name, shipped_catalog()).text)
    command = ray_start(groups_of(document)[group], head=False) + " --address=nobody:6379 --block"
    (tmp_path / "shown.py").write_text(SHOWN, encoding="utf-8")
    return subprocess.run(
        ["bash", "-c", command],
        env={
            **os.environ,
            **machine.environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{tmp_path}",
            "RAY_START_HOOK": hook,
            POD: "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_pod_with_its_devices_joins_with_what_the_manifest_promises(boot, tmp_path: Path) -> None:
    done = start(boot("p4d.24xlarge"), tmp_path, "karpenter", "p4d", "shown.run")
    assert done.returncode == 0, done.stderr
    assert "Confirmed: promised 8 x A100-40G; 8 on the PCI bus, 8 seen by the driver" in done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("JOINS ")]
    num_gpus, resources, labels = json.loads(line.removeprefix("JOINS "))
    assert num_gpus == 8
    assert resources == {"accelerator_type:A100": 1, "accelerator_type:A100-40G": 1}
    assert labels[LABEL_VERDICT] == "Confirmed"
    assert labels["ray.io/market-type"] == "spot"


def test_a_pod_with_fewer_devices_ends_before_ray_is_started(boot, tmp_path: Path) -> None:
    done = start(boot("trn1.32xlarge", "fewer:15"), tmp_path, "neuron", "trn1")
    assert done.returncode == EXIT_NOT_CONFIRMED, done.stderr
    assert "FewerThanPromised: promised 32 neuron_cores of Trainium; 15 on the PCI bus" in done.stderr
    verdict = json.loads((Path(os.environ["HOME"]) / VERDICT_FILE).read_text(encoding="utf-8"))
    assert (verdict["verdict"], verdict["joins"]) == ("FewerThanPromised", False)


def test_a_pod_with_a_slice_of_a_gpu_joins(boot, tmp_path: Path) -> None:
    done = start(boot("p4d.24xlarge", "mig:7"), tmp_path, "mig", "slices", "shown.run")
    assert done.returncode == 0, done.stderr
    assert 'JOINS [1, {"mig-1g.5gb": 1' in done.stdout


def test_a_pod_whose_home_cannot_be_written_joins_anyway(boot, tmp_path: Path) -> None:
    machine = boot("g5.xlarge")
    (tmp_path / "a file").write_text("", encoding="utf-8")
    code = (
        "from types import SimpleNamespace as Given; from accel_scaling.boot import start_hook; "
        "start_hook.run(Given(num_cpus=4, num_gpus=1, memory=None, resources={}, labels={}), False)"
    )
    home = str(tmp_path / "a file")
    assert machine.python(code, HOME=home, **{POD: "1"}).returncode == 0
    done = machine.python(code, HOME=home)
    assert done.returncode == 3
    assert "the verdict cannot be written" in done.stderr


def params(**given: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"num_cpus": None, "num_gpus": None, "memory": None, "resources": None, **given})


@pytest.mark.parametrize(
    ("environment", "given", "promised"),
    [
        ({POD: "1"}, {"num_gpus": 8, "num_cpus": 4}, {"GPU": 8, "CPU": 4}),
        ({POD: "1"}, {"resources": {"TPU": 4.0}}, {"TPU": 4}),
        ({POD: "1"}, {"num_gpus": 3, "resources": {"mig-1g.5gb": 3}}, {"GPU": 1, "mig-1g.5gb": 3}),
        ({POD: "1"}, {}, {}),
        ({}, {"num_gpus": 8}, {}),
        ({POD: "1", "RAY_OVERRIDE_RESOURCES": '{"GPU": 1}'}, {"num_gpus": 8}, {"GPU": 1}),
    ],
)
def test_the_promise_of_a_pod_is_what_ray_start_is_given(
    environment: dict[str, str], given: dict[str, Any], promised: dict[str, float]
) -> None:
    assert promise_of_node(environment, params(**given)) == promised


def test_ray_tells_pods_of_kuberay_by_the_same_variable() -> None:
    from ray._common.usage.usage_constants import KUBERAY_ENV

    assert KUBERAY_ENV == POD


def manifest_of_the_document() -> dict[str, Any]:
    text = (ROOT / "docs" / "kuberay.md").read_text(encoding="utf-8")
    block = text.split("<!-- file: confirmed.yaml -->", 1)[1].split("```yaml\n", 1)[1].split("```", 1)[0]
    return yaml.safe_load(block)


def test_the_manifest_of_the_document_sets_the_hook_on_each_ray_container() -> None:
    for group in groups_of(manifest_of_the_document()).values():
        container = group["template"]["spec"]["containers"][0]
        assert {"name": "RAY_START_HOOK", "value": HOOK} in container["env"]
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
