"""Containers see their node's accelerators: the options as Ray's own docker code writes them on the node."""

from __future__ import annotations

import copy
import shlex
import types
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import fill

AWS = {"type": "external", "module": "accel_scaling.providers.aws.AWSAcceleratorNodeProvider", "region": "us-west-2"}
GCP = {
    "type": "external",
    "module": "accel_scaling.providers.gcp.GCPAcceleratorNodeProvider",
    "project_id": "p",
    "availability_zone": "us-central1-a",
}
DOCKER = {"image": "rayproject/ray:2.60.0-py310", "container_name": "ray_container"}
NEURON = {f"--device=/dev/neuron{number}" for number in range(16)}
AMD = ["--device=/dev/kfd", "--device=/dev/dri", "--group-add=video", "--security-opt=seccomp=unconfined"]


def cluster(docker: dict[str, Any] | None = None, provider: dict[str, Any] = AWS, **types_: Any) -> dict[str, Any]:
    """A cluster config: node types by name, each a machine type or a whole node type."""
    key = "InstanceType" if provider is AWS else "machineType"
    named = {"head": "m5.large" if provider is AWS else "n2-standard-4", **types_}
    return {
        "cluster_name": "c",
        "max_workers": 4,
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
        "provider": dict(provider),
        "docker": copy.deepcopy(DOCKER if docker is None else docker),
        "head_node_type": "head",
        "available_node_types": {
            name: {"node_config": {key: one}} if isinstance(one, str) else copy.deepcopy(one)
            for name, one in named.items()
        },
    }


def filled(config: dict[str, Any]) -> dict[str, Any]:
    """The config as the provider fills it in `ray up`."""
    from accel_scaling.providers.aws.provider import AWSAcceleratorNodeProvider
    from accel_scaling.providers.gcp.provider import GCPAcceleratorNodeProvider

    of_cloud = AWSAcceleratorNodeProvider if "aws" in config["provider"]["module"] else GCPAcceleratorNodeProvider
    made: dict[str, Any] = of_cloud.fillout_available_node_types_resources(config)
    return made


def written_on(config: dict[str, Any], node_type: str, *, v1: bool = False, nvidia_host: bool = False) -> list[str]:
    """The words of `docker run` that Ray writes on a node of this type."""
    from ray.autoscaler._private.command_runner import DockerCommandRunner

    head = node_type == config["head_node_type"]
    of_type = config["docker"] if head else (docker_config_v1 if v1 else docker_config_v2)(config, node_type)
    said: list[str] = []

    def run(cmd: str, **_options: Any) -> bytes:
        said.append(cmd)
        if cmd == "nvidia-smi" and not nvidia_host:
            raise RuntimeError(cmd)
        return {
            "docker info": b"map[nvidia:{nvidia-container-runtime}]",
            "docker inspe": b'["HOME=/root"]' if "Env" in cmd else b"",
            "cat /proc/me": b"MemAvailable: 1000000 kB",
            "command -v d": b"/usr/bin/docker",
        }.get(cmd[:12].strip(), b"")

    runner = DockerCommandRunner(
        of_type, log_prefix="", node_id="n", provider=None, auth_config={"ssh_user": "ubuntu"}, cluster_name="c",
        process_runner=None, use_internal_ip=False,
    )  # fmt: skip
    runner.ssh_command_runner = SimpleNamespace(run=run, ssh_user="ubuntu", cluster_name="c")
    runner.run_init(as_head=head, file_mounts={}, sync_run_yet=True)
    (start,) = (cmd for cmd in said if cmd.startswith("docker run"))
    return shlex.split(start)


def docker_config_v2(config: dict[str, Any], node_type: str) -> dict[str, Any]:
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

    made: dict[str, Any] = AutoscalingConfig(config, skip_content_hash=True).get_docker_config(node_type)
    return made


def docker_config_v1(config: dict[str, Any], node_type: str) -> dict[str, Any]:
    from ray.autoscaler._private.autoscaler import StandardAutoscaler

    scaler = SimpleNamespace(
        config=config,
        available_node_types=config["available_node_types"],
        provider=SimpleNamespace(node_tags=lambda _: {"ray-user-node-type": node_type}),
    )
    for name in ("_get_node_type_specific_fields", "_get_node_specific_docker_config"):
        setattr(scaler, name, types.MethodType(getattr(StandardAutoscaler, name), scaler))
    made: dict[str, Any] = scaler._get_node_specific_docker_config("n")
    return made


@pytest.mark.parametrize("v1", [False, True])
def test_each_node_type_of_a_mixed_cluster_gets_its_own_familys_options_and_a_cpu_head_none(v1: bool) -> None:
    config = filled(cluster(p4d="p4d.24xlarge", trn1="trn1.32xlarge", g4ad="g4ad.xlarge", cpu="c5.large"))
    words = {name: written_on(config, name, v1=v1) for name in config["available_node_types"]}
    assert "--gpus=all" in words["p4d"]
    assert set(words["trn1"]) >= NEURON
    assert set(AMD) <= set(words["g4ad"])
    for name, own in (("p4d", {"--gpus=all"}), ("trn1", NEURON), ("g4ad", set(AMD))):
        others = {"--gpus=all", *NEURON, *AMD} - own
        assert others.isdisjoint(words[name])
    for name in ("head", "cpu"):
        assert {"--gpus=all", *NEURON, *AMD}.isdisjoint(words[name])


def test_a_tpu_host_gets_a_privileged_container() -> None:
    config = filled(cluster(provider=GCP, v5e={"node_config": {"acceleratorType": "v5litepod-8"}}))
    assert "--privileged" in written_on(config, "v5e")
    assert "--privileged" not in written_on(config, "head")


