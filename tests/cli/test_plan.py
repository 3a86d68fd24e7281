"""`accel-scaling plan` as people and programs use it: tables, JSON, prices, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.cli.main import main
from accel_scaling.fill.defaults import with_keys_needed_by_ray
from tests.support.plan import aws

PRICES = "instance_type,price_per_hour,spot_price_per_hour\ng4dn.xlarge,0.5,0.2\ng5.xlarge,1.25,\nm5.large,0.1,\n"


@pytest.fixture(name="plan")
def plan_fixture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `accel-scaling plan` on a file with T4 and A10G; return exit code, stdout and stderr."""
    config = with_keys_needed_by_ray(aws(t4="g4dn.xlarge", a10g="g5.xlarge"))
    path = tmp_path / "cluster.yaml"

    def running(*words: str, change: dict[str, Any] | None = None) -> tuple[int, str, str]:
        path.write_text(yaml.safe_dump({**config, **(change or {})}, sort_keys=False), encoding="utf-8")
        code = main(["plan", str(path), *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return running


def test_people_get_a_table_of_nodes_what_they_are_for_and_what_stays_pending(plan: Any) -> None:
    code, out, err = plan("--demand", "T4x2", "CPU:1", "--demand", "H100:8")
    assert (code, err) == (3, "")
    assert out == (
        "to launch  instance type  nodes  for\n"
        "t4         g4dn.xlarge        2  T4x2\n\n"
        "existing  instance type  nodes  for\n"
        "head      m5.large           1  CPU:1\n\n"
        "stays pending\n"
        "  H100:8: asks accelerator_type:H100, GPU 8; the node types of the file have T4, A10G; "
        "p5.48xlarge would take it\n"
    )


def test_what_is_placed_exits_with_0_and_nothing_to_launch_is_said(plan: Any) -> None:
    assert plan("--demand", "T4")[0] == 0
    assert plan() == (0, "nothing to launch\n", "")


def test_programs_get_json_in_its_documented_form(plan: Any) -> None:
    code, out, _ = plan("--demand", "T4x6", "--gang", "STRICT_PACK", "A10G:1x2", "--json")
    answer = json.loads(out)
    assert code == 3
    assert answer["launch"] == {"t4": 4}
    task, group = answer["pending"]
    assert {name: task[name] for name in ("demand", "count", "gang", "kind")} == {
        "demand": "T4",
        "count": 2,
        "gang": None,
        "kind": "MaxWorkersOfType",
    }
    assert (group["demand"], group["gang"], group["count"]) == ("STRICT_PACK A10G:1x2", "STRICT_PACK", 1)
    assert group["resources"] == {"GPU": 2, "accelerator_type:A10G": 0.002}
    assert all(entry["reason"] for entry in answer["pending"])
    assert answer["nodes"][0] == {
        "node_type": "t4",
        "instance_type": "g4dn.xlarge",
        "count": 4,
        "launched": True,
        "for": [{"demand": "T4", "count": 4}],
        "for_min_workers": 0,
        "capacity_types": ["on-demand"],
    }
    assert set(answer) == {"launch", "pending", "nodes", "limits", "notes"}


@pytest.fixture(name="prices")
def prices_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "prices.csv"
    path.write_text(PRICES, encoding="utf-8")
    return path


def test_costs_are_of_the_users_own_list_and_what_it_lacks_is_said_never_0(plan: Any, prices: Path) -> None:
    _, out, _ = plan("--demand", "T4x2", "A10G", "--prices", str(prices))
    assert "t4         g4dn.xlarge        2     1.00  T4x2\n" in out
    assert "total: 2.35 an hour with the existing nodes, from your price list\n" in out
    answer = json.loads(plan("--demand", "T4x2", "A10G", "--prices", str(prices), "--json")[1])
    assert (answer["cost_per_hour"], answer["without_price"]) == (2.35, [])
    prices.write_text(PRICES.replace("g5.xlarge", "g6.xlarge"), encoding="utf-8")
    _, out, _ = plan("--demand", "T4x2", "A10G", "--prices", str(prices))
    assert "a10g       g5.xlarge          1  no price  A10G\n" in out
    assert "without these prices, which your list lacks: price_per_hour of g5.xlarge\n" in out
    answer = json.loads(plan("--demand", "T4x2", "A10G", "--prices", str(prices), "--json")[1])
    assert (answer["cost_per_hour"], answer["without_price"]) == (None, ["g5.xlarge"])


def test_a_spot_node_has_the_spot_price_and_no_other(plan: Any, prices: Path) -> None:
    types = aws(t4="g4dn.xlarge", a10g="g5.xlarge")["available_node_types"]
    for name in ("t4", "a10g"):
        types[name]["node_config"]["InstanceMarketOptions"] = {"MarketType": "spot"}
    words = ("--demand", "T4", "A10G", "--prices", str(prices), "--json")
    answer = json.loads(plan(*words, change={"available_node_types": types})[1])
    assert [entry["price_per_hour"] for entry in answer["nodes"]] == [0.2, None, 0.1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("instance_type;price_per_hour\n", ":1: the first line names the columns, `instance_type,price_per_hour` and "),
        ("instance_type,price_per_hour\ng5.xlarge,1\ng5.xlarge,2\n", ":3: g5.xlarge is already in line 2"),
        ("instance_type,price_per_hour\n,1\n", ":2: instance_type is empty"),
        (
            "instance_type,price_per_hour\ng5.xlarge,$1\n",
            ":2: price_per_hour is $1; expected a number of 0 or more, such as 32.77",
        ),
        ("instance_type,price_per_hour\ng5.xlarge,-1\n", ":2: price_per_hour is -1; expected a number of 0 or more"),
    ],
)
def test_a_mistake_in_a_price_list_is_one_sentence_with_its_line(
    plan: Any, prices: Path, text: str, sentence: str
) -> None:
    prices.write_text(text, encoding="utf-8")
    code, out, err = plan("--demand", "T4", "--prices", str(prices))
    assert (code, out) == (2, "")
    assert err.startswith(f"accel-scaling: {prices}{sentence}")
    assert err.count("\n") == 1


def test_a_mistake_says_its_sentence_and_its_line_and_exits_with_2(plan: Any) -> None:
    code, out, err = plan("--demand", "A1OO:8")
    assert (code, out) == (2, "")
    assert err.startswith("accel-scaling: --demand 'A1OO:8': no node announces accelerator_type 'A1OO'; nearest: ")
    types = aws(t4="g4dn.xlrge")["available_node_types"]
    code, _, err = plan("--demand", "T4", change={"available_node_types": types})
    assert code == 2
    assert "cluster.yaml:" in err
    assert "available_node_types.t4: instance type 'g4dn.xlrge' of aws is not in the catalog" in err
    code, _, err = plan("--prices", "nowhere.csv")
    assert (code, err) == (2, "accel-scaling: --prices nowhere.csv cannot be read: No such file or directory\n")


def test_a_mistake_is_said_without_waiting_for_ray(plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accel_scaling._ray.node_type_configs", lambda _: pytest.fail("Ray was asked"))
    assert plan("--demand", "A1OO:8")[0] == 2
    assert plan("--label", "spot", "--demand", "T4")[0] == 2
