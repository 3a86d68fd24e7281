"""A list of machine types where a node type takes one: every command says what they differ in, and what to write."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import AccelScalingError
from accel_scaling.fill.defaults import with_keys_needed_by_ray
from accel_scaling.fill.fill import fill
from tests.support.cluster import config_of, gcp_config_of
from tests.support.doors import of_fill, of_plan, of_ray_up

ENDS = "; write a node type for each, and `priority` (since Ray 2.56) in the first to be launched"
SAME = "a node type has one machine type, also where several hold the same promise, as these do"


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
        (["p5e.48xlarge", "p5en.48xlarge"], SAME),
        (["m5.xlarge", "m6i.xlarge"], SAME),
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
        (["g5.xlarge"], "is ['g5.xlarge']; expected one instance type, as text"),
        (["g5.xlarge", "g5.xlarge"], "expected one instance type, as text"),
        ([], "InstanceType is missing"),
        (["g5.xlarge", 5], "expected one instance type, as text"),
        (["g5.xlarge", "g5.xlarg"], "instance type 'g5.xlarg' of aws is not in the catalog"),
        ({"a": "g5.xlarge"}, "expected one instance type, as text"),
    ],
)
def test_a_list_that_names_no_two_machine_types_is_refused_with_what_it_takes(given: Any, says: str) -> None:
    assert says in error_of(aws(given))


@pytest.mark.parametrize(
    ("node_config", "says"),
    [
        (
            {"machineType": ["a3-highgpu-8g", "a3-ultragpu-8g"]},
            "a3-highgpu-8g has 8 x H100 and a3-ultragpu-8g has",
        ),
        ({"machineType": ["a3-highgpu-8g", "zones/z-a/machineTypes/a3-megagpu-8g"]}, SAME),
        ({"acceleratorType": ["v5litepod-16", "v5litepod-32"]}, "has 16 x TPU-V5LITEPOD and v5litepod-32 has 32 x"),
        ({"acceleratorType": ["v5litepod-8", "v6e-8"]}, "has 8 x TPU-V5LITEPOD and v6e-8 has 8 x TPU-V6E"),
    ],
)
def test_google_says_the_same_of_machines_and_slices(node_config: dict[str, Any], says: str) -> None:
    text = error_of(gcp_config_of({"w": node_config}))
    assert says in text
    assert text.endswith(ENDS)


def test_every_door_says_the_same() -> None:
    config = with_keys_needed_by_ray(aws(["p5.48xlarge", "p5en.48xlarge"]))
    said = {of_fill(config), of_plan(config), of_ray_up(config)}
    assert len(said) == 1
    assert "these differ" in str(said.pop())