def test_an_accelerated_head_sees_its_devices_and_its_workers_keep_their_own() -> None:
    config = filled(cluster(head="trn1.2xlarge", p4d="p4d.24xlarge"))
    assert "--device=/dev/neuron0" in written_on(config, "head")
    words = written_on(config, "p4d")
    assert "--gpus=all" in words
    assert "--device=/dev/neuron0" not in words


def test_with_rays_own_nvidia_runtime_each_option_is_there_once() -> None:
    words = written_on(filled(cluster(p4d="p4d.24xlarge")), "p4d", nvidia_host=True)
    assert words.count("--gpus=all") == words.count("--runtime=nvidia") == 1
    assert words[words.index("--runtime=nvidia") + 1 :][:1] == ["--net=host"]


@pytest.mark.parametrize(
    "own",
    ["--gpus all", "--gpus=2", "--gpus '\"device=0,1\"'", "--runtime=nvidia", "-e NVIDIA_VISIBLE_DEVICES=0",
     "--device nvidia.com/gpu=0", "--device=/dev/nvidia0"],
)  # fmt: skip
@pytest.mark.parametrize("key", ["run_options", "worker_run_options"])
def test_an_option_of_the_users_about_the_devices_is_the_only_one(own: str, key: str) -> None:
    config = filled(cluster({**DOCKER, key: [own]}, p4d="p4d.24xlarge"))
    assert config["docker"][key] == [own]
    assert "docker" not in config["available_node_types"]["p4d"]
    assert "--gpus=all" not in written_on(config, "p4d") or own == "--gpus=all"


def test_options_about_something_else_stay_and_ours_follow() -> None:
    docker = {**DOCKER, "run_options": ["--ulimit nofile=65536:65536"], "worker_run_options": ["-v /data:/data"]}
    own = {"node_config": {"InstanceType": "trn1.2xlarge"}, "docker": {"worker_run_options": ["-v /neff:/neff"]}}
    config = filled(cluster(docker, p4d="p4d.24xlarge", trn1=own))
    neuron = ("trn1", "/neff:/neff", "--device=/dev/neuron0")
    for name, volume, device in (("p4d", "/data:/data", "--gpus=all"), neuron):
        words = written_on(config, name)
        assert {"--ulimit", volume, device} <= set(words)
        assert words.count(volume) == 1
    assert "/data:/data" not in written_on(config, "trn1"), "a node type's own replace the cluster's: Ray's rule"


def test_a_privileged_container_needs_no_device_but_nvidias_runtime_still() -> None:
    config = filled(cluster({**DOCKER, "run_options": ["--privileged"]}, trn1="trn1.2xlarge", p4d="p4d.24xlarge"))
    assert "--device=/dev/neuron0" not in written_on(config, "trn1")
    assert "--gpus=all" in written_on(config, "p4d")


def test_what_the_user_has_of_several_options_is_not_written_twice() -> None:
    config = filled(cluster({**DOCKER, "run_options": ["--group-add video"]}, g4ad="g4ad.xlarge"))
    words = written_on(config, "g4ad")
    assert "--device=/dev/kfd" in words
    assert "--group-add=video" not in words


def test_filling_twice_adds_nothing() -> None:
    config = cluster(trn1="trn1.32xlarge", g4ad="g4ad.xlarge", p4d="p4d.24xlarge")
    once, _ = fill(config, shipped_catalog())
    assert fill(once, shipped_catalog())[0] == once


@pytest.mark.parametrize("docker", [{}, {"container_name": ""}, {"run_options": ["-it"]}])
def test_a_cluster_without_containers_gets_no_docker_options(docker: dict[str, Any]) -> None:
    config, _ = fill(cluster(docker, p4d="p4d.24xlarge"), shipped_catalog())
    assert config["docker"] == docker
    assert "docker" not in config["available_node_types"]["p4d"]


def test_podman_gets_the_options_that_podman_knows() -> None:
    config, _ = fill(cluster({**DOCKER, "use_podman": True}, p4d="p4d.24xlarge"), shipped_catalog())
    (device, *_) = config["available_node_types"]["p4d"]["docker"]["worker_run_options"]
    assert device == "--device=nvidia.com/gpu=all"


def test_where_no_options_are_known_the_user_is_told_where_to_write_them() -> None:
    _, notes = fill(cluster(f2="f2.6xlarge"), shipped_catalog())
    (note,) = (note for note in notes if "container" in note)
    assert note.startswith("available_node_types.f2 (f2.6xlarge): no container options are known for fpga")
    assert "available_node_types.f2.docker.worker_run_options" in note


@pytest.mark.parametrize(
    ("docker", "of_type", "words"),
    [
        ({**DOCKER, "run_options": "--gpus all"}, {}, "docker.run_options is '--gpus all'; it takes a list"),
        (DOCKER, {"docker": {"worker_run_options": 7}}, "p4d.docker.worker_run_options is 7; it takes a list"),
        (DOCKER, {"docker": "image"}, "available_node_types.p4d.docker is 'image'; it takes keys and values"),
    ],
)
def test_options_that_are_no_list_are_one_sentence(docker: Any, of_type: dict[str, Any], words: str) -> None:
    with pytest.raises(ClusterConfigError) as error:
        fill(cluster(docker, p4d={"node_config": {"InstanceType": "p4d.24xlarge"}, **of_type}), shipped_catalog())
    assert words in str(error.value)


def test_the_filled_config_passes_rays_schema() -> None:
    from ray.autoscaler._private.util import validate_config

    config = cluster(p4d="p4d.24xlarge", trn1="trn1.32xlarge")
    validate_config(filled({**config, "auth": {"ssh_user": "ubuntu"}, "setup_commands": []}))
