"""A refresh from EC2 into your own files: their rows stay, and a file that it would spoil is refused."""

import stat

import pytest

from accel_scaling.families.catalog import load_catalog
from accel_scaling.providers.aws import refresh as aws_refresh
from accel_scaling.refresh.requests import RefreshError
from tests.support.refresh import record

WEST = "us-west-2"


def test_a_file_of_ones_own_keeps_its_rows_and_says_whose_they_are(ec2, tmp_path):
    from accel_scaling.refresh.run import refresh

    mine = tmp_path / "gcp_strange.csv"
    mine.write_text("instance_type,vcpus,memory_mib,arch,accelerator,count,cloud\nold1.large,2,8192,arm64,,,aws\n")
    mine.chmod(0o600)
    ec2.sells([record("zz1.large")], us_west_2=["zz1.large"])
    refresh(lambda: aws_refresh.ask([WEST]), mine)
    assert [line.split(",")[0] for line in mine.read_text().splitlines()] == [
        "instance_type",
        "old1.large",
        "zz1.large",
    ]
    assert load_catalog([mine]).machine_type("aws", "zz1.large").vcpus == 4
    assert stat.S_IMODE(mine.stat().st_mode) == 0o600


def test_a_file_that_a_refresh_would_spoil_is_refused_and_stays(ec2, tmp_path):
    from accel_scaling.refresh.run import refresh

    mine = tmp_path / "aws_mine.csv"
    text = "instance_type,vcpus,memory_mib,arch,accelerator,count,because\nold1.large,2,8192,arm64,,,rare\n"
    mine.write_text(text)
    ec2.sells([record("zz1.large")], us_west_2=["zz1.large"])
    with pytest.raises(RefreshError, match="has the columns because, which a refresh would lose"):
        refresh(lambda: aws_refresh.ask([WEST]), mine)
    assert mine.read_text() == text
    with pytest.raises(RefreshError, match="cannot be written"):
        refresh(lambda: aws_refresh.ask([WEST]), tmp_path / "aws_mine.csv" / "x.csv")
