"""What every test has: a home of its own, no credentials, no token, and Ray without usage statistics."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

from accel_scaling._ray import facts
from tests.support.homes import make_home

# How many random examples a test tries that names no number of its own: `tests/run --quick`, `tests/run` and
# `tests/run --thorough`, by pytest's --hypothesis-profile. Each run of the first two tries the same ones, so a red
# test is the change's; the nightly run looks for new ones. No deadlines: a slow machine is no failure.
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=20)
settings.register_profile("normal", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("thorough", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("normal")

# Fixtures that several folders need.
pytest_plugins = [
    "tests.support.aws_account",
    "tests.support.aws_provider",
    "tests.support.boto_files",
    "tests.support.catalog",
    "tests.support.contributing",
    "tests.support.devices",
    "tests.support.first_hour",
    "tests.support.hostile_input",
    "tests.support.hostile_network",
    "tests.support.local_ray",
    "tests.support.minors",
    "tests.support.needs",
    "tests.support.plugins",
    "tests.support.pyproject",
    "tests.support.quarantine",
    "tests.support.refresh",
    "tests.support.rehearsal",
    "tests.support.tpu",
    "tests.support.watched_cloud",
    "tests.support.told_events",
]

ROOT = Path(__file__).resolve().parent.parent

# What 500 test files import lives as long as the process. The collector of garbage looked at it so often that it took
# a tenth of a run's CPU, and a fifth of the time until the first test.
gc.set_threshold(100_000, 50, 100)

# No Ray of a test starts a worker for each CPU before there is a task for it: half a second of CPU each.
os.environ[facts.PRESTARTED_WORKERS] = "0"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import only files with clusters where clusters alone are asked for: all files take a process 8 s of CPU."""
    if not config.option.markexpr.startswith("cluster") or not collection_path.match("test_*.py"):
        return None
    return True if "mark.cluster" not in collection_path.read_text(encoding="utf-8") else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first: what begins last and takes long leaves the other cores without work."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Let the collector never look at what is there before the first test."""
    gc.freeze()


@pytest.fixture(name="bundles", scope="session")
def bundles_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder where the homes of all tests keep what `ray up` built: half a second of CPU for each build."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundles: Path) -> None:
    """No test reads or writes the home, the cloud account or the catalogs of whoever runs it."""
    monkeypatch.setenv("HOME", str(make_home(tmp_path / "home", bundles)))
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    # Ray's own `ray.init()` of an earlier test, in this process, has set the first one for all that it starts.
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)  # it wraps what a command prints
    os.unsetenv("COLUMNS")  # readline, which pytest imports, sets it behind Python's back for all child processes
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture
def examples() -> Path:
    """Return the folder with the complete cluster files."""
    return ROOT / "example_clusters"
