"""What every test has: a home of its own, no credentials, and Ray without usage statistics."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# Tests don't time things: a slow machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests into groups that run side by side; those of a group run one after another.

    First what hosts leave behind, which no other cluster must disturb, then the loops; beside them all that starts no
    cluster, file by file, and then the rehearsals.
    """
    order = {"loops": 0, "rehearsals": 2}
    places = {}
    for item in items:
        stem = item.path.stem
        group = stem
        if stem == "test_local_ec2_footprint" or (item.get_closest_marker("cluster") and "loop" in stem):
            group = "loops"
        elif item.get_closest_marker("cluster"):
            group = "rehearsals"
        item.add_marker(pytest.mark.xdist_group(group))
        places[item.nodeid] = (order.get(group, 1), group == "loops" and "loop" in stem)
    items.sort(key=lambda item: places[item.nodeid])


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the home, the cloud account or the catalogs of whoever runs it."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture
def examples() -> Path:
    """Return the folder with the complete cluster files."""
    return ROOT / "example_clusters"
