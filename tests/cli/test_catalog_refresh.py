"""`catalog refresh` as people run it: what it prints, and what is missing."""

import sys

import pytest

from accel_scaling.cli.main import main
from accel_scaling.providers.aws import refresh as aws_refresh
from accel_scaling.refresh.requests import progress
from accel_scaling.refresh.run import default_file
from tests.support.refresh import record

WEST, EAST = "us-west-2", "us-east-1"


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


@pytest.fixture(name="ctrl_c")
def ctrl_c_fixture(monkeypatch):
    """Ctrl-C while one region's answer is read, by a function of refresh.aws."""

    def at(function, region):
        ask = getattr(aws_refresh, function)

        def pressed(client, *rest):
            if client.meta.region_name == region:
                raise KeyboardInterrupt
            return ask(client, *rest)

        monkeypatch.setattr(aws_refresh, function, pressed)

    return at


def test_ctrl_c_keeps_the_regions_that_have_answered_and_names_the_others(ec2, ctrl_c, capsys):
    ec2.sells([record("g5.xlarge"), record("zz1.large")], us_west_2=["g5.xlarge"], us_east_1=["zz1.large"])
    command = ["catalog", "refresh", "aws", "--region", WEST, EAST]
    assert main(command) == 0
    before = places()
    assert any(row.startswith(f"{EAST},zz1") for row in before)
    ec2.offers(us_west_2=["m5.large"], us_east_1=["m5.large"])
    capsys.readouterr()
    ctrl_c("_offered", EAST)
    assert main(command) == 130
    output = capsys.readouterr().out
    assert output.startswith("aws: interrupted after 1 of 2 regions, which are kept; 0 machine types in 1 region\n")
    assert f"skipped {EAST}: interrupted; its rows stay as they were\n" in output
    now = places()
    assert [row for row in now if row.startswith(EAST)] == [row for row in before if row.startswith(EAST)]
    assert any(row.startswith(f"{WEST},m5") for row in now)
    assert not any(row.startswith(f"{WEST},g5") for row in now)


@pytest.mark.parametrize(("function", "region"), [("_offered", WEST), ("_described", WEST)])
def test_a_region_with_types_that_nobody_has_described_before_ctrl_c_is_not_kept(ec2, ctrl_c, function, region, capsys):
    ec2.sells([record("zz1.large")], us_west_2=["zz1.large"], us_east_1=["zz1.large"])
    ctrl_c(function, region)
    assert main(["catalog", "refresh", "aws", "--region", WEST, EAST]) == 130
    assert "accel-scaling: interrupted after 0 of 2 regions: nothing was written\n" in capsys.readouterr().err
    assert not default_file("aws").exists()


def places():
    return default_file("aws").with_name("aws_places.csv").read_text().splitlines()


@pytest.mark.parametrize(("cloud", "module"), [("aws", "boto3"), ("gcp", "google.cloud.compute_v1")])
def test_without_the_extra_the_sentence_says_how_to_get_it(cloud, module, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    package, _, name = module.rpartition(".")
    if package in sys.modules:  # another test may have imported it
        monkeypatch.delattr(sys.modules[package], name, raising=False)
    assert main(["catalog", "refresh", cloud]) == 2
    assert "`pip install 'accel-scaling[refresh]'` brings it" in capsys.readouterr().err


def test_a_terminal_is_shown_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress("offerings", 2) as step:
        step()
    assert "offerings:" in capsys.readouterr().err
