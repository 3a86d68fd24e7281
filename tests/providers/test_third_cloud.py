"""A third cloud is one folder: with it in providers/, every command knows the cloud, and no shared file changes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.contributing import COPIED, GUIDE, ROOT

FOLDER = ROOT / "tests" / "data" / "nimbus"


@pytest.fixture(name="clone", scope="module")
def clone_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository with the folder in providers/."""
    clone = tmp_path_factory.mktemp("nimbus") / "clone"
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, clone / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, clone / name)
    shutil.copytree(FOLDER, clone / "providers" / "nimbus", ignore=shutil.ignore_patterns("__pycache__"))
    return clone


def run(clone: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(clone)}
    return subprocess.run(
        [sys.executable, "-m", "accel_scaling", *words],
        cwd=folder, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip


def must(clone: Path, folder: Path, *words: str) -> str:
    done = run(clone, folder, *words)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_catalog_show_and_find_know_its_machine_types(clone: Path, tmp_path: Path) -> None:
    shown = json.loads(must(clone, tmp_path, "catalog", "show", "hopper.8x", "--json"))
    assert (shown["cloud"], shown["accelerator"], shown["resources"]["GPU"]) == ("nimbus", "H100", 8)
    found = json.loads(must(clone, tmp_path, "catalog", "find", "--accelerator", "H100", "--json"))
    assert {"aws", "gcp", "nimbus"} <= {machine["cloud"] for machine in found}
    text = must(clone, tmp_path, "catalog", "find", "--cloud", "nimbus", "--region", "oslo1")
    assert "hopper.8x" in text
    unknown = run(clone, tmp_path, "catalog", "show", "hopper.9x", "--cloud", "nimbus")
    assert "hopper.8x" in unknown.stderr, "the nearest name"


def test_catalog_check_checks_its_files_and_names_a_wrong_cell(clone: Path, tmp_path: Path) -> None:
    folder = clone / "providers" / "nimbus"
    must(clone, tmp_path, "catalog", "check", *map(str, sorted(folder.glob("nimbus*.csv"))))
    must(clone, tmp_path, "catalog", "check")
    wrong = tmp_path / "nimbus.csv"
    wrong.write_text((folder / "nimbus.csv").read_text().replace("hopper.8x,128", "hopper.8x,many"))
    done = run(clone, tmp_path, "catalog", "check", str(wrong))
    assert done.returncode != 0
    assert re.search(r"nimbus\.csv:3\b.*vcpus", done.stdout + done.stderr), done.stdout + done.stderr


def test_init_writes_a_file_that_fill_completes_and_plan_schedules_on(clone: Path, tmp_path: Path) -> None:
    must(clone, tmp_path, "init", "nimbus", "--accelerator", "H100:8", "--spot", "-o", "cluster.yaml")
    filled = yaml.safe_load(must(clone, tmp_path, "fill", "cluster.yaml"))
    (worker,) = (node_type for name, node_type in filled["available_node_types"].items() if name != "head")
    assert worker["node_config"] == {"flavor": "hopper.8x", "spot": True}
    assert worker["resources"]["GPU"] == 8
    assert worker["labels"]["ray.io/market-type"] == "spot"
    assert worker["labels"]["ray.io/availability-region"] == "oslo1"
    planned = json.loads(must(clone, tmp_path, "plan", "cluster.yaml", "--demand", "H100:8x2", "--json"))
    assert sum(planned["launch"].values()) == 2
    assert planned["pending"] == []


def test_a_machine_type_that_its_region_does_not_have_is_refused_with_the_line(clone: Path, tmp_path: Path) -> None:
    must(clone, tmp_path, "init", "nimbus", "--accelerator", "H100", "-o", "cluster.yaml")
    path = tmp_path / "cluster.yaml"
    path.write_text(path.read_text().replace("region: oslo1", "region: bergen2"))
    done = run(clone, tmp_path, "fill", "cluster.yaml")
    assert done.returncode == 2
    assert re.search(
        r"cluster\.yaml:\d+: .*bergen2 does not have hopper\.1x, according to nimbus_places\.csv", done.stderr
    )


def test_its_provider_is_importable_by_the_name_that_a_cluster_file_has(clone: Path, tmp_path: Path) -> None:
    module = yaml.safe_load(must(clone, tmp_path, "init", "nimbus", "--cpus", "4"))["provider"]["module"]
    package, _, name = module.rpartition(".")
    code = f"import {package} as package, ray; print(package.{name}.__name__)"
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == name


def test_the_guide_shows_the_folder_as_it_is() -> None:
    """CONTRIBUTING.md's section "A cloud" quotes the files of the folder word for word."""
    section = GUIDE.read_text(encoding="utf-8").partition("\n## A cloud\n")[2].partition("\n## ")[0]
    quoted = re.findall(r"<!-- from: (\S+) -->\n+```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert {Path(name).name for name, _ in quoted} >= {"cloud.py", "node_config.py", "nimbus.csv"}
    for name, text in quoted:
        assert text.strip() in (ROOT / name).read_text(encoding="utf-8"), name
