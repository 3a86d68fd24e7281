"""Cluster files in the shapes that people publish, names made up: what fill, plan and rehearse answer to each.

``expected.csv`` has a row for each answer: the exit code, what the output says (a regular expression), what it does not
say, and the node type that a plan launches.
"""

from __future__ import annotations

import copy
import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.cli.main import main

HERE = Path(__file__).parent


def rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = rows("expected.csv")
FILLED = sorted({row["file"] for row in ROWS if (row["command"], row["exit"]) == ("fill", "0")})
OURS = [name for name in FILLED if "type: external" in (HERE / f"{name}.yaml").read_text()]
# Their machines are known to EC2 alone, which is asked in tests/providers/aws/test_launch_templates.py.
IN_TEMPLATES = ["type-in-the-template"]


def answer(row: dict[str, str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and all that is said; of a plan the JSON too, of a fill no file."""
    path = HERE / f"{row['file']}.yaml"
    options = {"fill": ["-o", "/dev/null"], "plan": ["--json"]}.get(row["command"], [])
    # Whoever has no home has no key files there either.
    code = main([row["command"], str(path), *row["arguments"].split(), *options])
    said = capsys.readouterr()
    return code, said.out + said.err


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join((row["command"], row["file"], row["arguments"])).strip())
def test_each_file_gets_its_answer(
    row: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    code, said = answer(row, capsys)
    assert code == int(row["exit"]), said
    assert re.search(row["says"], said), said
    assert not row["lacks"] or not re.search(row["lacks"], said), said
    if row["launches"]:
        launch = json.loads(said[said.index("{") : said.rindex("}") + 1])["launch"]
        assert list(launch) == [row["launches"]]
    if code == 2:
        assert said.startswith("accel-scaling: ")
        assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("name", sorted({*OURS} - {*IN_TEMPLATES}))
def test_ray_up_promises_what_the_fill_has_written(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ray's own steps up to the cloud: its defaults, our provider's fill, its schema."""
    from ray.autoscaler._private.providers import _get_node_provider_cls
    from ray.autoscaler._private.util import prepare_config, validate_config

    monkeypatch.setenv("HOME", str(tmp_path))
    path = HERE / f"{name}.yaml"
    assert main(["fill", str(path)]) == 0
    filled = yaml.safe_load(capsys.readouterr().out)
    config = copy.deepcopy(filled)
    # What the fill has promised is promised again, on top of what the author has promised.
    for node_type, one in (yaml.safe_load(path.read_text())["available_node_types"]).items():
        config["available_node_types"][node_type] = copy.deepcopy(one)
    prepared = prepare_config(config)
    provider = _get_node_provider_cls(prepared["provider"])
    prepared = provider.fillout_available_node_types_resources(prepared)
    validate_config(prepared)
    assert promises_of(prepared) == promises_of(filled)


def promises_of(config: dict[str, Any]) -> dict[str, Any]:
    return {name: one["resources"] for name, one in config["available_node_types"].items()}


def test_every_file_has_an_answer() -> None:
    assert {path.stem for path in HERE.glob("*.yaml")} == {row["file"] for row in ROWS}
