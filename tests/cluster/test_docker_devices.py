"""Container options of the user's own that show fewer devices than are promised are noted before the launch."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.fill.fill import fill
from tests.cluster.test_docker import DOCKER, GCP, cluster
from tests.support.plan import plan

CATALOG = shipped_catalog()
A100, T4, TRN, INF2, GAUDI = "p4d.24xlarge", "g4dn.xlarge", "trn1.32xlarge", "inf2.48xlarge", "dl1.24xlarge"
AMD, V4_8 = "g4ad.16xlarge", {"acceleratorType": "v4-8", "runtimeVersion": "tpu-ubuntu2204-base"}


def fewer(*options: str, machine: Any = A100, key: str = "worker_run_options", **node_type: Any) -> list[str]:
    """The notes about a node type whose containers have these options."""
    provider = {"provider": GCP} if isinstance(machine, dict) else {}
    node_config = machine if isinstance(machine, dict) else {"InstanceType": machine}
    config = cluster({**DOCKER, key: list(options)}, **provider, it={"node_config": node_config, **node_type})
    return [note for note in fill(config, CATALOG)[1] if "shows a container" in note]


@pytest.mark.parametrize(
    ("machine", "options", "says"),
    [
        (TRN, ["--device=/dev/neuron0"], "1 of the 16 Trainium"),
        (TRN, ["--device /dev/neuron0:/dev/neuron0:rw", "--device=/dev/neuron0"], "1 of the 16 Trainium"),
        (INF2, [f"--device=/dev/neuron{number}" for number in range(11)], "11 of the 12 Inferentia2"),
        (TRN, ["-e AWS_NEURON_VISIBLE_DEVICES=0-3"], "4 of the 16 Trainium"),
        (A100, ["--gpus 2"], "2 of the 8 A100-40G"),
        (A100, ["--gpus=count=4"], "4 of the 8"),
        (A100, ["--gpus '\"device=0,1\"'"], "2 of the 8"),
        (A100, ["--gpus", '"device=0,1,capabilities=utility"'], "2 of the 8"),
        (A100, ["--runtime=nvidia", "-e NVIDIA_VISIBLE_DEVICES=0,1,2"], "3 of the 8"),
        (A100, ["--runtime=nvidia", "--env=NVIDIA_VISIBLE_DEVICES=none"], "0 of the 8"),
        (A100, ["--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=1"], "2 of the 8"),
        (A100, ["--device=/dev/nvidia0", "--device=/dev/nvidiactl", "--device=/dev/nvidia-uvm"], "1 of the 8"),
        (GAUDI, ["--runtime=habana", "-e HABANA_VISIBLE_DEVICES=0,1"], "2 of the 8 Gaudi"),
        (AMD, ["--device=/dev/kfd", "--device=/dev/dri/renderD128", "--device=/dev/dri/card0"], "1 of the 4 "),
        (V4_8, ["--device=/dev/accel0"], "1 of the 4 TPU-V4"),
    ],
)
def test_options_that_show_fewer_than_are_promised_are_noted_with_both_numbers(
    machine: Any, options: list[str], says: str
) -> None:
    (note,) = fewer(*options, machine=machine)
    assert f"docker.worker_run_options shows a container {says}" in note
    assert "the boot check refuses it (NotVisibleInContainer)" in note


@pytest.mark.parametrize(
    ("machine", "options"),
    [
        (TRN, [f"--device=/dev/neuron{number}" for number in range(16)]),
        (TRN, ["--privileged"]),
        (TRN, ["--device=/dev/neuron0", "--privileged"]),
        (TRN, ["-e AWS_NEURON_VISIBLE_DEVICES=ALL"]),
        (T4, ["--gpus 1"]),
        (A100, ["--gpus all"]),
        (A100, ["--gpus=8"]),
        (A100, ["--runtime=nvidia"]),
        (A100, ["--runtime=nvidia", "-e NVIDIA_VISIBLE_DEVICES=all"]),
        (A100, ["--device=nvidia.com/gpu=all"]),
        (A100, ["--runtime=nvidia", "-e NVIDIA_VISIBLE_DEVICES=$GPUS"]),
        (A100, ["--ulimit nofile=65536:65536", "--device=/dev/fuse"]),
        (AMD, ["--device=/dev/kfd", "--device=/dev/dri"]),
        (V4_8, ["--device=/dev/vfio"]),
        ("m5.large", ["--device=/dev/fuse"]),
    ],
)
def test_options_that_show_all_of_them_or_count_none_are_not_noted(machine: Any, options: list[str]) -> None:
    assert fewer(*options, machine=machine) == []


def test_who_promises_what_is_shown_gets_no_note() -> None:
    assert fewer("--gpus 2", resources={"GPU": 2}) == []
    assert fewer("--device=/dev/neuron0", machine=TRN, resources={"neuron_cores": 2}) == []
    (note,) = fewer("--gpus 2", resources={"GPU": 4})
    assert "2 of the 4 A100-40G" in note
    assert note.endswith("or promise what is there: resources: {GPU: 2}")


def test_the_key_is_the_one_that_has_the_options() -> None:
    (note,) = fewer("--gpus 2", key="run_options")
    assert "docker.run_options shows" in note
    (note,) = fewer(docker={"worker_run_options": ["--gpus 2"]})
    assert note.startswith("available_node_types.it.docker.worker_run_options (p4d.24xlarge) shows ")


def test_the_plan_has_the_note_too() -> None:
    config = cluster(
        {**DOCKER, "worker_run_options": ["--device=/dev/neuron0"]}, it={"node_config": {"InstanceType": TRN}}
    )
    from tests.support.plan import cluster as planned

    assert any("shows a container 1 of the 16 Trainium" in note for note in planned(config).notes)
    assert plan(config, "Trainium:2").launch == {"it": 1}
