"""The plan for a running cluster: its nodes, and what its quarantines keep from being launched."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling import _ray
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.cluster.policies import QuarantinePolicy
from accel_scaling.plan.model import PendingCause, Plan
from accel_scaling.plan.run import PlanArguments, plan_cluster
from accel_scaling.quarantine import ledger
from accel_scaling.quarantine.machine import Machine, Reason
from accel_scaling.quarantine.max_workers import limited
from accel_scaling.quarantine.record import Record
from accel_scaling.quarantine.store import Store, default_path
from tests.support.plan import aws

A = "us-west-2a"
SOLD_OUT = "quarantined until 12:34:56 UTC, sold out: InsufficientInstanceCapacity"
CONFIRMED = {"accel-scaling.io/verdict": "Confirmed", "ray.io/market-type": "on-demand"}
Running = Callable[..., None]


def node(name: str, labels: Mapping[str, str] = CONFIRMED, *, machine: str = "", joined: bool = True) -> Any:
    return _ray.LivingNode(name, labels if joined else {}, head=name == "head", joined=joined, machine=machine)


@pytest.fixture(name="running")
def running_fixture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Running:
    """A running cluster with some nodes and one waiting task for an A10G."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def running(blocked: Mapping[str, str] | None, nodes: tuple[Any, ...] = (node("head"),)) -> None:
        request = _ray.resource_request({"CPU": 1, "GPU": 1, "accelerator_type:A10G": 0.001}, ())
        instances = [
            _ray.running_instance(one.node_type, number, {"CPU": 2}, {}, head=one.head)
            for number, one in enumerate(nodes)
        ]
        counts = {one.node_type: sum(other.node_type == one.node_type for other in nodes) for one in nodes}
        state = _ray.ClusterState(((request, 1),), (), (), tuple(instances), counts, nodes, blocked)
        monkeypatch.setattr("accel_scaling.plan.live_cluster.state_of", lambda *_: state)

    return running


def plan(config: dict[str, Any]) -> Plan:
    return plan_cluster(config, shipped_catalog(), PlanArguments(address="10.0.0.5:6379"))[1]


def test_a_quarantined_node_type_is_not_launched_and_the_demand_says_why(running: Running) -> None:
    running({"a10g": SOLD_OUT})
    answer = plan(aws(a10g="g5.xlarge"))
    assert answer.launch == {}
    (pending,) = answer.pending
    assert pending.cause is PendingCause.QUARANTINED
    assert pending.reason.endswith(f"node type a10g would take it, but it is {SOLD_OUT}")
    assert any(note.startswith(f"a10g is {SOLD_OUT}: none of it is launched now") for note in answer.notes)


def test_one_that_has_workers_keeps_them_and_the_quarantine_is_the_cause_and_no_limit(running: Running) -> None:
    running({"a10g": SOLD_OUT}, (node("head"), node("a10g"), node("a10g")))
    answer = plan(aws(a10g="g5.xlarge"))
    assert (answer.launch, answer.limits) == ({}, ())
    assert answer.pending[0].cause is PendingCause.QUARANTINED
    assert not [note for note in answer.notes if "would be terminated" in note]


def test_another_node_type_takes_the_demand_and_min_workers_of_the_quarantined_one_launch_none(
    running: Running,
) -> None:
    running({"a10g": SOLD_OUT})
    config = aws(a10g="g5.xlarge", larger="g5.12xlarge")
    config["available_node_types"]["a10g"]["min_workers"] = 1
    answer = plan(config)
    assert (answer.launch, answer.pending) == ({"larger": 1}, ())


def test_where_nobody_knows_of_quarantines_a_note_says_so(running: Running) -> None:
    running(None)
    answer = plan(aws(a10g="g5.xlarge"))
    assert answer.launch == {"a10g": 1}
    assert any("whether a node type is quarantined is not known here" in note for note in answer.notes)
    running({})
    assert not [note for note in plan(aws(a10g="g5.xlarge")).notes if "quarantine" in note]


