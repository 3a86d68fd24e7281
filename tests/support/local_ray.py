"""Ray on this machine, as one process per test file has it, with what a node with two T4 would announce."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray


@pytest.fixture(name="two_t4", scope="module")
def two_t4_fixture() -> Iterator[None]:
    """A cluster of one node with two T4."""
    ray.init(
        address="local",  # and not one that another test has just started on this machine
        num_cpus=4,
        num_gpus=2,
        resources={"accelerator_type:T4": 1},
        labels={"ray.io/accelerator-type": "T4"},
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,  # it would change the loggers of this process for the tests after it
    )
    try:
        yield
    finally:
        ray.shutdown()
