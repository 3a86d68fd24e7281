"""A list of machine types in a node type: one promise for all; else a sentence says what they differ in."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cluster.machine_lists import MACHINES, joined, machines_of, separated
from accel_scaling.errors import AccelScalingError
from accel_scaling.fill.defaults import with_keys_needed_by_ray
from accel_scaling.fill.fill import fill
from tests.support.cluster import config_of, gcp_config_of
from tests.support.doors import of_fill, of_plan, of_ray_up

ENDS = "; write a node type for each, and `priority` (since Ray 2.56) in the first to be launched"
EXPECTED = "; expected machine types, each of them as text"


def aws(given: Any) -> dict[str, Any]:
    config: dict[str, Any] = config_of({"w": "g5.xlarge"})
    config["available_node_types"]["w"]["node_config"]["InstanceType"] = given
    return config


def error_of(config: dict[str, Any]) -> str:
    with pytest.raises(AccelScalingError) as raised:
        fill(config, shipped_catalog())
    return str(raised.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["p5.48xlarge", "p5en.48xlarge"], "these differ: p5.48xlarge has 8 x H100 and p5en.48xlarge has 8 x H200"),
        (
            ["g5.xlarge", "g5.2xlarge"],
            "these differ: g5.xlarge has 4 vCPUs and g5.2xlarge has 8 vCPUs; g5",
        ),
        (["p4d.24xlarge", "p4de.24xlarge"], "p4d.24xlarge has 8 x A100-40G and p4de.24xlarge has 8 x A100-80G"),
        (["m5.xlarge", "m6g.xlarge"], "these differ: m5.xlarge has x86_64 and m6g.xlarge has arm64;"),
    ],
)
def test_what_the_machine_types_of_a_list_differ_in_is_one_sentence(given: list[str], says: str) -> None:
    text = error_of(aws(given))
    assert text.startswith("available_node_types.w.node_config.InstanceType is a list of machine types; a node type ")
    assert says in text
    assert text.endswith(ENDS)
    assert "\n" not in text


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], f"InstanceType is []{EXPECTED}"),
        (["g5.xlarge", 5], f"InstanceType is ['g5.xlarge', 5]{EXPECTED}"),
        (["g5.xlarge", " "], EXPECTED),
        (["g5.xlarge", ["g5.2xlarge"]], EXPECTED),
        (["g5.xlarge", "g5.xlarg"], "instance type 'g5.xlarg' of aws is not in the catalog"),
        ({"a": "g5.xlarge"}, "expected one instance type, as text"),
    ],
)
def test_a_list_of_anything_else_is_refused_with_what_it_takes(given: Any, says: str) -> None:
    assert says in error_of(aws(given))


def test_a_list_of_one_machine_type_is_that_one() -> None:
    filled, _ = fill(aws(["g5.xlarge", " g5.xlarge"]), shipped_catalog())
    assert filled["available_node_types"]["w"]["labels"]["accel-scaling.io/instance-type"] == "g5.xlarge"


@pytest.mark.parametrize("given", [["p5e.48xlarge", "p5en.48xlarge"], ["m5.xlarge", "m6i.xlarge", "m5a.xlarge"]])
def test_machines_that_hold_one_promise_are_filled_with_it_and_no_label_names_one_of_them(given: list[str]) -> None:
    filled, _ = fill(aws(given), shipped_catalog())
    alone, _ = fill(aws(given[0]), shipped_catalog())
    own, single = (config["available_node_types"]["w"] for config in (filled, alone))
    assert own["resources"] == single["resources"]
    named = single["labels"].pop("accel-scaling.io/instance-type")
    assert (named, own["labels"]) == (given[0], single["labels"])
    assert own["node_config"]["InstanceType"] == given, "the file keeps its list"
    assert list(filled["available_node_types"]) == ["head", "w"]
    assert MACHINES not in filled["provider"]


def test_each_machine_type_of_a_list_is_checked_by_itself() -> None:
    config = aws(["m5.xlarge", "m6i.xlarge"])
    config["provider"]["network"] = {"w": "efa"}
    text = error_of(config)
    assert "m5.xlarge has no EFA" in text
    config = aws(["p5e.48xlarge", "p5en.48xlarge"])
    config["provider"] |= {"network": {"w": "efa"}}
    _, notes = fill(config, shipped_catalog())
    said = [note for note in notes if "network interfaces, and EC2" in note]
    assert [note.partition(" gets ")[0] for note in said] == [
        "available_node_types.w (p5e.48xlarge)",
        "available_node_types.w (p5en.48xlarge)",
    ]


def test_rays_own_provider_takes_no_list() -> None:
    config = aws(["m5.xlarge", "m6i.xlarge"])
    config["provider"] = {"type": "aws", "region": "us-west-2"}
    assert "and Ray's own provider takes one: write it alone" in error_of(config)


@pytest.mark.parametrize(
    ("node_config", "says"),
    [
        (
            {"machineType": ["a3-highgpu-8g", "a3-ultragpu-8g"]},
            "a3-highgpu-8g has 8 x H100 and a3-ultragpu-8g has",
        ),
        ({"acceleratorType": ["v5litepod-16", "v5litepod-32"]}, "has 16 x TPU-V5LITEPOD and v5litepod-32 has 32 x"),
        ({"acceleratorType": ["v5litepod-8", "v6e-8"]}, "has 8 x TPU-V5LITEPOD and v6e-8 has 8 x TPU-V6E"),
    ],
)
def test_google_says_the_same_of_machines_and_slices(node_config: dict[str, Any], says: str) -> None:
    text = error_of(gcp_config_of({"w": node_config}))
    assert says in text
    assert text.endswith(ENDS)


def test_google_takes_a_list_of_machine_types_that_hold_one_promise() -> None:
    given = ["a3-highgpu-8g", "a3-megagpu-8g"]
    filled, _ = fill(gcp_config_of({"w": {"machineType": given}}), shipped_catalog())
    assert filled["available_node_types"]["w"]["resources"]["GPU"] == 8
    assert filled["available_node_types"]["w"]["node_config"]["machineType"] == given


def test_a_path_with_a_zone_is_refused_in_a_list() -> None:
    given = ["a3-highgpu-8g", "zones/z-a/machineTypes/a3-megagpu-8g"]
    text = error_of(gcp_config_of({"w": {"machineType": given}}))
    assert text.endswith("has 'zones/z-a/machineTypes/a3-megagpu-8g': write the names alone in a list of machine types")


def test_every_door_says_the_same() -> None:
    config = with_keys_needed_by_ray(aws(["p5.48xlarge", "p5en.48xlarge"]))
    said = {of_fill(config), of_plan(config), of_ray_up(config)}
    assert len(said) == 1
    assert "these differ" in str(said.pop())


def test_what_is_prepared_for_each_machine_comes_back_in_the_provider_section() -> None:
    config = aws(["p5e.48xlarge", "p5en.48xlarge", "p5.48xlarge"])
    config["provider"] |= {"network": {"w": "efa"}, "capacity": {"w": ["spot", "on-demand"]}}
    apart = separated(config, "InstanceType")
    others = ["w (p5en.48xlarge)", "w (p5.48xlarge)"]
    assert list(apart["available_node_types"]) == ["head", "w", *others]
    assert set(apart["provider"]["network"]) == set(apart["provider"]["capacity"]) == {"w", *others}
    types = apart["available_node_types"]
    for number, name in enumerate(("w", *others)):
        types[name]["node_config"] |= {"NetworkInterfaces": [{}] * number, "Tenancy": "dedicated"}
    types["w"]["node_config"]["Only"] = "here"
    whole = joined(apart)
    assert list(whole["available_node_types"]) == ["head", "w"]
    assert list(whole["provider"]["network"]) == list(whole["provider"]["capacity"]) == ["w"]
    node_config = whole["available_node_types"]["w"]["node_config"]
    launched = {**node_config, "IamInstanceProfile": "of Ray's, later"}
    made = machines_of(whole["provider"], "w", launched, "InstanceType")
    assert list(made) == ["p5e.48xlarge", "p5en.48xlarge", "p5.48xlarge"]
    assert made["p5e.48xlarge"] == launched
    for number, name in enumerate(made):
        assert (made[name]["InstanceType"], len(made[name]["NetworkInterfaces"])) == (name, number)
        assert made[name]["Tenancy"] == "dedicated"
        assert made[name]["IamInstanceProfile"] == "of Ray's, later"
        assert ("Only" in made[name]) == (name == "p5e.48xlarge")
    assert machines_of(whole["provider"], "head", {}, "InstanceType") == {}


def test_a_file_without_lists_stays_the_same_object() -> None:
    config = aws("g5.xlarge")
    assert separated(config, "InstanceType") is config
    assert joined(config) is config
