"""The table of a running cluster's nodes: a column that nobody can fill is left out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling.cli.plan_existing import existing_table
from accel_scaling.plan.model import ExistingNodes

FILE: Any = SimpleNamespace(types={"a10g": SimpleNamespace(instance_type="g5.xlarge")})


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
