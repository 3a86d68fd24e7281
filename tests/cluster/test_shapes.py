"""Slips of YAML in a cluster file are one sentence with file and line, from every command that reads one."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from accel_scaling.cluster.cluster_file import load, read_cluster
from accel_scaling.errors import ClusterConfigError

FILE = """\
cluster_name: a
provider: {type: external, module: accel_scaling.providers.aws.AWSAcceleratorNodeProvider, region: us-west-2}
head_node_type: head
available_node_types:
  head: {node_config: {InstanceType: m5.large}}
  a: {node_config: {InstanceType: g5.xlarge}}
"""
A = "  a: {node_config"
DEEP = 3000


@pytest.mark.parametrize("command", [["fill"], ["plan", "--demand", "A10G"]], ids=["fill", "plan"])
@pytest.mark.parametrize(
    ("slip", "said"),
    [
        ((r"provider: .*", "provider: aws"), "`provider` is missing or empty"),
        ((r"provider: .*", "provider: [1]"), "`provider` is missing or empty"),
        (
            (A, "  5: {node_config"),
            "a node type 5, which YAML does not read as a string; quote it",
        ),
        ((A, "  true: {node_config"), "a node type true, which YAML"),
        ((A, "  ~: {node_config"), "a node type null, which YAML"),
        (
            (A, "  a: {labels: {3: x}, node_config"),
            r"a: YAML does not read the name 3 as a string; quote it",
        ),
        (
            (A, "  a: {resources: {5: 4}, node_config"),
            "available_node_types.a: YAML does not read the name 5 as a string; quote it",
        ),
        (("head_node_type: head", "head_node_type: [head]"), "head_node_type is ['head'], which is not one of"),
        (("cluster_name: a", "setup_commands:"), "setup_commands must be a list of commands"),
        (("cluster_name: a", "setup_commands: pip install x"), "each of them text; write [] for none"),
        (("cluster_name: a", "docker: rayproject/ray"), "docker must have keys and values"),
        (("cluster_name: a", "file_mounts: ~/x"), "file_mounts must have keys and values"),
        (("region: us-west-2", "region: [us-west-2]"), "provider.region is ['us-west-2']; expected text"),
        (("region: us-west-2", "region: 5"), "provider.region is 5; expected text"),
        ((A, "  a: {max_workers: 1, max_workers: 9, node_config"), "a.max_workers is already in line 6"),
        ((A, "  head: {node_config"), "available_node_types.head is already in line 5"),
        (
            ("InstanceType: g5.xlarge", "InstanceType: {is: g5.xlarge}"),
            "InstanceType is {'is': 'g5.xlarge'}; expected one",
        ),
        (
            ("InstanceType: g5.xlarge", "InstanceType: g5.xlarge, InstanceMarketOptions: spot"),
            "InstanceMarketOptions is 'spot'; expected keys, such as {MarketType: spot}",
        ),
        (
            ("InstanceType: g5.xlarge", "InstanceType: g5.xlarge, InstanceMarketOptions: {MarketType: Spot}"),
            "MarketType is 'Spot'; it takes spot, capacity-block, on-demand",
        ),
        (("cluster_name: a", f"cluster_name: {'9' * 5000}"), "has 5,000 digits; at most 40 are read"),
        (("cluster_name: a", f"cluster_name: {'[' * 3000}{']' * 3000}"), "nest"),  # libyaml's words or ours
    ],
)
def test_a_slip_is_one_sentence(
    command: list[str], slip: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    was, written = slip
    path = tmp_path / "cluster.yaml"
    text = re.sub(re.escape(was) if "*" not in was else was, written, FILE, count=1)
    assert text != FILE
    path.write_text(text, encoding="utf-8")
    assert main([command[0], str(path), *command[1:]]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith(f"accel-scaling: {path}")
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", [["fill"], ["plan", "--demand", "A10G"]], ids=["fill", "plan"])
def test_a_region_that_nobody_knows_is_noted(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(FILE.replace("us-west-2", "us-wst-2"), encoding="utf-8")
    assert main([command[0], str(path), *command[1:]]) == 0
    said = capsys.readouterr()
    assert "us-wst-2 is a region that no places file lists; nearest: us-west-2" in said.out + said.err
    path.write_text(FILE, encoding="utf-8")
    assert main([command[0], str(path), *command[1:]]) == 0
    said = capsys.readouterr()
    assert "no places file" not in said.out + said.err


@pytest.mark.parametrize("command", [["fill"], ["plan", "--demand", "A10G"]], ids=["fill", "plan"])
def test_zones_of_another_region_are_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(FILE.replace("us-west-2", "us-west-2, availability_zone: us-east-1a"), encoding="utf-8")
    assert main([command[0], str(path), *command[1:]]) == 2
    said = f"{path}:2: provider.region is 'us-west-2', and provider.availability_zone us-east-1a is in us-east-1; make"
    assert said in capsys.readouterr().err
    path.write_text(FILE.replace("us-west-2", 'us-west-2, availability_zone: "us-west-2a, us-west-2-lax-1a"'))
    assert main([command[0], str(path), *command[1:]]) == 0


def test_what_a_merge_key_brings_may_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    small = "&small {max_workers: 1, node_config: {InstanceType: g5.xlarge}}"
    path.write_text(f"{FILE}  b: {{<<: {small}, max_workers: 2}}\n  c: {{<<: *small}}\n", encoding="utf-8")
    assert main(["fill", str(path), "-o", str(tmp_path / "filled.yaml")]) == 0


def test_a_label_against_the_node_config_is_noted_and_changes_no_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, prices = tmp_path / "cluster.yaml", tmp_path / "prices.csv"
    path.write_text(FILE.replace(A, "  a: {labels: {ray.io/market-type: spot}, node_config"), encoding="utf-8")
    prices.write_text("instance_type,price_per_hour,spot_price_per_hour\ng5.xlarge,1.5,0.25\nm5.large,0.5,0.125\n")
    assert main(["plan", str(path), "--demand", "A10G", "--prices", str(prices)]) == 0
    printed = capsys.readouterr()
    assert "1.50" in printed.out
    assert "0.25" not in printed.out
    said = "labels has ray.io/market-type: spot, and its machines are bought as on-demand"
    assert said in printed.out + printed.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("instance_type,price_per_hour\np4d.24xlarge,32,77\n", ":2: has 3 cells; expected 2"),
        ("instance_type,price_per_hour,price_per_hour\nx,1,2\n", ":1: column price_per_hour appears 2 times"),
        (f"instance_type,price_per_hour\nx,{'1' * 200_000}\n", "is not CSV"),
    ],
)
def test_a_price_list_that_would_be_misread_is_refused(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, prices = tmp_path / "cluster.yaml", tmp_path / "prices.csv"
    path.write_text(FILE, encoding="utf-8")
    prices.write_text(text, encoding="utf-8")
    assert main(["plan", str(path), "--demand", "A10G", "--prices", str(prices)]) == 2
    assert said in capsys.readouterr().err


def test_an_output_whose_encoding_lacks_a_sign_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(FILE.replace("  a: {", "  t\u2603: {"), encoding="utf-8")
    narrow, errors = io.TextIOWrapper(io.BytesIO(), encoding="latin-1"), io.StringIO()
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setattr(sys, "stderr", errors)
    assert main(["plan", str(path), "--demand", "A10G"]) == 2
    assert "'\\u2603' cannot be written in latin-1, the encoding of this output" in errors.getvalue()


# --- what YAML would drop silently, or cannot hold ---


@pytest.mark.parametrize("command", [["fill"], ["plan", "--demand", "A10G"]], ids=["fill", "plan"])
def test_a_key_that_is_there_twice_is_refused_with_both_lines(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("available_node_types:\n  p4d:\n    max_workers: 3\n  p4d: {}\n", encoding="utf-8")
    assert main([command[0], str(path), *command[1:]]) == 2
    assert capsys.readouterr().err == (
        f"accel-scaling: {path}:4: available_node_types.p4d is already in line 2, and `ray up` would silently drop "
        f"that one; keep one\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_workers: 3\na: 1\nmax_workers: 9\n", "f:3: max_workers is already in line 1,"),
        ("a: {b: [{c: 1, c: 2}]}\n", "f:1: a.b.c is already in line 1,"),
        ("a: [" + "[" * DEEP + "]" * DEEP + "]", "f:1:103: it is nested too deeply"),
        ("a: " + "[" * 200 + "]" * 200, "f:1:103: it is nested too deeply"),
        ("a: " + "9" * 5000, "f:1:4: the number 999999999999... has 5,000 digits; at most 40 are read"),
        ("a: 2024-13-45", "f:1:4: month must be in 1..12"),
        ("a:\n\tb: 1", "f:2:1: this is not valid YAML: found character '\\t' that cannot start any token; indent with"),
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
