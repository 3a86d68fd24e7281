"""`catalog refresh` as people run it: what it prints, and what is missing."""

import sys

import pytest

from accel_scaling.cli.main import main
from accel_scaling.refresh.progress import progress
from accel_scaling.refresh.run import default_file
from tests.refresh_fixture import ec2_fixture, moto_url_fixture, record  # noqa: F401 - fixtures

WEST = "us-west-2"


def test_the_command_says_what_it_found_and_where_it_wrote_it(ec2, capsys):
    ec2.sells([record("zz1.large")], us_west_2=["zz1.large"])
    assert main(["catalog", "refresh", "aws", "--region", WEST]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(
        "aws: 1 machine type in 1 region\n\nadded (1)\n  zz1.large: 4 vCPUs, 16 GiB, x86_64, no accel"
    )
    assert f"wrote {default_file('aws')} and " in shown.out
    assert shown.err == ""  # a bar is for terminals
    assert main(["catalog", "refresh", "aws", "--project", "p"]) == 2


@pytest.mark.parametrize(("cloud", "module"), [("aws", "boto3"), ("gcp", "google.cloud.compute_v1")])
def test_without_the_extra_the_sentence_says_how_to_get_it(cloud, module, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    package, _, name = module.rpartition(".")
    if package in sys.modules:  # another test may have imported it
        monkeypatch.delattr(sys.modules[package], name, raising=False)
    assert main(["catalog", "refresh", cloud]) == 2
    assert "pip install -e '.[refresh]'" in capsys.readouterr().err


def test_a_terminal_is_shown_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress("offerings", 2) as step:
        step()
    assert "offerings:" in capsys.readouterr().err
