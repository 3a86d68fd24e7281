"""The plan of node types with an order of capacity types: labels that no promise has, and prices of each type."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling import _ray
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli import plan as cli_plan
from accel_scaling.cluster.capacity import CapacityType
from accel_scaling.plan.costs import cost_of_existing
from accel_scaling.plan.model import ExistingNodes, PendingCause
from accel_scaling.plan.prices import read_prices
from accel_scaling.plan.run import PlanArguments, plan_cluster
from accel_scaling.plan.running_nodes import existing_nodes
from accel_scaling.quarantine.machine import Machine
from tests.support.plan import aws, cluster, gcp, plan

MARKET, OURS = "ray.io/market-type", "accel-scaling.io/capacity-type"
HEADER = "instance_type,price_per_hour,spot_price_per_hour,reserved_price_per_hour\n"


def ordered(*order: Any, **more: Any) -> dict[str, Any]:
    """A file whose a10g is bought in this order, and with other node types whose orders are given."""
    config = aws(a10g="g5.xlarge", **dict.fromkeys(more, "g5.xlarge"))
    config["provider"]["capacity"] = {"a10g": list(order), **more}
    return config


def priced(config: dict[str, Any], tmp_path: Path, rows: str, *demands: str) -> tuple[str, Any]:
    """The plan with prices, as text and as JSON."""
    file = tmp_path / "prices.csv"
    file.write_text(HEADER + rows, encoding="utf-8")
    prices = read_prices(file)
    known, answer = plan_cluster(config, shipped_catalog(), PlanArguments(demands))
    return cli_plan.as_text(known, answer, prices), cli_plan.as_json(known, answer, prices)


@pytest.mark.parametrize("label", [MARKET, OURS])
@pytest.mark.parametrize("wanted", ["spot", "on-demand"])
def test_a_demand_for_one_of_several_capacity_types_waits_and_the_reason_says_what_to_write(
    label: str, wanted: str
) -> None:
    config = ordered("spot", "on-demand")
    (pending,) = plan(config, "A10G", labels=[f"{label}={wanted}"]).pending
    assert pending.cause is PendingCause.NO_SUCH_LABEL
    assert pending.reason.endswith(
        f"node type a10g has no label {label}, as its machines are bought as spot, then on-demand, which is known "
        f"when one has come; write a node type with `provider.capacity: {{NAME: [{wanted}]}}` for such tasks"
    )


@pytest.mark.parametrize(
    ("order", "label", "launched"),
    [
        (["spot"], f"{OURS}=spot", True),
        (["spot"], f"{MARKET}=spot", True),
        (["on-demand"], f"{OURS}=on-demand", True),
        (["on-demand"], f"{OURS}=in(reserved,on-demand)", True),
        (["spot"], f"{MARKET}=on-demand", False),
        (["spot"], f"{OURS}=!spot", False),
    ],
)
def test_a_demand_for_the_only_capacity_type_of_a_node_type_is_planned_on_it(
    order: list[str], label: str, *, launched: bool
) -> None:
    assert plan(ordered(*order), "A10G", labels=[label]).launch == ({"a10g": 1} if launched else {})


def test_the_node_type_that_is_written_for_such_tasks_takes_them() -> None:
    answer = plan(ordered("spot", "on-demand", always=["on-demand"]), "A10G", labels=[f"{OURS}=on-demand"])
    assert (answer.launch, answer.pending) == ({"always": 1}, ())


def test_a_demand_that_excludes_one_of_several_capacity_types_is_noted() -> None:
    config = ordered("spot", "on-demand")
    for label in (MARKET, OURS):
        (note,) = plan(config, "A10G", labels=[f"{label}=!spot"]).notes
        assert note.startswith("a10g: its machines are bought as spot, then on-demand, and the label selector of A10G ")
    for label in ("team=!red", f"{OURS}=!block"):
        assert plan(config, "A10G", labels=[label]).notes == ()
    assert plan(ordered("on-demand"), "A10G", labels=[f"{MARKET}=!spot"]).notes == ()


def test_a_node_type_that_is_spot_by_hand_has_rays_label_and_the_reason_names_it() -> None:
    config = aws(t4="g4dn.xlarge")
    config["available_node_types"]["t4"]["node_config"]["InstanceMarketOptions"] = {"MarketType": "spot"}
    assert plan(config, "T4", labels=[f"{MARKET}=spot"]).launch == {"t4": 1}
    (pending,) = plan(config, "T4", labels=[f"{OURS}=spot"]).pending
    assert pending.reason.endswith(f"node type t4 has no label {OURS}; ask for {MARKET}=spot")
    (pending,) = plan(config, "T4", labels=[f"{OURS}=block"]).pending
    assert pending.reason.endswith(
        "bought as spot; write a node type with `provider.capacity: {NAME: [block]}` for such tasks"
    )


def test_the_table_says_the_order_and_the_price_of_its_first_and_its_dearest_type(tmp_path: Path) -> None:
    rows = "m5.large,0.1,,\ng5.xlarge,1,0.4,\n"
    text, content = priced(ordered("spot", "on-demand"), tmp_path, rows, "A10G:1x2")
    assert "a10g       g5.xlarge      spot, then on-demand      2  0.80 to 2.00  A10G:1x2\n" in text
    assert (
        "total: 0.90 an hour with the existing nodes if the first choice of each node type has room; up to 2.10 "
        "if not, from your price list\n"
    ) in text
    node = content["nodes"][0]
    assert (node["capacity_types"], node["price_per_hour"]) == (["spot", "on-demand"], 0.4)
    assert (node["highest_price_per_hour"], content["cost_per_hour"]) == (1, 0.9)
    assert (content["highest_cost_per_hour"], content["without_price"]) == (2.1, [])


def test_a_missing_price_of_a_later_type_leaves_the_first_total_and_is_named(tmp_path: Path) -> None:
    rows = "m5.large,0.1,,\ng5.xlarge,,0.4,\n"
    text, content = priced(ordered("spot", "on-demand"), tmp_path, rows, "A10G")
    assert "total: 0.50 an hour with the existing nodes, without these prices" in text
    assert "which your list lacks: price_per_hour of g5.xlarge\n" in text
    assert (content["cost_per_hour"], content["highest_cost_per_hour"]) == (0.5, None)
    assert content["without_price"] == ["g5.xlarge"]


def test_machines_on_demand_alone_get_no_column_and_one_total(tmp_path: Path) -> None:
    text, content = priced(aws(a10g="g5.xlarge"), tmp_path, "m5.large,0.1,,\ng5.xlarge,1,0.4,\n", "A10G")
    assert "bought" not in text
    assert "total: 1.10 an hour with the existing nodes, from your price list\n" in text
    assert content["highest_cost_per_hour"] == content["cost_per_hour"]


@pytest.mark.parametrize(
    ("node", "bought", "price"),
    [
        ({MARKET: "spot", OURS: "spot"}, "spot", 0.4),
        ({MARKET: "on-demand", OURS: "on-demand"}, "on-demand", 1),
        ({OURS: "reserved"}, "reserved", 0.9),
        ({}, "", None),
    ],
)
def test_a_running_node_has_the_price_of_the_way_in_which_it_was_bought(
    node: dict[str, str], bought: str, price: float | None, tmp_path: Path
) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(f"{HEADER}g5.xlarge,1,0.4,0.9\n", encoding="utf-8")
    known = cluster(ordered("spot", "on-demand"))
    living = _ray.LivingNode("a10g", node, head=False, joined=bool(node), machine="i-1")
    (row,) = existing_nodes(known, [living], {})
    assert row == ExistingNodes("a10g", "", bought, "", 1, joined=bool(node))
    cost = cost_of_existing(known, row, read_prices(file))
    assert (cost.first if bought else None) == price
    assert bool(bought) == (len(cost.prices) == 1)


def test_the_record_of_a_machine_tells_how_it_was_bought_before_it_joins() -> None:
    known = cluster(ordered("spot", "on-demand"))
    living = _ray.LivingNode("a10g", {}, head=False, joined=False, machine="i-1")
    record = Machine("a10g", "us-west-2c", capacity="reserved cr-0123")
    (row,) = existing_nodes(known, [living], {"i-1": record})
    assert (row.zone, row.capacity_type) == ("us-west-2c", "reserved")


def test_slices_and_machines_of_google_are_planned_with_their_orders() -> None:
    config = gcp(l4={"machineType": "g2-standard-4"}, v4={"acceleratorType": "v4-8"})
    config["provider"]["capacity"] = {"l4": ["spot", "on-demand"], "v4": ["on-demand", "spot"]}
    types = cluster(config).types
    assert types["l4"].capacity_types == (CapacityType.SPOT, CapacityType.ON_DEMAND)
    assert types["v4"].capacity_types == (CapacityType.ON_DEMAND, CapacityType.SPOT)
    assert not {MARKET, OURS} & {*types["l4"].labels, *types["v4"].labels}


def test_the_json_of_a_file_on_standard_input_has_the_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from accel_scaling.cli.main import main

    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(ordered("spot")), encoding="utf-8")
    assert main(["plan", str(path), "--demand", "A10G", "--json"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert [node["capacity_types"] for node in nodes] == [["spot"], ["on-demand"]]


ID = "cr-0123456789abcdef0"
TARGET = {"CapacityReservationSpecification": {"CapacityReservationTarget": {"CapacityReservationId": ID}}}
AFFINITY = {
    "reservationAffinity": {
        "consumeReservationType": "SPECIFIC_RESERVATION",
        "key": "compute.googleapis.com/reservation-name",
        "values": ["mine"],
    }
}
BY_HAND = [
    (aws(w="p5.48xlarge"), {**TARGET}, {"reserved": ID}),
    (aws(w="p5.48xlarge"), {"InstanceMarketOptions": {"MarketType": "capacity-block"}, **TARGET}, {"block": ID}),
    (aws(w="p5.48xlarge"), {"InstanceMarketOptions": {"MarketType": "spot"}}, "spot"),
    (gcp(w={"machineType": "a2-highgpu-1g"}), AFFINITY, {"reserved": "mine"}),
    (
        gcp(w={"machineType": "a4-highgpu-8g"}),
        {"scheduling": {"provisioningModel": "RESERVATION_BOUND"}, **AFFINITY},
        {"block": "mine"},
    ),
    (
        gcp(w={"machineType": "a3-highgpu-8g"}),
        {"scheduling": {"provisioningModel": "FLEX_START", "maxRunDuration": {"seconds": 3600}}},
        {"flex-start": {"run_for": "1h"}},
    ),
    (gcp(w={"acceleratorType": "v4-8"}), {"schedulingConfig": {"spot": True}}, "spot"),
    (gcp(w={"acceleratorType": "v4-8"}), {"schedulingConfig": {"reserved": True}}, "reserved"),
]


@pytest.mark.parametrize(("config", "by_hand", "entry"), BY_HAND, ids=lambda value: str(value)[:60])
def test_what_a_node_config_says_by_hand_is_labelled_and_priced_as_with_the_key(
    config: dict[str, Any], by_hand: dict[str, Any], entry: Any
) -> None:
    first, second = copy.deepcopy(config), copy.deepcopy(config)
    first["available_node_types"]["w"]["node_config"] |= by_hand
    second["provider"]["capacity"] = {"w": [entry]}
    one, other = cluster(first).types["w"], cluster(second).types["w"]
    word = entry if isinstance(entry, str) else next(iter(entry))
    assert one.capacity_types == other.capacity_types == (CapacityType(word),)
    assert (one.labels.get(MARKET), other.labels[OURS]) == (other.labels.get(MARKET), word)
    assert one.labels.get(OURS, one.labels.get(MARKET)) == word


def test_of_two_node_types_the_one_with_the_higher_priority_is_launched_first() -> None:
    config = aws(spot="g5.xlarge", a10g="g5.xlarge", most=2)
    config["provider"]["capacity"] = {"spot": ["spot"]}
    if not _ray.has("priority"):
        pytest.skip("priority is of Ray 2.56")
    config["available_node_types"]["spot"]["priority"] = 10
    assert plan(config, "A10G:1x3").launch == {"spot": 2, "a10g": 1}
