"""What YAML would drop without a word, or cannot hold, is refused with its place; what it allows stays allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from accel_scaling.cluster.cluster_file import load, read_cluster
from accel_scaling.errors import ClusterConfigError

DEEP = 3000


@pytest.mark.parametrize("command", [["fill"], ["plan", "--demand", "A10G"]], ids=["fill", "plan"])
def test_a_key_that_is_there_twice_is_refused_with_both_lines(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("available_node_types:\n  p4d:\n    max_workers: 3\n  p4d: {}\n", encoding="utf-8")
    assert main([command[0], str(path), *command[1:]]) == 2
    assert capsys.readouterr().err == (
        f"accel-scaling: {path}:4: available_node_types.p4d is already in line 2, and one of the two would be dropped; "
        "keep one\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_workers: 3\na: 1\nmax_workers: 9\n", "f:3: max_workers is already in line 1,"),
        ("a: {b: [{c: 1, c: 2}]}\n", "f:1: a.b.c is already in line 1,"),
        ("a: [" + "[" * DEEP + "]" * DEEP + "]", "f:1:1003: this is no valid YAML: exceeded maximum nesting depth"),
        ("a: " + "[" * 200 + "]" * 200, "f cannot be read as YAML: it is nested too deeply"),
        ("a: " + "9" * 5000, "f cannot be read as YAML: Exceeds the limit (4300 digits)"),
        ("a: 2024-13-45", "f cannot be read as YAML: month must be in 1..12"),
        ("a:\n\tb: 1", "f:2:1: this is no valid YAML: found character '\\t' that cannot start any token; indent with"),
    ],
)
def test_text_that_is_no_yaml_or_loses_something_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ClusterConfigError) as caught:
        load(text, "f")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_anchors_and_merge_keys_stay_legal_and_a_key_beside_them_overrides() -> None:
    text = "x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}\nz: {a: 4, <<: [*x, *x]}\nw: *x\n"
    found = load(text, "f")
    assert (found["y"], found["z"], found["w"]) == ({"a": 3, "b": 2}, {"a": 4, "b": 2}, {"a": 1, "b": 2})


def test_a_folder_and_a_file_in_another_encoding_are_said(tmp_path: Path) -> None:
    with pytest.raises(ClusterConfigError, match=r"cannot be read: Is a directory$"):
        read_cluster(tmp_path)
    path = tmp_path / "cluster.yaml"
    path.write_bytes("cluster_name: é\n".encode("latin-1"))
    with pytest.raises(ClusterConfigError, match=r"cluster\.yaml is not UTF-8; save it as UTF-8$"):
        read_cluster(path)
