"""A file that itself hides devices from `ray start` is told so before a machine is launched."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.fill.fill import fill
from tests.support.cluster import MODULE

START = "ray start --address=$RAY_HEAD_IP:6379"


def notes_of(start: str | list[str] = START, *, instance_type: str = "g4dn.12xlarge", **more: Any) -> list[str]:
    own = more.pop("resources", {})
    config = {
        "cluster_name": "x",
        "provider": {"type": "external", "module": MODULE, "region": "us-west-2"},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"InstanceType": "m5.large"}},
            "gpus": {"node_config": {"InstanceType": instance_type}, "resources": own, "max_workers": 2},
        },
        "head_start_ray_commands": ["ray start --head"],
        "worker_start_ray_commands": [start] if isinstance(start, str) else start,
        **more,
    }
    return [note for note in fill(config, shipped_catalog())[1] if "visible" in note]


@pytest.mark.parametrize(
    "start",
    [
        "export CUDA_VISIBLE_DEVICES=0,1,2; " + START,
        "CUDA_VISIBLE_DEVICES=0,1,2 " + START,
        "CUDA_VISIBLE_DEVICES=0; export CUDA_VISIBLE_DEVICES='0,1,2' && ulimit -n 65536 && " + START,
        "env CUDA_VISIBLE_DEVICES=0,1,2 ~/venv/bin/" + START,
    ],
)
def test_a_variable_of_the_start_command_that_leaves_fewer_is_a_note_with_its_place(start):
    (note,) = notes_of(start)
    assert note == (
        "worker_start_ray_commands[0]: CUDA_VISIBLE_DEVICES=0,1,2 leaves 3 GPU visible, and available_node_types.gpus"
        " promises 4: none of its machines would join as promised; leave the variable out, or promise 3 in its"
        " resources"
    )


@pytest.mark.parametrize(
    "start",
    [
        START,
        "CUDA_VISIBLE_DEVICES=0,1,2,3 " + START,
        "CUDA_VISIBLE_DEVICES=$MINE " + START,
        "CUDA_VISIBLE_DEVICES=0,1 nvidia-smi; " + START,
        "export CUDA_VISIBLE_DEVICES=0; unset CUDA_VISIBLE_DEVICES; " + START,
        "HIP_VISIBLE_DEVICES=0 NEURON_RT_VISIBLE_CORES=0 " + START,
        "CUDA_VISIBLE_DEVICES=0 'ray start",
    ],
)
def test_what_hides_nothing_that_is_promised_is_not_spoken_of(start):
    assert notes_of(start) == []


def test_fewer_promised_than_visible_is_fine():
    assert notes_of("CUDA_VISIBLE_DEVICES=1,2,3 " + START, resources={"GPU": 3}) == []
    assert notes_of("CUDA_VISIBLE_DEVICES=1,2,3 " + START, instance_type="m5.large") == []


def test_the_options_of_containers_are_read_too():
    docker = {"image": "x", "container_name": "x", "worker_run_options": ["-e CUDA_VISIBLE_DEVICES=0,1"]}
    (note,) = notes_of(docker=docker)
    assert note.startswith("docker.run_options: CUDA_VISIBLE_DEVICES=0,1 leaves 2 GPU visible")
    docker["worker_run_options"] = ["--env=CUDA_VISIBLE_DEVICES="]
    (note,) = notes_of(docker=docker)
    assert note.startswith("docker.run_options: CUDA_VISIBLE_DEVICES is empty, which leaves no GPU visible")
    docker["worker_run_options"] = ["--env", "CUDA_VISIBLE_DEVICES=0,1,2,3"]
    assert notes_of(docker=docker) == []
    docker["worker_run_options"] = ["-e CUDA_VISIBLE_DEVICES=0"]
    assert notes_of("CUDA_VISIBLE_DEVICES=0,1,2,3 " + START, docker=docker) == [], "the command's own value stands"


def test_another_family_has_its_own_variable():
    (note,) = notes_of("NEURON_RT_VISIBLE_CORES=0-1 " + START, instance_type="inf2.xlarge")
    assert "NEURON_RT_VISIBLE_CORES=0-1 leaves 1 neuron_cores visible" in note
    assert note.endswith("; Ray counts 0-1 as one: write the number of each")
