"""Network cards: the shipped rows are EC2's own answer, and a refresh brings those of new types."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from accel_scaling.catalog.networks import network_cards, shipped_rows
from accel_scaling.providers.aws import refresh as aws_refresh
from accel_scaling.testing.devices.ec2_machines import ec2_api_record
from tests.support.refresh import record


def info(efa: int, *cards: tuple[int, tuple[str, ...]]) -> dict[str, Any]:
    listed = [
        {"NetworkCardIndex": number, "MaximumNetworkInterfaces": most, "InterfaceTypes": list(kinds)}
        for number, (most, kinds) in enumerate(cards)
    ]
    return {"NetworkInfo": {"EfaSupported": efa > 0, "EfaInfo": {"MaximumEfaInterfaces": efa}, "NetworkCards": listed}}


ENA, BOTH = ("interface",), ("interface", "efa", "efa-only")


def test_the_shipped_rows_are_what_a_refresh_writes_of_ec2s_recorded_answer() -> None:
    rows = shipped_rows("aws")
    assert len(rows) > 1300
    for name in list(rows)[::7]:
        recorded = ec2_api_record(name)
        assert recorded is not None
        told = aws_refresh.told(recorded)
        assert (told.network, told.cards) == (rows[name].network, rows[name].text), name


def test_a_refresh_writes_the_cards_of_new_types_beside_its_file(
    ec2: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accel_scaling.refresh.run import refresh

    monkeypatch.setenv("HOME", str(tmp_path))
    new = {**record("p9.48xlarge"), **info(2, (4, ENA), (2, BOTH), (2, BOTH))}
    known = {**record("p5.4xlarge"), **info(1, (4, BOTH))}
    ec2.sells([new, known], us_west_2=["p9.48xlarge", "p5.4xlarge"])
    path = tmp_path / ".accel_scaling" / "refresh" / "aws.csv"
    today = dt.date(2026, 11, 28)
    result = refresh(lambda: aws_refresh.ask(["us-west-2"]), path, today=today)
    cards = path.with_name("aws_networks.csv")
    assert result.files[-1] == cards
    # Of the known type nothing is new.
    text = cards.read_text(encoding="utf-8")
    assert text.splitlines()[1:] == [
        "p9.48xlarge,efa,ena:1/4 efa:2/2,EC2 DescribeInstanceTypeOfferings 2026-11",
    ]
    found = network_cards("aws", "p9.48xlarge")
    assert found is not None
    assert (found.network, found.interfaces) == ("efa", 8)
    # The next one, which says the same, changes nothing.
    assert cards not in refresh(lambda: aws_refresh.ask(["us-west-2"]), path, today=dt.date(2027, 1, 1)).written
    assert cards.read_text(encoding="utf-8") == text


def test_a_file_of_another_name_gets_no_file_of_cards_beside_it(ec2: Any, tmp_path: Path) -> None:
    from accel_scaling.refresh.run import refresh

    ec2.sells([{**record("p9.48xlarge"), **info(1, (2, BOTH))}], us_west_2=["p9.48xlarge"])
    refresh(lambda: aws_refresh.ask(["us-west-2"]), tmp_path / "aws_mine.csv")
    assert [path.name for path in tmp_path.glob("*networks*")] == []
