"""The tables of docs/capacity.md: each word with its options, and which cloud takes it, as the code has them."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.capacity import CapacityType, capacity_orders
from accel_scaling.cluster.cluster import with_capacity
from accel_scaling.errors import AccelScalingError, ClusterConfigError
from accel_scaling.fill.fill import fill
from tests.support.cluster import config_of, gcp_config_of
from tests.support.contributing import ROOT

PAGE = (ROOT / "docs" / "capacity.md").read_text(encoding="utf-8")
MACHINES: dict[str, tuple[str, dict[str, Any]]] = {
    "AWS": ("aws", {"InstanceType": "p5.48xlarge"}),
    "Google Cloud": ("gcp", {"machineType": "a3-highgpu-8g"}),
    "TPU slices": ("gcp", {"acceleratorType": "v6e-16"}),
}
NAMES = {"AWS": "cr-0123", "Google Cloud": "mine", "TPU slices": "mine"}
EXAMPLES = {
    "reserved": "{{reserved: {name}}}",
    "block": "{{block: {name}}}",
    "flex-start": "{{flex-start: {{run_for: 24h}}}}",
}


def rows_of(head: str) -> list[list[str]]:
    """The rows of the table that begins with these cells."""
    lines = PAGE[PAGE.index(f"| {head} |") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]


HEAD, *WORDS = rows_of("word")


def test_the_page_has_each_word_with_the_options_that_it_takes() -> None:
    assert [row[0] for row in WORDS] == [
        f"`{word}`" for word in ("on-demand", "spot", "reserved", "block", "flex-start")
    ]
    assert {row[0].strip("`") for row in WORDS} == {type_.value for type_ in CapacityType}
    for word, _, options, *_ in WORDS:
        with pytest.raises(ClusterConfigError) as raised:
            capacity_orders({"capacity": {"w": [{word.strip("`"): {"nothing": "1h"}}]}})
        assert str(raised.value).endswith(f"the keys there are {options.replace('`', '')}")


@pytest.mark.parametrize("column", MACHINES)
@pytest.mark.parametrize("row", WORDS, ids=lambda row: row[0])
def test_a_cloud_takes_the_words_of_its_column_and_no_other(row: list[str], column: str) -> None:
    name, node_config = MACHINES[column]
    word = row[0].strip("`")
    entry = yaml.safe_load(EXAMPLES.get(word, word).format(name=NAMES[column]))
    (given,) = capacity_orders({"capacity": {"w": [entry]}})["w"]
    if row[HEAD.index(column)] == "yes":
        with_capacity(known_clouds()[name], "w", node_config, given)
        return
    with pytest.raises(ClusterConfigError, match=word):
        with_capacity(known_clouds()[name], "w", node_config, given)


PLACEHOLDERS = {"groups:...": "groups:us-west-2:123456789012:group/a100", "NAME": "mine", "PROJECT": "p"}
ENTRIES = [written for row in rows_of("written")[1:] for written in re.findall(r"`([^`]+)`", row[0])]


@pytest.mark.parametrize("written", ENTRIES)
def test_each_entry_that_the_page_shows_is_taken_by_a_cloud(written: str) -> None:
    for placeholder, value in PLACEHOLDERS.items():
        written = written.replace(placeholder, value)
    entry = yaml.safe_load(written)
    refused = []
    for cloud, node_config in MACHINES.values():
        node_types = {"w": node_config}
        config = gcp_config_of(node_types) if cloud == "gcp" else config_of({"w": "p5.48xlarge"})
        config["provider"]["capacity"] = {"w": [entry]}
        try:
            fill(config, shipped_catalog())
        except AccelScalingError as error:
            refused.append(str(error))
    assert len(refused) < len(MACHINES), refused
