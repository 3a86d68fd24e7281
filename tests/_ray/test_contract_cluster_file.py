"""Contract: what Ray does with a cluster file before it asks a provider, and how a provider finds the file."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from accel_scaling import _ray


def test_ray_up_asks_nothing_of_a_provider_before_it_misses_its_four_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When this fails, Ray has defaults for `type: external`, or asks a provider earlier: NEEDED_BY_RAY may go."""
    from ray.autoscaler._private.commands import create_or_update_cluster

    (tmp_path / "never_imported.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    provider = {"type": "external", "module": "never_imported.Provider"}
    path = tmp_path / "cluster.yaml"
    path.write_text(json.dumps({"cluster_name": "demo", "provider": provider, "setup_commands": []}))
    with pytest.raises(KeyError, match="head_setup_commands"):
        create_or_update_cluster(str(path), None, None, no_restart=False, restart_only=False, yes=True)


def test_the_file_of_ray_up_is_known_while_it_asks_a_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.autoscaler._private.commands import create_or_update_cluster

    (tmp_path / "asked_provider.py").write_text(
        "from accel_scaling import _ray\n\n\nclass Provider:\n    seen = []\n\n"
        "    @staticmethod\n    def fillout_available_node_types_resources(config):\n"
        "        Provider.seen.append(_ray.file_of_ray_up())\n        raise SystemExit\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = {
        "cluster_name": "demo",
        "provider": {"type": "external", "module": "asked_provider.Provider"},
        **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
        "max_workers": 1,
    }
    path = tmp_path / "cluster.yaml"
    path.write_text(json.dumps(config))
    with pytest.raises(SystemExit):
        create_or_update_cluster(str(path), None, None, no_restart=False, restart_only=False, yes=True)
    module = importlib.import_module("asked_provider")
    assert module.Provider.seen == [str(path)]
    assert _ray.file_of_ray_up() is None
