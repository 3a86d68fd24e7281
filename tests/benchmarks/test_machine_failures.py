"""In ten emulated minutes, a type whose machines fail is launched at most four times, and the task runs on another."""

from __future__ import annotations

import functools

import pytest

from benchmarks.machine_failures import FAILURES, Failure, Result, cell

pytestmark = pytest.mark.slow

by_name = {failure.name: failure for failure in FAILURES}


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
@pytest.mark.parametrize(("cloud", "autoscaler"), [("aws", "v2"), ("gcp", "v1")])
def test_a_failing_type_is_launched_at_most_four_times_and_the_task_is_served_by_another(
    cloud: str, autoscaler: str, failure: Failure
) -> None:
    result = cell(cloud, autoscaler, "ours", failure)
    assert result.launched <= 4
    assert not result.joined_bad
    assert result.served_s is not None


@functools.cache
def stock(name: str) -> Result:
    return cell("aws", "v2", "stock", by_name[name])


def test_stock_ray_buys_a_type_whose_set_up_fails_again_and_again() -> None:
    assert stock("set-up command fails").launched > 4


def test_stock_ray_lets_a_machine_without_a_driver_join() -> None:
    assert stock("no driver").joined_bad
