"""`accel-scaling fill` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from accel_scaling.cli.main import main


def test_it_prints_the_file_with_resources_labels_and_the_keys_that_ray_needs(
    tmp_path: Path, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = yaml.safe_load((examples / "aws-gpu.yaml").read_text())
    for key in ("setup_commands", "head_setup_commands", "worker_setup_commands", "max_workers"):
        del short[key]
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(short))
    assert main(["fill", str(path)]) == 0
    filled = yaml.safe_load(capsys.readouterr().out)
    assert filled["available_node_types"]["t4"]["resources"]["accelerator_type:T4"] == 1
    assert filled["available_node_types"]["a10g"]["labels"]["ray.io/accelerator-type"] == "A10G"
    assert filled["max_workers"] == 2
    assert filled["setup_commands"][-1].endswith("pip install 'ray[default]'"), "`ray up` adds its version"
    assert filled["worker_setup_commands"] == []


def test_it_writes_a_file_and_a_contradiction_goes_to_standard_error(
    tmp_path: Path, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((examples / "aws-gpu.yaml").read_text())
    config["available_node_types"]["t4"]["resources"] = {"GPU": 2}
    path, target = tmp_path / "cluster.yaml", tmp_path / "filled.yaml"
    path.write_text(yaml.safe_dump(config))
    assert main(["fill", str(path), "-o", str(target)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "your resources say GPU: 2, the catalog says 1" in err
    assert yaml.safe_load(target.read_text())["available_node_types"]["t4"]["resources"]["GPU"] == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "cluster.yaml:1:6: this is not valid YAML"),
        ("- a\n", "cluster.yaml is not a cluster config"),
        ("", "cluster.yaml is not a cluster config"),
        ("a: 1\n", "cluster.yaml: this is not a cluster config: `provider` is missing"),
    ],
)
def test_a_file_that_is_no_cluster_file_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    assert main(["fill", str(path)]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_an_unknown_type_is_refused_with_the_line_of_its_node_type(
    tmp_path: Path, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (examples / "aws-gpu.yaml").read_text().replace("g5.xlarge #", "g5.xxlarge #")
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    line = text.splitlines().index("  a10g:") + 1
    assert main(["fill", str(path)]) == 2
    assert f"cluster.yaml:{line}: available_node_types.a10g: instance type 'g5.xxlarge'" in capsys.readouterr().err


def test_a_missing_file_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fill", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err == "accel-scaling: nowhere.yaml does not exist\n"
