"""What Ray's own tests check of its GCP provider, checked of ours by the public doors, on the local Compute Engine.

docs/design-decisions.md lists where ours differs on purpose. Names, TPU types, chips and lists of nodes are functions
of Ray's that ours call unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import pytest

from accel_scaling import _ray
from accel_scaling.cluster.cluster import catalog_of
from accel_scaling.errors import AccelScalingError
from accel_scaling.fill.fill import fill
from tests.support.gcp_provider import Google, config_of, google, node_configs, ours, provider_of, tags
from tests.support.resolved import resolved


@pytest.fixture(scope="module", name="gce")
def gce_fixture() -> Iterator[Google]:
    with google() as at:
        yield at


def test_a_creation_returns_a_dict_by_the_names_of_the_nodes(gce: Google) -> None:
    provider, configs = ours(gce)
    made = provider.create_node(configs["cpu"], tags("cpu"), 2)
    assert isinstance(made, dict)
    assert sorted(made) == sorted(provider.non_terminated_nodes({"ray-user-node-type": "cpu"}))
    provider.terminate_nodes(list(made))


def test_nodes_of_both_kinds_end_together_and_each_only_once(gce: Google) -> None:
    provider, configs = ours(gce, slices=True)
    nodes = [*provider.create_node(configs["cpu"], tags("cpu"), 2), *provider.create_node(configs["v4"], tags("v4"), 1)]
    assert set(nodes) <= set(provider.non_terminated_nodes({}))
    provider.terminate_nodes(nodes)
    assert set(nodes) & set(provider.non_terminated_nodes({})) == set()
    assert all(provider.is_terminated(node) for node in nodes)
    provider.terminate_nodes(nodes)  # gone: no error
    provider.terminate_nodes([])


def test_a_machine_has_one_command_runner_and_a_slice_one_for_each_host(gce: Google) -> None:
    from ray.autoscaler._private.command_runner import SSHCommandRunner
    from ray.autoscaler._private.gcp.tpu_command_runner import TPUCommandRunner

    provider, configs = ours(gce, slices=True)
    (machine,) = provider.create_node(configs["cpu"], tags("cpu"), 1)
    (tpu,) = provider.create_node(configs["v4"], tags("v4"), 1)
    named: dict[str, Any] = {"auth_config": {"ssh_user": "u"}, "cluster_name": "c", "process_runner": None}
    runners = {
        node: provider.get_command_runner("", node, **named, use_internal_ip=True)._runner for node in (machine, tpu)
    }
    assert isinstance(runners[machine], SSHCommandRunner)
    assert isinstance(runners[tpu], TPUCommandRunner)
    hosts = _ray.hosts_of(runners[tpu])
    assert len(hosts) == len(provider.addresses_of(tpu)) == 2
    provider.terminate_nodes([machine, tpu])


def test_containers_get_runners_of_their_own(gce: Google) -> None:
    from ray.autoscaler._private.command_runner import DockerCommandRunner

    provider, configs = ours(gce)
    (machine,) = provider.create_node(configs["cpu"], tags("cpu"), 1)
    docker = {"container_name": "c", "image": "rayproject/ray:2.60.0", "pull_before_run": True, "run_options": []}
    runner = provider.get_command_runner(
        "", machine, {"ssh_user": "u"}, "c", None, use_internal_ip=True, docker_config=docker
    )
    assert isinstance(runner._runner, DockerCommandRunner)
    provider.terminate_nodes([machine])


def test_a_connection_that_breaks_is_tried_again(gce: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accel_scaling.timeouts.GCP_RETRY_WAITS_S", (0.01, 0.01))
    provider = provider_of(resolved(config_of(gce.url)))
    gce.fault("compute.instances.list", kind="lost_request", times=1)
    assert provider.non_terminated_nodes({"ray-user-node-type": "nobody"}) == []


# The type or the configuration of a slice -> its head resource, and TPU of a host.
SLICES = [
    ({"acceleratorType": "v4-8"}, "TPU-v4-8-head", 4),
    ({"acceleratorType": "v4-16"}, "TPU-v4-16-head", 4),
    ({"acceleratorType": "v2-8"}, "TPU-v2-8-head", 4),
    ({"acceleratorType": "v5litepod-8"}, "TPU-v5litepod-8-head", 8),
    ({"acceleratorType": "v5p-16"}, "TPU-v5p-16-head", 4),
    ({"acceleratorType": "v6e-8"}, "TPU-v6e-8-head", 8),
    ({"acceleratorConfig": {"type": "V4", "topology": "2x2x2"}}, "TPU-v4-16-head", 4),
]


@pytest.mark.parametrize("kind", ["external", "gcp"])
@pytest.mark.parametrize(("node_config", "head", "chips"), SLICES)
def test_the_head_resource_of_a_slice_is_that_of_ray(
    kind: str, node_config: dict[str, Any], head: str, chips: int
) -> None:
    from ray.autoscaler._private.gcp.node_provider import GCPNodeProvider

    config = config_of("http://127.0.0.1:9")
    config["provider"] = {
        **config["provider"],
        "type": kind,
        "availability_zone": "us-central2-b",
        "region": "us-central2",
    }
    node_config = {**node_config, "runtimeVersion": "tpu-vm-v4-base"}
    config["available_node_types"] = {
        "head": {"node_config": {"machineType": "n1-standard-4"}},
        "tpu": {"node_config": node_config, "resources": {}},
    }
    promised = fill(config, catalog_of(config))[0]["available_node_types"]["tpu"]["resources"]
    stock = GCPNodeProvider.fillout_available_node_types_resources(config)["available_node_types"]["tpu"]["resources"]
    assert (promised[head], promised["TPU"]) == (1, chips)
    assert {name: amount for name, amount in stock.items() if name.endswith("-head")} == {head: 1}


WRONG = [
    {"acceleratorType": "vABC-12345"},
    {"acceleratorType": "v4-7"},
    {"acceleratorType": "v4"},
    {"acceleratorType": "v4-8", "acceleratorConfig": {"type": "V4", "topology": "2x2x1"}},
    {"acceleratorConfig": {"type": "V4", "topology": "2x2"}},
    {"acceleratorConfig": {"type": "V4"}},
    {"acceleratorConfig": {"topology": "2x2x1"}},
]


@pytest.mark.parametrize("node_config", WRONG)
def test_a_slice_that_does_not_exist_is_refused(node_config: dict[str, Any]) -> None:
    config = config_of("http://127.0.0.1:9")
    config["available_node_types"]["tpu"] = {"node_config": node_config}
    with pytest.raises(AccelScalingError) as error:
        fill(config, catalog_of(config))
    assert "available_node_types.tpu" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_key_pair_and_a_network_are_found_or_made_in_each_node_config(gce: Google) -> None:
    made = resolved(config_of(gce.url))
    for node_config in node_configs(made).values():
        assert node_config["networkInterfaces"][0]["subnetwork"]
    assert made["auth"]["ssh_private_key"]


def test_no_project_is_one_sentence(gce: Google) -> None:
    config = config_of(gce.url)
    del config["provider"]["project_id"]
    with pytest.raises(click.ClickException, match=r"provider\.project_id is missing"):
        resolved(config)
