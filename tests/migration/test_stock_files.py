"""Ten stock files of different shapes: each is migrated, filled, planned and prepared for a rehearsal, by no hand."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.clouds import known_clouds
from accel_scaling.fill.defaults import NEEDED_BY_RAY
from accel_scaling.testing.local_clouds import local_cloud_of
from accel_scaling.testing.rehearse.demands import demands_of, with_marks
from accel_scaling.testing.rehearse.user_hardware import user_machines
from tests.support.doors import of_ray_up

FOLDER = Path(__file__).parent / "stock"
# File -> a demand, and the node type that Ray launches for it.
PLANS = {
    "conda": ("T4", "t4"),
    "docker": ("A10G", "ray.worker.gpu"),
    "spot": ("Inferentia2:1", "inf"),
    "launch-template": ("A100:8", "train"),
    "several-node-types": ("L4:8", "gpu_8_ondemand"),
    "ray-1": ("T4", "worker"),
    "gcp-tpu": ("TPU-V4", "ray_tpu"),
    "gcp-n1-gpu": ("T4", "ray_worker_gpu"),
    "head-only": ("Trainium:1", None),
    "own-vpc": ("H100:8", "h100"),
}
OF_RAY_1 = "ray-1"
ASKS_EC2 = ("launch-template",)  # for what its templates hold: tests/providers/aws/test_launch_templates.py


Migrated = Callable[[str], tuple[Path, str, str]]


@pytest.fixture(name="migrated", scope="module")
def migrated_fixture(tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    """Migrates a file, once; returns the new file, the text before and the text after."""

    @functools.cache
    def migrated(name: str) -> tuple[Path, str, str]:
        old, new = FOLDER / f"{name}.yaml", tmp_path_factory.mktemp(name) / "new.yaml"
        assert main(["migrate", str(old), "-o", str(new)]) == 0
        return new, old.read_text(), new.read_text()

    return migrated


def test_there_are_ten_files() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(PLANS)
    assert len(PLANS) == 10


@pytest.mark.parametrize("name", sorted(set(PLANS) - {OF_RAY_1}))
def test_all_lines_stay_in_their_order_but_the_providers_type(name: str, migrated: Migrated) -> None:
    _, before, after = migrated(name)
    gone = [line[2:] for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line.startswith("- ")]
    provider, *dropped = gone if "  type:" not in gone[-1] else gone[::-1]
    assert provider.strip().startswith(("type:", "provider: {type:"))
    assert dropped == (["worker_default_node_type: cpu_4_ondemand"] if name == "several-node-types" else [])
    assert after.endswith("\n")


def test_each_comment_of_a_file_of_ray_1_stays_and_the_blocks_stand_where_they_stood(migrated: Migrated) -> None:
    _, before, after = migrated(OF_RAY_1)
    comments = [line.partition("#")[2] for line in before.splitlines() if "#" in line]
    assert [line.partition("#")[2] for line in after.splitlines() if "#" in line] == comments
    new = yaml.safe_load(after)
    old = yaml.safe_load(before)
    del old["worker_nodes"]["resources"]
    assert new["available_node_types"] == {
        "head": {"node_config": old["head_node"]},
        "worker": {"min_workers": 1, "node_config": old["worker_nodes"], "resources": {"GPU": 1}},
    }
    assert (new["head_node_type"], new["upscaling_speed"]) == ("head", 0.25)
    assert not {"head_node", "worker_nodes", "min_workers", "initial_workers"} & new.keys()


@pytest.mark.parametrize("name", sorted(PLANS))
def test_the_provider_is_ours_and_ray_has_all_keys(name: str, migrated: Migrated) -> None:
    _, before, after = migrated(name)
    old, new = yaml.safe_load(before), yaml.safe_load(after)
    cloud = known_clouds()[old["provider"].pop("type")]
    assert new["provider"] == {"type": "external", "module": cloud.module, **old["provider"]}
    assert set(NEEDED_BY_RAY) <= new.keys()
    assert {key: new[key] for key in NEEDED_BY_RAY if key in old} == {
        key: old[key] for key in NEEDED_BY_RAY if key in old
    }
    if name not in ASKS_EC2:
        assert of_ray_up(new) is None


@pytest.mark.parametrize("name", sorted(PLANS))
def test_it_is_planned_and_ready_for_a_rehearsal(
    name: str, migrated: Migrated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, *_ = migrated(name)
    demand, node_type = PLANS[name]
    capsys.readouterr()
    code = main(["plan", str(new), "--demand", demand, "--json"])
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert code == 0, answer
    assert node_type is None or node_type in answer["launch"]
    assert "migrate" not in err  # no note about provider or keys is left
    config: dict[str, Any] = yaml.safe_load(new.read_text())
    assert user_machines(config, shipped_catalog(), local_cloud_of(config), home=tmp_path) == {}
    tasks, _ = demands_of(with_marks(config, shipped_catalog()), shipped_catalog())
    assert bool(tasks) == (node_type is not None)


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_second_migration_says_that_there_is_nothing_to_do(
    name: str, migrated: Migrated, capsys: pytest.CaptureFixture[str]
) -> None:
    new, *_ = migrated(name)
    capsys.readouterr()
    assert main(["migrate", str(new)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "there is nothing to migrate; give the file to `ray up` as it is" in err
