"""In ten emulated minutes, a type whose machines fail is launched at most four times, and the task runs on another.

Each failure on one cloud with one autoscaler here; the benchmark itself runs all of them on all, beside stock Ray.
"""

from __future__ import annotations

import itertools

import pytest

from benchmarks.machine_failures import FAILURES, Failure, cell

pytestmark = pytest.mark.slow

by_name = {failure.name: failure for failure in FAILURES}
SIDES = itertools.cycle([("aws", "v2"), ("gcp", "v1"), ("aws", "v1"), ("gcp", "v2")])


@pytest.mark.parametrize(
    ("failure", "cloud", "autoscaler"),
    [(failure, *side) for failure, side in zip(FAILURES, SIDES, strict=False)],
    ids=lambda value: value.name if isinstance(value, Failure) else value,
)
def test_a_failing_type_is_launched_at_most_four_times_and_the_task_is_served_by_another(
    failure: Failure, cloud: str, autoscaler: str
) -> None:
    result = cell(cloud, autoscaler, "ours", failure)
    assert result.launched <= 4
    assert not result.joined_bad
    assert result.served_s is not None


# What the benchmark shows of stock Ray; tests/quarantine/test_beside_stock.py has stock Ray beside ours in each run.
@pytest.mark.wide
def test_stock_ray_buys_a_type_whose_set_up_fails_again_and_again() -> None:
    assert cell("aws", "v2", "stock", by_name["set-up command fails"]).launched > 4


@pytest.mark.wide
def test_stock_ray_lets_a_machine_without_a_driver_join() -> None:
    assert cell("aws", "v2", "stock", by_name["no driver"]).joined_bad
