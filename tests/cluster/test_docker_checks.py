"""A file with containers: Docker is there, or installed, or asked for; and no node gets another family's options."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cluster.docker_checks import INSTALL
from accel_scaling.fill.fill import fill
from tests.cluster.test_docker import AWS, DOCKER, GCP, cluster

CATALOG = shipped_catalog()


def notes_of(config: dict[str, Any]) -> list[str]:
    return fill(config, CATALOG)[1]


def test_docker_is_installed_where_the_fill_chose_an_image_without_it() -> None:
    filled, notes = fill(cluster(provider=GCP, a100="a2-highgpu-1g"), CATALOG)
    assert filled["initialization_commands"] == [INSTALL["docker"]]
    assert notes == []


def test_podman_is_installed_in_its_place() -> None:
    filled, notes = fill(cluster({**DOCKER, "use_podman": True}, GCP), CATALOG)
    assert filled["initialization_commands"] == [INSTALL["podman"]]
    assert notes == []


@pytest.mark.parametrize("docker", [{}, {"run_options": ["-it"]}])
def test_without_containers_nothing_is_installed(docker: dict[str, Any]) -> None:
    assert "initialization_commands" not in fill(cluster(docker, GCP), CATALOG)[0]


def test_on_aws_nothing_is_installed_as_its_images_bring_docker() -> None:
    assert "initialization_commands" not in fill(cluster(t4="g4dn.xlarge", trn="trn1.2xlarge"), CATALOG)[0]


def test_an_image_of_the_users_own_is_theirs_to_equip() -> None:
    disks = [{"boot": True, "initializeParams": {"sourceImage": "projects/p/global/images/mine"}}]
    head = {"node_config": {"machineType": "n2-standard-4", "disks": disks}}
    assert "initialization_commands" not in fill(cluster(provider=GCP, head=head), CATALOG)[0]


def test_commands_of_the_users_own_stay_and_a_note_says_what_they_lack() -> None:
    config = cluster(provider=GCP, a100="a2-highgpu-1g")
    config["initialization_commands"] = ["gcloud auth list"]
    filled, (note,) = fill(config, CATALOG)
    assert filled["initialization_commands"] == ["gcloud auth list"]
    assert note.startswith(
        "initialization_commands: the default image of head has no Docker, and `docker:` asks for it"
    )
    assert note.endswith(INSTALL["docker"])
    config["initialization_commands"] = ["curl -fsSL https://get.docker.com | sudo sh"]
    assert notes_of(config) == []


def test_a_node_types_own_commands_take_the_place_of_the_clusters() -> None:
    own = {"node_config": {"machineType": "n2-standard-8"}, "initialization_commands": []}
    (note,) = notes_of(cluster(provider=GCP, plain=own))
    assert note.startswith(
        "available_node_types.plain.initialization_commands: the default image of plain has no Docker"
    )


def test_an_image_without_nvidias_container_toolkit_is_noted() -> None:
    bound = {
        "scheduling": {"provisioningModel": "RESERVATION_BOUND"},
        "reservationAffinity": {"consumeReservationType": "SPECIFIC_RESERVATION", "key": "k", "values": ["mine"]},
    }
    (note,) = notes_of(cluster(provider=GCP, gb200={"node_config": {"machineType": "a4x-highgpu-4g", **bound}}))
    assert "available_node_types.gb200: its default image (ubuntu-accelerator-2204-arm64-with-nvidia-580)" in note
    assert "has no NVIDIA container toolkit" in note


@pytest.mark.parametrize("option", ["--gpus all", "--gpus=all", "--runtime=nvidia", "--device=nvidia.com/gpu=all"])
def test_an_option_for_gpus_on_all_nodes_names_those_whose_container_docker_refuses(option: str) -> None:
    config = cluster({**DOCKER, "run_options": [option]}, t4="g4dn.xlarge", trn="trn1.2xlarge")
    (note,) = notes_of(config)
    assert note.startswith(
        f"docker.run_options: {option} is for nodes with accelerators of the family nvidia, and docker refuses the "
        "container on head (m5.large) and trn (trn1.2xlarge); leave it out"
    )
    # Without it the fill adds what each node needs.
    config["docker"]["run_options"] = []
    assert notes_of(config) == []


@pytest.mark.parametrize(
    ("option", "family"),
    [("--device=/dev/neuron0", "neuron"), ("--device /dev/neuron0", "neuron"), ("--runtime=habana", "gaudi")],
)
def test_another_familys_option_is_noted_too(option: str, family: str) -> None:
    (note,) = notes_of(cluster({**DOCKER, "worker_run_options": [option]}, t4="g4dn.xlarge"))
    assert note.startswith(f"docker.worker_run_options: {option} is for nodes with accelerators of the family {family}")
    assert "on t4 (g4dn.xlarge)" in note


@pytest.mark.parametrize(
    "options",
    [
        ["--ulimit nofile=65536:65536", "-v /dev/shm:/dev/shm"],
        ["--runtime=runc", "--device=/dev/fuse", "--privileged"],
        ["-e NVIDIA_VISIBLE_DEVICES=all", "--env=HABANA_VISIBLE_DEVICES=all"],
    ],
)
def test_options_that_docker_takes_everywhere_are_not_noted(options: list[str]) -> None:
    assert notes_of(cluster({**DOCKER, "run_options": options}, t4="g4dn.xlarge", trn="trn1.2xlarge")) == []


def test_the_options_of_the_right_node_type_are_not_noted() -> None:
    t4 = {"node_config": {"InstanceType": "g4dn.xlarge"}, "docker": {"worker_run_options": ["--gpus all"]}}
    assert notes_of(cluster(t4=t4, trn="trn1.2xlarge")) == []


@pytest.mark.parametrize("provider", [AWS, GCP])
@pytest.mark.parametrize(
    "image", ["rayproject/ray:2.60.0-py310-gpu", "rayproject/ray:2.60.0-cu128", "nvidia/cuda:12.8"]
)
def test_an_image_for_nvidias_gpus_on_another_family_is_noted_with_the_key(
    provider: dict[str, Any], image: str
) -> None:
    if provider is AWS:
        other: Any = "trn1.2xlarge"
    else:
        other = {"node_config": {"acceleratorType": "v4-8", "runtimeVersion": "tpu-ubuntu2204-base"}}
    (note,) = notes_of(cluster({**DOCKER, "image": image}, provider, other=other))
    assert f"its container image {image} is for NVIDIA GPUs" in note
    assert note.endswith("name another in available_node_types.other.docker.worker_image")


def test_an_image_of_its_own_and_nodes_without_accelerators_are_not_noted() -> None:
    own = {"node_config": {"InstanceType": "trn1.2xlarge"}, "docker": {"worker_image": "mine/neuron:1"}}
    gpu = {**DOCKER, "image": "rayproject/ray:2.60.0-py310-gpu"}
    assert notes_of(cluster(gpu, t4="g4dn.xlarge", trn=own, plain="m5.large")) == []
    assert notes_of(cluster(DOCKER, trn="trn1.2xlarge")) == []
