"""The table of a running cluster's nodes: a column that nobody can fill is left out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling.cli.plan_existing import existing_table
from accel_scaling.plan.model import ExistingNodes

FILE: Any = SimpleNamespace(types={"a10g": SimpleNamespace(instance_types=("g5.xlarge",))})


@pytest.mark.parametrize(
    ("nodes", "head"),
    [
        ([ExistingNodes("headgroup", "", "", "", 1)], ["running", "boot check", "nodes"]),  # of a manifest
        (
            [ExistingNodes("a10g", "", "spot", "Confirmed", 2)],
            ["running", "instance type", "bought", "boot check", "nodes"],
        ),
        (
            [ExistingNodes("a10g", "us-west-2a", "", "Confirmed", 2), ExistingNodes("headgroup", "", "", "", 1)],
            ["running", "instance type", "zone", "boot check", "nodes"],
        ),
    ],
)
def test_only_the_columns_that_a_node_fills_are_there(nodes: list[ExistingNodes], head: list[str]) -> None:
    first, *rows = existing_table(FILE, nodes, None).splitlines()
    assert [word.strip() for word in first.split("  ") if word.strip()] == head
    assert len(rows) == len(nodes)


def test_a_node_of_a_list_says_which_machine_it_is_and_one_on_its_way_all_that_it_may_be() -> None:
    both: Any = SimpleNamespace(types={"h200": SimpleNamespace(instance_types=("p5e.48xlarge", "p5en.48xlarge"))})
    came = ExistingNodes("h200", "", "", "Confirmed", 1, instance_type="p5en.48xlarge")
    waits = ExistingNodes("h200", "", "", "", 1, joined=False)
    _, *rows = existing_table(both, [came, waits], None).splitlines()
    assert ["p5e.48xlarge, then p5en.48xlarge" in row for row in rows] == [False, True]
    assert "p5en.48xlarge" in rows[0]
