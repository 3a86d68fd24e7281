"""Tests that hold for some minors of Ray only: ``since(2, 56)``, ``until(2, 55)``; and the proof of each mark.

On any other minor such a test is skipped. With ``--edges`` nothing else is run than what begins one minor above the
installed one, or ended one below, and each must fail: a mark that is too narrow would hide a minor that is not checked.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accel_scaling._ray import versions


@pytest.fixture(name="with_ray")
def with_ray_fixture(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Return a function after whose call another version of Ray is installed, or none."""
    return lambda version: monkeypatch.setattr(versions, "installed_version", lambda: version)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option."""
    parser.addoption("--edges", action="store_true", help="run what must fail on this minor of Ray, and expect that")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks."""
    config.addinivalue_line("markers", "since(major, minor): holds from this minor of Ray on")
    config.addinivalue_line("markers", "until(major, minor): holds up to this minor of Ray")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what does not hold for the installed Ray; with ``--edges``, keep what must fail."""
    here = versions.installed() or versions.CHECKED
    edges = []
    for item in items:
        since, until = _minor(item, "since"), _minor(item, "until")
        if config.getoption("--edges"):
            # Before the first mark and behind the last: the newest major is 2, so minors are numbered through.
            if (since and since[1] - 1 == here[1]) or (until and until[1] + 1 == here[1]):
                item.add_marker(pytest.mark.xfail(strict=True, reason=f"not on Ray {versions.minor_text(here)}"))
                edges.append(item)
        elif since and here < since:
            item.add_marker(pytest.mark.skip(reason=f"holds since Ray {versions.minor_text(since)}"))
        elif until and here > until:
            item.add_marker(pytest.mark.skip(reason=f"held until Ray {versions.minor_text(until)}"))
    if config.getoption("--edges"):
        config.hook.pytest_deselected(items=[item for item in items if item not in edges])
        items[:] = edges


def _minor(item: pytest.Item, mark: str) -> versions.Minor | None:
    # The narrowest: a parameter's mark and its function's both hold.
    minors = [(int(found.args[0]), int(found.args[1])) for found in item.iter_markers(mark)]
    if not minors:
        return None
    return max(minors) if mark == "since" else min(minors)
