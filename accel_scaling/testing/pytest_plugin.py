"""Local clouds as a pytest fixture; in conftest.py: ``pytest_plugins = ["accel_scaling.testing.pytest_plugin"]``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from accel_scaling import testing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from accel_scaling.testing.base_cloud import LocalCloud


@pytest.fixture
def local_cloud(tmp_path: Path) -> Iterator[Callable[..., LocalCloud]]:
    """Return a function that starts a local cloud; its arguments are those of ``accel_scaling.testing.base_cloud``.

    The clouds end with the test. Their directories stay in ``tmp_path``, for whoever looks why a test failed.
    """
    with contextlib.ExitStack() as stack:

        def start(name: str, **options: Any) -> LocalCloud:
            # Numbered: a test may start two clouds of the same name, whose files must not be mixed.
            directory = tmp_path / f"local-{name}-{len(list(tmp_path.glob(f'local-{name}-*')))}"
            return stack.enter_context(testing.local_cloud(name, **{"directory": directory, **options}))

        yield start
