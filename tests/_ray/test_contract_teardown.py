"""Contract: the steps of `ray down`, and Ray's cache of configs, are as `accel_scaling._ray` takes them to be."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from accel_scaling import _ray

CONFIG: dict[str, Any] = {
    "cluster_name": "mine",
    "max_workers": 0,
    "provider": {"type": "external", "module": f"{__name__}.Seeing"},
    "head_node_type": "head",
    "available_node_types": {"head": {"resources": {}, "node_config": {}}},
    "cluster_synced_files": [],
    "auth": {"ssh_user": "me"},
    "file_mounts": {},
    **{key: [] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands")},
    **{key: [] for key in ("head_start_ray_commands", "worker_start_ray_commands", "initialization_commands")},
}


class Seeing:
    """A provider that notes what `_ray` sees while Ray calls it."""

    seen: ClassVar[list[tuple[str, Any]]] = []

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        del cluster_name
        self.seen.append(("cached", provider_config["_config_cache_path"]))

    @staticmethod
    def fillout_available_node_types_resources(config: dict[str, Any]) -> dict[str, Any]:
        return config

    @staticmethod
    def bootstrap_config(config: dict[str, Any]) -> dict[str, Any]:
        Seeing.seen.append(("path", _ray.config_cache_path()))
        _ray.name_config_cache(config["provider"])
        return config

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        return self.nodes_for_teardown(tag_filters) if _ray.lists_to_end() else []

    def nodes_for_teardown(self, tag_filters: dict[str, str]) -> list[str]:
        assert not _ray.lists_to_end(), "what is listed for the answer would ask again"
        self.seen.append(("listed", (_ray.is_head(tag_filters), _ray.ends_cluster(), _ray.ends_workers_only())))
        return []


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tempfile

    from ray.autoscaler._private import providers

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    providers._clear_provider_cache()
    Seeing.seen.clear()


@pytest.mark.parametrize(("workers_only", "kinds"), [(False, [False, True]), (True, [False])])
def test_ray_down_lists_workers_then_the_head_and_is_seen(
    tmp_path: Path, workers_only: bool, kinds: list[bool]
) -> None:
    from ray.autoscaler._private import commands

    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    commands.teardown_cluster(str(path), True, workers_only, None, False)
    listed = [what for name, what in Seeing.seen if name == "listed"]
    assert listed == [(head, True, workers_only) for head in kinds]
    assert not _ray.ends_cluster()
    (first, *_), cached = ([what for name, what in Seeing.seen if name == word] for word in ("path", "cached"))
    assert cached[0] == first, "Ray caches elsewhere than _ray.config_cache_path says"


def test_the_cache_holds_the_config_that_the_provider_is_made_of(tmp_path: Path) -> None:
    """config_cache.forget() compares them, and knows the file by its name."""
    from ray.autoscaler._private import commands

    config = commands._bootstrap_config(json.loads(json.dumps(CONFIG)))
    path = Path(config["provider"]["_config_cache_path"])
    assert path.parent == tmp_path
    assert path.name.removeprefix("ray-config-").isalnum()
    # SHA-1 until 2.53.
    lengths = [len(method().hexdigest()) for method in (hashlib.sha1, hashlib.sha256)]
    assert len(path.name.removeprefix("ray-config-")) in lengths
    cached = json.loads(path.read_text())["config"]
    assert (cached["provider"], cached["cluster_name"]) == (config["provider"], config["cluster_name"])


def test_a_command_on_a_machine_takes_its_time_out_by_name_and_its_processes_from_the_runner() -> None:
    """teardown.BoundedRunner gives both."""
    from ray.autoscaler._private import command_runner
    from ray.autoscaler._private.updater import NodeUpdater
    from ray.autoscaler.node_provider import NodeProvider

    assert "timeout" in inspect.signature(command_runner.SSHCommandRunner.run).parameters
    wanted = ["self", "log_prefix", "node_id", "auth_config", "cluster_name", "process_runner", "use_internal_ip"]
    assert list(inspect.signature(NodeProvider.get_command_runner).parameters)[:7] == wanted
    assert "provider.get_command_runner(" in inspect.getsource(NodeUpdater.__init__)


def test_the_keys_that_ray_makes_for_google_lie_where_gcp_private_keys_says() -> None:
    from ray.autoscaler._private.gcp import config

    source = inspect.getsource(config._configure_key_pair)
    assert "for i in range(10):" in source
    assert "public_key_path, private_key_path = generate_ssh_key_paths(key_name)" in source
    paths = _ray.gcp_private_keys("us-central1", "p", "me")
    assert len(set(paths)) == 10
