"""What a test needs of this machine: `@pytest.mark.needs("rsync")`, `NEEDS_ISOLATED_HOSTS`.

Where it is missing the test is skipped, from one place: pytest's summary has one line for all tests of a reason.
"""

from __future__ import annotations

import functools
import shutil
import sys
from pathlib import Path

import pytest

from accel_scaling.testing.hosts.hosts import isolation_obstacle

ISOLATED_HOSTS = "isolated hosts"
NEEDS_ISOLATED_HOSTS = pytest.mark.needs(ISOLATED_HOSTS)


@functools.cache
def lacks(need: str) -> str | None:
    """Return why this machine does not have a program, or cannot carry isolated hosts; None where it does."""
    if need == ISOLATED_HOSTS:
        obstacle = isolation_obstacle(Path(sys.executable))
        return obstacle and f"tests with isolated hosts: {obstacle}"
    return None if shutil.which(need) else f"tests that call {need}: it is not installed"


@pytest.hookimpl(tryfirst=True)  # before fixtures are set up
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose needs are not met."""
    for marker in item.iter_markers("needs"):
        for need in marker.args:
            if reason := lacks(need):
                pytest.skip(reason)
