"""What every test has: a home of its own, no credentials, and Ray without usage statistics."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# Tests don't time things: a slow machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Fixtures that several folders need.
pytest_plugins = [
    "tests.support.catalog",
    "tests.support.contributing",
    "tests.support.devices",
    "tests.support.first_hour",
    "tests.support.local_ray",
    "tests.support.plugins",
    "tests.support.quarantine",
    "tests.support.refresh",
    "tests.support.rehearsal",
    "tests.support.tpu",
]

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(name="bundles", scope="session")
def bundles_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder where the homes of all tests keep what `ray up` built: half a second of CPU for each build."""
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundles: Path) -> None:
    """No test reads or writes the home, the cloud account or the catalogs of whoever runs it."""
    home = tmp_path / "home"
    (home / ".cache").mkdir(parents=True)
    (home / ".cache" / "accel_scaling").symlink_to(bundles)
    monkeypatch.setenv("HOME", str(home))
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture
def examples() -> Path:
    """Return the folder with the complete cluster files."""
    return ROOT / "example_clusters"
