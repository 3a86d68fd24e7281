"""`provider.network` and `provider.placement`: each wrong value is one sentence with its key and the nearest word."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.networks import Network, networks_of, placements_of
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import fill
from tests.support.cluster import MODULE

GCP_MODULE = "accel_scaling.providers.gcp.GCPAcceleratorNodeProvider"
EFA_BY_HAND = {"SubnetId": "subnet-1", "Groups": ["sg-1"], "DeviceIndex": 0, "InterfaceType": "efa"}
SUBNETS = [f"net-{number}" for number in range(10)]


def on_aws(machine: str = "p5.48xlarge", provider: dict[str, Any] | None = None, **node_config: Any) -> dict[str, Any]:
    return {
        "cluster_name": "mine",
        "max_workers": 2,
        "provider": {"type": "external", "module": MODULE, "region": "us-west-2", **(provider or {})},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"InstanceType": "m5.large"}},
            "h100": {"node_config": {"InstanceType": machine, **node_config}},
        },
    }


def on_gcp(
    machine: str = "a3-ultragpu-8g", provider: dict[str, Any] | None = None, **node_config: Any
) -> dict[str, Any]:
    place = {"project_id": "mine-123", "region": "europe-west1", "availability_zone": "europe-west1-b"}
    scheduling = {"provisioningModel": "SPOT"}
    return {
        "cluster_name": "mine",
        "max_workers": 2,
        "provider": {"type": "external", "module": GCP_MODULE, **place, **(provider or {})},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"machineType": "n2-standard-4"}},
            "h200": {"node_config": {"machineType": machine, "scheduling": scheduling, **node_config}},
        },
    }


def refusal(config: dict[str, Any]) -> str:
    with pytest.raises(ClusterConfigError) as error:
        fill(config, shipped_catalog())
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("provider", "sentence"),
    [
        ({"network": "efa"}, "provider.network is 'efa': write a mapping of node types, such as {my_type: efa}"),
        ({"network": {"h100": "efas"}}, "provider.network.h100 is 'efas'; nearest: efa"),
        ({"network": {"h100": 3}}, "provider.network.h100 is 3: write efa"),
        (
            {"network": {"h10": "efa"}},
            "provider.network names 'h10', which available_node_types does not have; nearest:",
        ),
        ({"network": {"h100": {"efa": ["net-0"]}}}, "provider.network.h100 takes the word alone: write efa"),
        ({"placement": {"h100": "clustr"}}, "provider.placement.h100 is 'clustr'; nearest: cluster"),
        ({"placement": {"h100": "compact"}}, "provider.placement.h100 is 'compact': write cluster"),
        ({"netwrk": {"h100": "efa"}}, "provider.netwrk is a key that nothing reads; nearest: network"),
        (
            {"network": {"head": "efa"}},
            "provider.network.head is efa, and m5.large has no EFA; leave it out, or choose",
        ),
    ],
)
def test_a_wrong_word_is_one_sentence_on_aws(provider: dict[str, Any], sentence: str) -> None:
    assert refusal(on_aws(provider=provider)).startswith(sentence)


@pytest.mark.parametrize(
    ("provider", "sentence"),
    [
        ({"network": {"h200": "rdma"}}, "provider.network.h200 is rdma, without subnetworks: write {rdma: [...]}"),
        ({"network": {"h200": {"rmda": SUBNETS}}}, "provider.network.h200 is 'rmda'; nearest: rdma"),
        (
            {"network": {"h200": {"rdma": "net-0"}}},
            "provider.network.h200.rdma is 'net-0': write subnetworks in a list",
        ),
        ({"network": {"h200": {"rdma": SUBNETS, "gpudirect": []}}}, "provider.network.h200 has 2 words; write one"),
        ({"placement": {"h200": "cluster"}}, "provider.placement.h200 is 'cluster': write compact"),
    ],
)
def test_a_wrong_word_is_one_sentence_on_google_cloud(provider: dict[str, Any], sentence: str) -> None:
    assert refusal(on_gcp(provider=provider)).startswith(sentence)


def test_the_words_are_read_for_each_node_type() -> None:
    aws, gcp = known_clouds()["aws"], known_clouds()["gcp"]
    assert networks_of({"network": {"a": "efa"}}, aws) == {"a": Network("efa")}
    assert networks_of({"network": {"a": {"rdma": ["x", "y"]}}}, gcp) == {"a": Network("rdma", ("x", "y"))}
    assert placements_of({"placement": {"a": "cluster"}}, aws) == {"a": "cluster"}
    assert networks_of({}, aws) == placements_of({}, gcp) == {}


def test_two_ways_to_say_one_thing_contradict_each_other() -> None:
    mine = [{"SubnetId": "subnet-1", "Groups": ["sg-1"], "DeviceIndex": 0}]
    both = on_aws(provider={"network": {"h100": "efa"}}, NetworkInterfaces=mine)
    assert "provider.network.h100 is efa and available_node_types.h100.node_config has NetworkInterfaces" in refusal(
        both
    )
    group = on_aws(provider={"placement": {"h100": "cluster"}}, Placement={"GroupName": "training"})
    assert "node_config.Placement names a group: leave one of them out" in refusal(group)
    block = on_aws(
        provider={"placement": {"h100": "cluster"}},
        InstanceMarketOptions={"MarketType": "capacity-block"},
        CapacityReservationSpecification={"CapacityReservationTarget": {"CapacityReservationId": "cr-1"}},
    )
    assert "EC2 places no machine of a Capacity Block into a placement group" in refusal(block)


def test_a_head_that_nobody_would_reach_is_refused_and_workers_without_internet_are_noted() -> None:
    config = on_aws(provider={"network": {"h100": "efa"}})
    _, notes = fill(config, shipped_catalog())
    (note,) = [note for note in notes if "network interfaces" in note]
    assert note.startswith(
        "available_node_types.h100 (p5.48xlarge) gets 33 network interfaces, and EC2 gives no public"
    )
    config["head_node_type"] = "h100"
    assert refusal(config).endswith("write use_internal_ips: true in provider, or choose another type for the head")
    config["provider"]["use_internal_ips"] = True
    _, notes = fill(config, shipped_catalog())
    assert not [note for note in notes if "network interfaces" in note]
    # With interfaces of the user's own, an address may come later, by hand.
    own = on_aws("p4d.24xlarge", NetworkInterfaces=[EFA_BY_HAND, {**EFA_BY_HAND, "NetworkCardIndex": 1}])
    own["head_node_type"] = "h100"
    (note,) = [note for note in fill(own, shipped_catalog())[1] if "public address" in note]
    assert note.startswith("available_node_types.h100.node_config.NetworkInterfaces: EC2 gives no public address")


RDMA = ["--device=/dev/infiniband", "--ulimit=memlock=-1"]


@pytest.mark.parametrize(
    ("config", "added"),
    [
        (on_aws(provider={"network": {"h100": "efa"}}), RDMA),
        (on_aws(NetworkInterfaces=[EFA_BY_HAND]), RDMA),
        (on_aws(), []),
        (on_gcp(provider={"network": {"h200": {"rdma": SUBNETS}}}), RDMA),
        (on_gcp("a3-highgpu-8g", provider={"network": {"h200": {"gpudirect": SUBNETS[:5]}}}), []),
    ],
)
def test_containers_get_the_network_devices_of_their_machine_alone(config: dict[str, Any], added: list[str]) -> None:
    config["docker"] = {"image": "mine", "container_name": "ray", "pull_before_run": False}
    filled, _ = fill(config, shipped_catalog())
    (worker,) = [name for name in config["available_node_types"] if name != "head"]
    options = (filled["available_node_types"][worker].get("docker") or {}).get("worker_run_options") or []
    assert [option for option in options if option in RDMA] == added
    assert not set(RDMA) & set(filled["docker"].get("head_run_options") or [])


def test_options_of_the_user_for_the_network_decide() -> None:
    config = on_aws(provider={"network": {"h100": "efa"}})
    own = ["--device=/dev/infiniband/uverbs0", "--ulimit memlock=1000:1000"]
    config["docker"] = {"image": "mine", "container_name": "ray", "pull_before_run": False, "run_options": own}
    filled, _ = fill(config, shipped_catalog())
    options = filled["available_node_types"]["h100"]["docker"]["worker_run_options"]
    assert not set(RDMA) & set(options)
