"""The Ray that nodes install: the version of the machine that runs `ray up`, unless the file names one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling._ray import versions
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.cluster import read_config
from accel_scaling.cluster.ray_requirement import with_version_of_this_machine
from accel_scaling.fill.defaults import with_keys_needed_by_ray
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.providers.base import cluster_config
from tests.support.cluster import GCP_MODULE, MODULE, config_of

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "example_clusters").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _ray_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed_version", lambda: "2.57.1")


def pinned(command: str) -> str:
    return with_version_of_this_machine({"setup_commands": [command]})["setup_commands"][0]


@pytest.mark.parametrize(
    ("command", "becomes"),
    [
        ("pip install ray", "pip install ray==2.57.1"),
        ("pip install -U ray boto3", "pip install -U ray==2.57.1 boto3"),
        ("pip3 install boto3 'ray[default]'", "pip3 install boto3 'ray[default]==2.57.1'"),
        ('python3 -m pip install "ray[default, data]"', 'python3 -m pip install "ray[default, data]==2.57.1"'),
        ("uv pip install --system ray[default]&&ray stop", "uv pip install --system ray[default]==2.57.1&&ray stop"),
        ("command -v ray || pip install 'ray[default]'", "command -v ray || pip install 'ray[default]==2.57.1'"),
        ("(apt-get install -y pip && pip install ray)", "(apt-get install -y pip && pip install ray==2.57.1)"),
        ("pip install torch; pip install ray; ray stop", "pip install torch; pip install ray==2.57.1; ray stop"),
    ],
)  # fmt: skip
def test_a_requirement_without_a_version_becomes_this_machines(command: str, becomes: str) -> None:
    assert pinned(command) == becomes
    assert pinned(becomes) == becomes, "and a second time nothing changes"


@pytest.mark.parametrize(
    "command",
    [
        *("pip install 'ray[default]==2.54.0'", "pip install ray==2.54.*", "pip install 'ray>=2.55,<3'"),
        *("pip install ray~=2.54", "pip install 'ray[default]!=2.56.0'", "pip install 'ray @ file:///r.whl'"),
        *("pip install -U https://s3/ray-3.0.0.dev0-cp311.whl", "pip install xray ray-cli my.ray lightgbm-ray"),
        *("pip install -r ray.txt", "pip install --pre ray", "pip install ./ray", "pip install -i https://x/ray/simple"),
        *("ray stop", "pip uninstall -y ray", "conda install ray-default", "echo pip; ray stop", "pip install x;ray"),
    ],
)  # fmt: skip
def test_every_other_command_stays_as_it_was_written(command: str) -> None:
    assert pinned(command) == command


def test_every_list_of_commands_is_read_and_the_config_that_was_given_stays() -> None:
    commands = ["pip install ray"]
    config: dict[str, Any] = {
        **{key: list(commands) for key in ("initialization_commands", "setup_commands", "head_setup_commands")},
        "worker_setup_commands": list(commands),
        "available_node_types": {"w": {"worker_setup_commands": list(commands), "docker": None}, "none": None},
    }
    before = copy.deepcopy(config)
    found = with_version_of_this_machine(config)
    assert config == before
    assert yaml.safe_dump(found).count("ray==2.57.1") == 5


@pytest.mark.parametrize("version", ["3.0.0.dev0", "2.57.1+cu128", None])
def test_a_build_that_is_on_no_index_is_not_asked_for(version: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed_version", lambda: version)
    assert pinned("pip install ray") == "pip install ray"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_no_example_names_a_version_and_each_installs_this_machines(example: Path) -> None:
    config = yaml.safe_load(example.read_text(encoding="utf-8"))
    assert "ray[default]==" not in example.read_text(encoding="utf-8")
    assert "ray[default]==2.57.1" in yaml.safe_dump(with_version_of_this_machine(config))


@pytest.mark.parametrize("module", [MODULE, GCP_MODULE])
def test_what_the_fill_adds_installs_this_machines_version(module: str) -> None:
    config = {"provider": {"type": "external", "module": module}}
    added = with_keys_needed_by_ray(config)
    assert "ray[default]==2.57.1" in with_version_of_this_machine(added)["setup_commands"][-1]


def test_ray_up_gets_the_version_and_the_note(monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of({"w": "g5.xlarge"})
    config["setup_commands"] = ["pip install ray", "pip install ray==2.44.1"]
    said: list[str] = []
    monkeypatch.setattr(cluster_config, "_warn", said.append)
    cloud = known_clouds()["aws"]
    filled = cluster_config.promised(config, cloud, lambda given: fill_cluster(read_config(given)))
    assert filled["setup_commands"] == ["pip install ray==2.57.1", "pip install ray==2.44.1"]
    assert any("nodes would run Ray 2.44.1, and this machine has 2.57.1" in sentence for sentence in said)
