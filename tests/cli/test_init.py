"""`accel-scaling init` as a user calls it: what it refuses, and where it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from accel_scaling.cli.main import main

REFUSED = [
    (["aws", "--accelerator", "A1000"], "accelerator 'A1000' is not in the catalog"),
    (["aws", "--accelerator", "A1000"], "nearest: A100, "),
    (
        ["aws", "--accelerator", "g5.xlarge"],
        "g5.xlarge: that is a machine type of aws, with 1 x A10G; write --accelerator A10G\n",
    ),
    (["aws", "--accelerator", "p4d.24xlarge:8"], "of aws, with 8 x A100-40G; write --accelerator A100-40G:8\n"),
    (["gcp", "--accelerator", "a2-highgpu-1g"], "of gcp, with 1 x A100-40G; write --accelerator A100-40G\n"),
    (["gcp", "--accelerator", "G5.xlarge"], "; write `accel-scaling init aws --accelerator A10G`\n"),
    (["aws", "--accelerator", "m5.xlarge"], "a machine type of aws, without an accelerator; write --cpus 4\n"),
    (["gcp", "--accelerator", "n2-custom-8-32768"], "of gcp, without an accelerator; write --cpus 8\n"),
    (
        ["aws", "--accelerator", "p5"],
        "p5: that is a series of machine types of aws, with H100; write --accelerator H100; ",
    ),
    (["gcp", "--accelerator", "g5"], "of aws, with A10G; write `accel-scaling init aws --accelerator A10G`; "),
    (["aws", "--accelerator", "m5"], "of machine types of aws, without an accelerator; write --cpus 2; `accel-scaling"),
    (["aws", "--accelerator", "A100:32"], "no machine of aws has that many; the counts are 8 (p4d.24xlarge)"),
    (["gcp", "--accelerator", "T4:8"], "the counts are 1 (n1-standard-4), 2 (n1-standard-8), 4 (n1-standard-16)"),
    (["aws", "--accelerator", "TPU-V4:8"], "no machine type of aws has it; gcp has it: v4-8, v4-16, v4-32 and more"),
    (["aws", "--accelerator", "v4-8"], "only Google Cloud has TPUs; write `accel-scaling init gcp`"),
    (["gcp", "--accelerator", "v4-7"], "TPU accelerator type 'v4-7' does not exist on Google Cloud; nearest: v4-8"),
    (["gcp", "--accelerator", "v4-8:3"], "v4-8 is a whole slice, with 4 chips, and takes no count"),
    (["gcp", "--accelerator", "TPU-V7X"], "the Cloud TPU API does not create this generation"),
    (["gcp", "--accelerator", "A10G"], "no machine type of gcp has it; aws has it: g5.xlarge"),
    (["aws", "--accelerator", "K80"], "AWS launches no p2 any more"),
    (["gcp", "--accelerator", "K80"], "Google attaches no K80 any more"),
    (["aws", "--accelerator", "T4:0"], "--accelerator 'T4:0': expected NAME or NAME:COUNT"),
    (["aws"], "name what the workers have: --accelerator NAME[:COUNT], or --cpus N"),
    (["aws", "--cpus", "999"], "m5.* has up to 96 vCPUs"),
    (["aws", "--cpus", "2", "--region", "us-west-2a"], "'us-west-2a', which is a zone; write region: us-west-2"),
    (["aws", "--cpus", "2", "--zones", "us-west-2"], "--zones: 'us-west-2' is not a zone; write each in full"),
    (["aws", "--cpus", "2", "--zones", "us-west-2a", "--region", "us-east-1"], "name us-east-1 and us-west-2"),
    (["aws", "--cpus", "2", "--project", "p-1"], "--project is for gcp"),
    (["aws", "--cpus", "2", "--name", "a b"], "--name 'a b': a cluster's name becomes part of"),
    (["gcp", "--cpus", "2", "--project", "P 1"], "--project 'P 1' is not a project's id"),
    (["gcp", "--cpus", "2", "--region", "us-east1"], "name zones of it with --zones, such as us-east1-b"),
    (["gcp", "--cpus", "2", "--zones", "us-east1"], "--zones: provider.availability_zone names 'us-east1'"),
    (["gcp", "--accelerator", "TPU-V4", "--accelerator", "TPU-V6E"], "TPU-V4 in us-central2-b and TPU-V6E in us-east5"),
    (["gcp", "--accelerator", "L4", "--accelerator", "TPU-V4"], "find L4 in us-central1-a and TPU-V4 in us-central2-b"),
    (["aws", "T4", "--capacity", "sopt"], "--capacity is 'sopt'; nearest: spot: write on-demand, spot, "),
    (["aws", "T4", "--capacity", "spot,spot"], "--capacity has spot twice: write each capacity type once; write such"),
    (["aws", "T4", "--capacity", "spot:x"], "--capacity.spot.wait_for is 'x': write a time such as 90s"),
    (["aws", "T4", "--capacity", "spot:6h"], "spot has wait_for, and AWS has no queue of requests: remove it"),
    (
        ["gcp", "L4", "--capacity", "flex-start:soon"],
        "--capacity.flex-start.run_for is 'soon': write a time such as 90s, 15m, 2h or 7d",
    ),
    (["aws", "T4", "--capacity", ""], "--capacity is '': write on-demand, spot, reserved, block or flex-start"),
    (["aws", "T4", "--spot", "--capacity", "spot"], "--spot is --capacity spot,on-demand; write one of the two"),
    (["aws", "T4", "--capacity", "flex-start"], "has flex-start, which AWS does not sell"),
    (["aws", "--cpus", "2", "--region", "Frankfurt"], "'Frankfurt' is not a region of AWS; write one such as"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_cannot_be_is_one_sentence_that_says_what_can(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("accel-scaling: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("options", [["--cpus", "0"], ["--max-workers", "x"], ["--cpus", "9999999"]])
def test_a_number_that_is_not_one_is_bad_usage(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init", "aws", *options])
    assert ended.value.code == 2
    assert "is not a whole number of 1 or more" in capsys.readouterr().err


def test_without_a_file_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "aws", "--accelerator", "T4"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["cluster_name"] == "aws-t4"


def test_a_file_that_is_there_is_written_over_with_force_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("mine")
    words = ["init", "aws", "--accelerator", "T4", "-o", str(path)]
    assert main(words) == 2
    says = f"{path} exists already; choose another file with -o, or overwrite it with --force"
    assert says in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main([*words, "--force"]) == 0
    assert yaml.safe_load(path.read_text())["head_node_type"] == "head"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "aws", "--accelerator", "T4", "-o", str(tmp_path / "no" / "c.yaml")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_accelerators_of_a_users_catalog_can_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "aws_mine.csv"
    mine.write_text("instance_type,vcpus,memory_mib,arch,accelerator,count\nx9.large,2,8192,x86_64,T4,5\n")
    assert main(["init", "aws", "--accelerator", "T4:5", "--catalog", str(mine)]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["available_node_types"]["t4-x5"]["node_config"]["InstanceType"] == "x9.large"
    assert config["provider"]["catalog"] == [str(mine)]


def test_where_two_accelerators_are_usually_apart_a_region_that_has_both_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["init", "gcp", "L4", "v5litepod-8"]) == 2
    assert capsys.readouterr().err.endswith("; us-west4 has all of them: --zones us-west4-a\n")
    assert main(["init", "gcp", "L4", "v4-8"]) == 2
    assert capsys.readouterr().err.endswith("; choose with --zones\n")
