"""A user's own files: what is wrong with them is said before anything is launched, and answers name them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from accel_scaling.cli.main import main
from accel_scaling.providers.aws import refresh as aws_refresh

HEADER = "instance_type,vcpus,memory_mib,arch,accelerator,count\n"
MINE = HEADER + "q9.xlarge,4,16384,x86_64,L4,1\n"


@pytest.fixture(name="desk", autouse=True)
def desk_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a user's catalog in it."""
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text(MINE, encoding="utf-8")
    return tmp_path


def cluster(catalog: object, machine: str = "p4d.24xlarge") -> str:
    config = {
        "cluster_name": "own",
        "provider": {"type": "aws", "region": "us-west-2", "catalog": catalog},
        "head_node_type": "head",
        "available_node_types": {"head": {"node_config": {"InstanceType": machine}}},
    }
    Path("cluster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return "cluster.yaml"


@pytest.mark.parametrize(
    ("catalog", "said"),
    [
        (7, "cluster.yaml:8: provider.catalog is 7; expected the path of a file, or a list of them"),
        ({"a": "b"}, "provider.catalog is {'a': 'b'}; expected the path of a file, or a list of them"),
        ([1], "provider.catalog is [1]; expected the path of a file, or a list of them"),
        (".", "cannot be read as a catalog file: Is a directory"),
    ],
)
def test_a_catalog_that_is_no_file_is_one_sentence(
    catalog: object, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fill", cluster(catalog)]) == 2
    assert said in capsys.readouterr().err


def test_a_users_own_places_are_named_as_who_says_so_and_as_what_to_correct(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine_places.csv").write_text("region,types,zones,source\nus-west-2,p4d,-,\n", encoding="utf-8")
    assert main(["fill", cluster("mine.csv")]) == 2
    said = capsys.readouterr().err
    # Not according to EC2, which has it.
    assert "us-west-2 does not have p4d.24xlarge, according to mine_places.csv; the nearest" in said
    assert "if that is wrong, write `us-west-2,p4d.24xlarge,,` in that file" in said


def test_show_names_the_file_of_an_accelerator_of_the_users_own(capsys: pytest.CaptureFixture[str]) -> None:
    chip = "L4: {family: nvidia, resource: GPU, detected_type: L4, memory_mib: 1}\n"
    Path("l4.yaml").write_text(f"# mine\n{chip}", encoding="utf-8")
    assert main(["catalog", "show", "g6.xlarge", "--catalog", "l4.yaml"]) == 0
    assert "l4.yaml:2, which stands for the whole entry of accelerators.yaml" in capsys.readouterr().out
    assert main(["catalog", "show", "g6.xlarge"]) == 0
    assert "which stands for" not in capsys.readouterr().out


def test_check_reads_what_belongs_to_a_file_and_by_itself_what_lies_at_home(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("mine_places.csv").write_text("region,types,zones\n", encoding="utf-8")
    assert main(["catalog", "check", "mine.csv"]) == 2
    assert (
        "mine_places.csv:1: column source is missing; expected region, types, zones, source" in capsys.readouterr().out
    )
    home = Path.home() / ".accel_scaling"
    home.mkdir()
    (home / "good.csv").write_text(MINE, encoding="utf-8")
    assert main(["catalog", "check"]) == 0
    assert capsys.readouterr().out.endswith("; 1 files of yours in ~/.accel_scaling\n")
    (home / "bad.csv").write_text("region\n", encoding="utf-8")
    assert main(["catalog", "check"]) == 2
    assert "bad.csv:1: column 'region' is not known" in capsys.readouterr().out


def test_check_of_places_names_unknown_types_and_notes_new_regions(capsys: pytest.CaptureFixture[str]) -> None:
    rows = "us-west-2,g5.xlrage,,\nus-west-2,q9,,\nus-west-2,q9.xlarge,,\nus-west-2,q7.large,,\nus-west-7,g5,,\n"
    google = "us-central1,nvidia-tesla-t4,a,\nus-central1,n2-custom,,\nus-central1,a2-highgpu,,\n"
    Path("mine_places.csv").write_text(f"region,types,zones,source\n{rows}{google}", encoding="utf-8")
    wrong = ["mine_places.csv:2: types is g5.xlrage, which no catalog file has", "mine_places.csv:5: types is q7.large"]
    for command in (["mine.csv"], ["mine_places.csv"]):  # what is beside it is found
        assert main(["catalog", "check", *command]) == 2
        shown = capsys.readouterr()
        lines = shown.out.splitlines()
        assert len(lines) == 2
        assert all(line.startswith(start) for line, start in zip(lines, wrong, strict=True))
        assert "nearest: g5.xlarge" in lines[0]
        assert shown.err.startswith(
            "note: mine_places.csv:6: region us-west-7 is not in the places files that ship; nearest:"
        )
        assert shown.err.count("\n") == 1
    home = Path.home() / ".accel_scaling" / "refresh"
    home.mkdir(parents=True)
    (home / "aws.csv").write_text(HEADER + "q7.large,1,1,x86_64,,\n", encoding="utf-8")
    Path("mine_places.csv").write_text(
        "region,types,zones,source\nus-west-7,*,,EC2\nus-west-7,q7,,\n", encoding="utf-8"
    )
    assert main(["catalog", "check", "mine_places.csv"]) == 0
    assert capsys.readouterr().err == ""


def test_gpus_that_are_attached_are_found_in_a_region_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog", "find", "--accelerator", "T4", "--region", "us-central1", "--cloud", "gcp"]) == 0
    said = capsys.readouterr().out
    assert "1 x nvidia-tesla-t4" in said
    assert "unknown whether us-central1 has them" in said
    assert main(["catalog", "find", "--accelerator", "T4", "--region", "us-west-2", "--json"]) == 0
    assert {each["cloud"] for each in json.loads(capsys.readouterr().out)} == {"aws"}


def test_a_refresh_that_no_region_answered_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from accel_scaling.refresh.records import CloudAnswer

    def silent(regions: list[str], *_: object) -> CloudAnswer:
        answer = CloudAnswer("aws", "EC2")
        answer.failed[regions[0]] = "UnauthorizedOperation"
        return answer

    monkeypatch.setattr(aws_refresh, "ask", silent)
    assert main(["catalog", "refresh", "aws", "--region", "eu-central-1"]) == 2
    assert "no region answered, and nothing was written; eu-central-1: Unauth" in capsys.readouterr().err
    assert not (Path.home() / ".accel_scaling").exists()
