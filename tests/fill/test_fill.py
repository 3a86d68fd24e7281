"""The fill: what a node type is promised, and how a wrong one is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cluster.cluster import read_config
from accel_scaling.errors import ClusterConfigError, UnknownInstanceTypeError
from accel_scaling.fill.fill import fill, fill_cluster
from accel_scaling.fill.promise import promise_for

AWS_NEURON = "accelerator_type:aws-neuron-core"
OURS = {
    "type": "external",
    "module": "accel_scaling.providers.aws.AWSAcceleratorNodeProvider",
    "region": "us-west-2",
}


def cluster(*machines: str, **worker: Any) -> dict[str, Any]:
    """A cluster config with these instance types as w0, w1, ..."""
    node_types: dict[str, Any] = {"head": {"node_config": {"InstanceType": "m5.large"}}}
    for number, machine in enumerate(machines):
        node_types[f"w{number}"] = {"node_config": {"InstanceType": machine}, **copy.deepcopy(worker)}
    return {"provider": dict(OURS), "head_node_type": "head", "available_node_types": node_types}


def filled(*machines: str, **worker: Any) -> dict[str, Any]:
    """The filled node type of the first machine, wherever it is available."""
    config, _ = fill_cluster(read_config(cluster(*machines, **worker), shipped_catalog()), offerings=False)
    return config["available_node_types"]["w0"]


@pytest.mark.parametrize(
    ("machine", "resources"),
    [
        ("p4d.24xlarge", {"GPU": 8, "accelerator_type:A100": 1, "accelerator_type:A100-40G": 1}),
        ("p4de.24xlarge", {"GPU": 8, "accelerator_type:A100": 1, "accelerator_type:A100-80G": 1}),
        ("p3.2xlarge", {"GPU": 1, "accelerator_type:V100": 1, "accelerator_type:V100-16G": 1}),
        ("p3dn.24xlarge", {"GPU": 8, "accelerator_type:V100": 1, "accelerator_type:V100-32G": 1}),
        ("g4dn.xlarge", {"GPU": 1, "accelerator_type:T4": 1}),
        ("g5g.xlarge", {"GPU": 1, "accelerator_type:T4G": 1}),
        ("g7e.2xlarge", {"GPU": 1, "accelerator_type:RTX-PRO-6000": 1}),
        ("g6f.large", {"GPU": 1, "accelerator_type:L4-3Q": 1}),
        ("gr6f.4xlarge", {"GPU": 1, "accelerator_type:L4-12Q": 1}),
        ("g4ad.xlarge", {"GPU": 1, "accelerator_type:AMD-Radeon-Pro-V520": 1}),
        ("dl1.24xlarge", {"HPU": 8, "accelerator_type:Intel-GAUDI": 1}),
        ("inf1.24xlarge", {"neuron_cores": 64, AWS_NEURON: 1, "accelerator_type:Inferentia": 1}),
        ("trn1.32xlarge", {"neuron_cores": 32, AWS_NEURON: 1, "accelerator_type:Trainium": 1}),
        ("trn2.48xlarge", {"neuron_cores": 64, AWS_NEURON: 1, "accelerator_type:Trainium2": 1}),
        ("f2.6xlarge", {"FPGA": 1, "accelerator_type:VU47P": 1}),
        ("c5.xlarge", {}),
    ],
)
def test_a_machine_is_promised_its_devices_the_type_that_ray_detects_and_the_exact_variant(
    machine: str, resources: dict[str, int]
) -> None:
    promised = {k: v for k, v in filled(machine)["resources"].items() if k not in {"CPU", "memory"}}
    assert promised == resources


def test_a_worker_is_promised_the_memory_that_ray_computes_and_the_head_none() -> None:
    config, _ = fill(cluster("m5.large"), shipped_catalog())
    head, worker = (config["available_node_types"][name]["resources"] for name in ("head", "w0"))
    assert worker == {"CPU": 2, "memory": int(8192 * 1024 * 1024 * 0.7)}
    assert head == {"CPU": 2}


def test_labels_say_the_type_the_variant_the_machine_the_market_and_the_region() -> None:
    spot = {"InstanceType": "p4d.24xlarge", "InstanceMarketOptions": {"MarketType": "spot"}}
    labels = filled("p4d.24xlarge", node_config=spot)["labels"]
    assert labels == {
        "accel-scaling.io/instance-type": "p4d.24xlarge",
        "accel-scaling.io/accelerator-variant": "A100-40G",
        "ray.io/accelerator-type": "A100",
        "ray.io/market-type": "spot",
        "ray.io/availability-region": "us-west-2",
    }


def test_the_zone_is_a_label_only_where_the_config_fixes_one() -> None:
    one, two = cluster("m5.large"), cluster("m5.large")
    one["provider"]["availability_zone"] = "us-west-2a"
    two["provider"]["availability_zone"] = "us-west-2a,us-west-2b"
    zones = [
        fill(config, shipped_catalog())[0]["available_node_types"]["w0"]["labels"].get("ray.io/availability-zone")
        for config in (one, two)
    ]
    assert zones == ["us-west-2a", None]


def test_what_the_user_wrote_wins_and_a_contradiction_is_said() -> None:
    config, notes = fill(cluster("p4d.24xlarge", resources={"GPU": 4, "fast": 1}), shipped_catalog())
    resources = config["available_node_types"]["w0"]["resources"]
    assert (resources["GPU"], resources["fast"], resources["CPU"]) == (4, 1, 96)
    assert notes == [
        "available_node_types.w0 (p4d.24xlarge): your resources say GPU: 4, the catalog says 8; yours is used"
    ]


def test_a_type_that_the_machine_does_not_have_is_said() -> None:
    _, notes = fill(cluster("g4dn.xlarge", resources={"accelerator_type:A100": 1}), shipped_catalog())
    assert len(notes) == 1
    assert "accelerator_type:A100, the catalog knows accelerator_type:T4 there" in notes[0]


def test_filling_twice_changes_nothing_and_says_nothing_new() -> None:
    once, notes = fill(cluster("p4d.24xlarge", "g6f.large", "trn1.32xlarge"), shipped_catalog())
    assert fill(once, shipped_catalog()) == (once, notes)


def test_the_config_that_was_passed_in_is_not_touched() -> None:
    config = cluster("p4d.24xlarge")
    before = copy.deepcopy(config)
    fill(config, shipped_catalog())
    assert config == before


def test_an_unknown_type_is_named_with_its_key_the_nearest_names_and_the_way_out() -> None:
    with pytest.raises(UnknownInstanceTypeError) as error:
        fill(cluster("g4dn.xlrge"), shipped_catalog())
    text = str(error.value)
    assert text.startswith("available_node_types.w0: instance type 'g4dn.xlrge'")
    for part in (shipped_catalog().version, "g4dn.xlarge", "provider.catalog", "~/.accel_scaling"):
        assert part in text


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ([], "not a cluster config"),
        ({"provider": dict(OURS)}, "`available_node_types` is missing"),
        ({"available_node_types": {"a": {}}}, "`provider` is missing"),
        ({**cluster(), "head_node_type": "x"}, "head_node_type is 'x'"),
        ({**cluster(), "provider": {"type": "azure"}}, "provider.type is 'azure'"),
        (cluster("x", node_config={}), "available_node_types.w0.node_config.InstanceType is missing"),
        (cluster("x", node_config=None), "available_node_types.w0.node_config.InstanceType is missing"),
        (cluster("m5.large", resources={"GPU": "eight"}), "available_node_types.w0.resources.GPU is 'eight'"),
        (cluster("m5.large", resources={"GPU": -1}), "available_node_types.w0.resources.GPU is -1"),
    ],
)
def test_what_is_not_a_cluster_config_is_refused_by_the_key_that_is_wrong(broken: Any, words: str) -> None:
    with pytest.raises(ClusterConfigError) as error:
        fill(broken, shipped_catalog())
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@given(st.sampled_from(sorted(shipped_catalog().machine_types("aws"))))
def test_every_promise_is_whole_numbers_and_valid_labels(name: str) -> None:
    from ray._private.label_utils import validate_node_label_syntax

    promise = promise_for(shipped_catalog().machine_type("aws", name))
    assert all(isinstance(amount, int) and amount > 0 for amount in promise.resources.values())
    validate_node_label_syntax(promise.labels)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["provider", "available_node_types", "head_node_type", "node_config", "type", "a"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_yaml_is_filled_or_refused_in_one_sentence_and_never_crashes(config: Any) -> None:
    try:
        fill(config, shipped_catalog())
    except (ClusterConfigError, UnknownInstanceTypeError) as error:
        assert "\n" not in str(error)
