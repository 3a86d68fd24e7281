"""The order of capacity types in a cluster file: what it means, and what is refused, with its key."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling.cluster.capacity import CapacityEntry, CapacityType, capacity_labels, capacity_orders
from accel_scaling.cluster.cluster import read_config
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.families.catalog import load_catalog
from accel_scaling.fill.fill import fill

AWS = """
cluster_name: mine
provider: {type: external, module: accel_scaling.providers.aws.AWSAcceleratorNodeProvider, region: us-west-2}
head_node_type: head
available_node_types:
  head: {node_config: {InstanceType: m5.large}}
  gpu: {node_config: {InstanceType: g5.xlarge}, max_workers: 4}
"""


def order(*entries: Any) -> tuple[CapacityEntry, ...]:
    return capacity_orders({"capacity": {"gpu": list(entries)}})["gpu"]


def cluster_with(capacity: Any, **node_config: Any) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(AWS)
    config["provider"]["capacity"] = capacity
    config["available_node_types"]["gpu"]["node_config"] |= node_config
    return config


def test_an_order_keeps_the_users_order_and_a_list_of_reservations_is_one_entry_each() -> None:
    entries = order({"reserved": ["cr-1", "cr-2"]}, {"block": "cr-3"}, "spot", "on-demand")
    assert [entry.key for entry in entries] == ["reserved cr-1", "reserved cr-2", "block cr-3", "spot", "on-demand"]


def test_a_single_word_is_an_order_of_one() -> None:
    assert capacity_orders({"capacity": {"gpu": "spot"}}) == {"gpu": (CapacityEntry(CapacityType.SPOT),)}
    assert capacity_orders({}) == {}


def test_times_are_written_with_their_unit() -> None:
    (entry,) = order({"flex-start": {"run_for": "7d", "wait_for": "90 s"}})
    assert (entry.run_for_s, entry.wait_for_s) == (7 * 86400, 90)


def test_a_reservation_of_another_project_has_it_in_its_key() -> None:
    (entry,) = order({"reserved": {"name": "mine", "project": "other"}})
    assert entry.key == "reserved other/mine"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("spott", r"gpu\[0\] is 'spott'; nearest: spot: write on-demand, spot, reserved, block or flex-start"),
        ({"spot": 3}, r"gpu\[0\]\.spot is 3: it takes wait_for"),
        ({"flex-start": "24h"}, r"is '24h': it takes run_for and wait_for, such as \{flex-start: \{run_for: 24h, wait"),
        ({"reserved": {"nam": "x"}}, r"gpu\[0\]\.reserved\.nam is a key that nothing reads; nearest: name"),
        ({"reserved": "a b; rm"}, r"gpu\[0\]\.reserved\.name is 'a b; rm': write the name or id"),
        ("block", r"gpu\[0\]\.block names no block: write \{block: NAME\}"),
        ({"flex-start": {"run_for": 24}}, r"run_for is 24: write a time such as 90s, 15m, 2h or 7d"),
        ({"flex-start": {"run_for": "0h"}}, r"run_for is '0h': write a time"),
        ({"reserved": []}, r"reserved is an empty list: write the names of reservations"),
        ({"reserved": {"project": "p"}}, r"project is of a reservation that is not named"),
        (None, r"gpu\[0\] is .*: write on-demand"),
        (True, r"gpu\[0\] is True: write on-demand"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_key_and_what_it_takes(given: Any, sentence: str) -> None:
    with pytest.raises(ClusterConfigError, match=sentence):
        order(given)


def test_the_same_entry_twice_is_refused() -> None:
    with pytest.raises(ClusterConfigError, match=r"provider\.capacity\.gpu has spot twice"):
        order("spot", "on-demand", "spot")


@pytest.mark.parametrize("given", [[], "spot", 3, {"gpu": []}])
def test_what_is_no_mapping_of_orders_is_refused(given: Any) -> None:
    with pytest.raises(ClusterConfigError, match=r"provider\.capacity"):
        capacity_orders({"capacity": given})


_WILD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["spot", "block", "reserved"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("reserved"), inner, max_size=3),
    max_leaves=6,
)


@given(_WILD)
def test_whatever_is_written_is_an_order_or_a_sentence(given: Any) -> None:
    try:
        orders = capacity_orders({"capacity": {"gpu": given}})
    except ClusterConfigError as error:
        assert str(error).startswith("provider.capacity")
    else:
        assert all(orders.values())


def test_an_order_for_an_unknown_node_type_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ClusterConfigError, match=r"provider\.capacity\.gpus? .*; nearest: gpu"):
        read_config(cluster_with({"gpus": ["spot"]}))


def test_an_order_and_a_market_in_the_node_config_contradict_each_other() -> None:
    with pytest.raises(
        AccelScalingError, match=r"provider\.capacity\.gpu and InstanceMarketOptions in its node_config both"
    ):
        read_config(cluster_with({"gpu": ["spot"]}, InstanceMarketOptions={"MarketType": "spot"}))


def test_flex_start_is_refused_on_aws() -> None:
    with pytest.raises(AccelScalingError, match=r"provider\.capacity\.gpu has flex-start, which AWS does not sell"):
        read_config(cluster_with({"gpu": [{"flex-start": {"run_for": "1h"}}]}))


def test_a_node_type_with_one_capacity_type_is_promised_its_labels_and_one_with_several_is_not() -> None:
    def labels(entries: list[str]) -> dict[str, str]:
        filled, _ = fill(cluster_with({"gpu": entries}), load_catalog())
        found: dict[str, str] = filled["available_node_types"]["gpu"]["labels"]
        return {key: value for key, value in found.items() if key.endswith(("market-type", "capacity-type"))}

    assert labels(["spot"]) == {"ray.io/market-type": "spot", "accel-scaling.io/capacity-type": "spot"}
    assert labels(["spot", "on-demand"]) == {}, "only the machine that comes knows its own"


def test_rays_label_is_for_its_two_words_alone() -> None:
    assert capacity_labels(CapacityType.BLOCK, ordered=False) == {"accel-scaling.io/capacity-type": "block"}
    assert capacity_labels(CapacityType.SPOT, ordered=False) == {"ray.io/market-type": "spot"}
