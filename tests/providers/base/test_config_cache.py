"""Ray's cache of a config is forgotten, and no other file is: a cluster file may name any with Ray's own key."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click
import pytest

from accel_scaling.providers.base import config_cache

NAME = f"ray-config-{'0' * 64}"


@pytest.fixture(autouse=True)
def _temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def provider_with(path: Path) -> dict[str, Any]:
    return {"type": "external", "region": "us-west-2", "_config_cache_path": str(path)}


def cache(path: Path, provider: dict[str, Any], cluster_name: str = "mine") -> None:
    path.write_text(json.dumps({"_version": 1, "config": {"cluster_name": cluster_name, "provider": provider}}))


def test_the_cache_of_this_config_is_removed(tmp_path: Path) -> None:
    path = tmp_path / NAME
    cache(path, provider_with(path))
    config_cache.forget(provider_with(path), "mine")
    assert not path.exists()


def test_a_file_that_a_cluster_file_names_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    precious = tmp_path / "thesis.tex"
    others = tmp_path / NAME
    named = tmp_path / "elsewhere" / NAME
    for path in (precious, named):
        cache(path, provider_with(path))
    cache(others, {"type": "external", "region": "eu-west-1"})
    link = tmp_path / f"ray-config-{'1' * 64}"
    link.symlink_to(precious)
    for path in (precious, others, named, link, tmp_path, tmp_path / "gone"):
        config_cache.forget(provider_with(path), "mine")
    config_cache.forget({"_config_cache_path": ["a"]}, "mine")
    assert precious.exists()
    assert others.exists()
    assert named.exists()
    assert link.is_symlink()


def test_the_cache_of_another_cluster_stays(tmp_path: Path) -> None:
    path = tmp_path / NAME
    cache(path, provider_with(path), "another")
    config_cache.forget(provider_with(path), "mine")
    assert path.exists()


def test_a_config_that_another_process_only_read_launches_nothing(tmp_path: Path) -> None:
    path = tmp_path / NAME
    provider = {**provider_with(path), config_cache.READ_BY: "another process"}
    cache(path, provider)
    with pytest.raises(click.ClickException, match="run the same command again"):
        config_cache.forget(provider, "mine")
    assert not path.exists(), "the next command finds none"