def state_file(tmp_path: Path) -> None:
    """This machine is a head, whose a10g has just been found to be sold out."""
    (tmp_path / "ray_bootstrap_config.yaml").write_text("{}", encoding="utf-8")
    now_s = time.time()
    record = ledger.sold_out(Record((A,)), QuarantinePolicy(), A, Reason("NoCapacity", "none left"), now_s)
    machine = Machine("t4", "us-west-2c")
    Store(default_path()).change(lambda old: old.with_record("a10g", record).with_machine("i-7", machine))


def test_on_a_head_its_state_file_tells_what_autoscaler_v1_does_not(running: Running, tmp_path: Path) -> None:
    running(None)
    state_file(tmp_path)
    answer = plan(aws(a10g="g5.xlarge"))
    assert answer.pending[0].cause is PendingCause.QUARANTINED
    assert "sold out: NoCapacity" in answer.pending[0].reason


@pytest.mark.parametrize("address", ["10.0.0.5:6379", None])
def test_the_limit_that_a_quarantine_wrote_into_the_heads_config_is_called_by_its_name(
    running: Running, tmp_path: Path, address: str | None
) -> None:
    config = limited(aws(a10g="g5.xlarge"), {"a10g": 0})
    running({})
    arguments = PlanArguments(address=address) if address else PlanArguments(demands=["A10G"])
    (pending,) = plan_cluster(config, shipped_catalog(), arguments)[1].pending
    assert "max_workers is 0" not in pending.reason
    assert "but it is limited by the head after a quarantine" in pending.reason
    state_file(tmp_path)
    (pending,) = plan_cluster(config, shipped_catalog(), arguments)[1].pending
    assert "sold out: NoCapacity" in pending.reason


def test_the_nodes_of_the_cluster_are_a_table_with_prices(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state_file(tmp_path)
    spot = {"accel-scaling.io/verdict": "Confirmed", "ray.io/market-type": "spot"}
    nodes = (
        node("head"),
        node("t4", spot, machine="i-7"),
        node("t4", spot),
        node("a10g", joined=False),
        node("old", {}),
    )
    running({}, nodes)
    config = aws(t4="g4dn.xlarge", a10g="g5.xlarge")
    config["available_node_types"]["t4"]["node_config"]["InstanceMarketOptions"] = {"MarketType": "spot"}
    path, prices = tmp_path / "c.yaml", tmp_path / "p.csv"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    prices.write_text("instance_type,price_per_hour,spot_price_per_hour\nm5.large,0.1,\ng4dn.xlarge,,0.2\n")
    words = ["plan", str(path), "--address", "10.0.0.5:6379", "--prices", str(prices)]
    main(words)
    table = [line.split() for line in capsys.readouterr().out.split("\n\n")[0].splitlines()]
    assert table[1:] == [
        ["head", "m5.large", "on-demand", "Confirmed", "1", "0.10"],
        ["a10g", "g5.xlarge", "on-demand", "not", "joined", "yet", "1", "no", "price"],
        ["old", "none", "1", "no", "price"],
        ["t4", "g4dn.xlarge", "spot", "Confirmed", "1", "0.20"],
        ["t4", "g4dn.xlarge", "us-west-2c", "spot", "Confirmed", "1", "0.20"],
    ]
    main([*words, "--json"])
    first = json.loads(capsys.readouterr().out)["existing"][0]
    assert (first["node_type"], first["verdict"], first["count"], first["price_per_hour"]) == (
        "head",
        "Confirmed",
        1,
        0.1,
    )


def test_a_list_without_the_column_for_spot_names_it_and_sums_nothing_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = aws(a10g="g5.2xlarge")
    config["available_node_types"]["a10g"]["node_config"]["InstanceMarketOptions"] = {"MarketType": "spot"}
    path, prices = tmp_path / "c.yaml", tmp_path / "p.csv"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    prices.write_text("instance_type,price_per_hour\ng5.2xlarge,1.21\n")
    assert main(["plan", str(path), "--demand", "A10G", "--prices", str(prices)]) == 0
    out = capsys.readouterr().out
    assert "0.00" not in out
    lacks = "spot_price_per_hour of g5.2xlarge and price_per_hour of m5.large"
    assert f"total: not known: your price list lacks {lacks}\n" in out
