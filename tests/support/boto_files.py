"""What boto reads from its files is read once in a process: EC2's take each new session 0.1 to 0.2 s of CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True, scope="session")
def _botos_files_are_read_once() -> Iterator[None]:
    """Let all sessions share the files' content, as all clients of one session share it."""
    from botocore.loaders import Loader

    with pytest.MonkeyPatch.context() as patch:
        for name in ("load_data_with_path", "load_service_model"):
            patch.setattr(Loader, name, _once(getattr(Loader, name)))
        yield


def _once(read: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    @functools.wraps(read)
    def again(loader: Any, *args: Any, **named: Any) -> Any:
        key = (tuple(loader.search_paths), args, tuple(sorted(named.items())))
        if key not in known:
            known[key] = read(loader, *args, **named)
        return known[key]

    return again
