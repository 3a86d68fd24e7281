"""Every door says where a cloud does not sell a machine as the file buys it, and nothing where it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.catalog.capacity_types import parse_capacity_types, sold_as
from accel_scaling.catalog.files import Source
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.model import SoldAs
from accel_scaling.cli.main import main
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import fill
from accel_scaling.providers.gcp.scheduling import PROVISIONING_MODELS, purchase_notes
from tests.support.cluster import config_of, gcp_config_of
from tests.support.plan import plan

CATALOG = shipped_catalog()
RESERVATION = {
    "consumeReservationType": "SPECIFIC_RESERVATION",
    "key": "compute.googleapis.com/reservation-name",
    "values": ["mine"],
}
BOUND = {"scheduling": {"provisioningModel": "RESERVATION_BOUND"}, "reservationAffinity": RESERVATION}
SPOT = {"scheduling": {"provisioningModel": "SPOT"}}
FLEX = {"scheduling": {"provisioningModel": "FLEX_START", "maxRunDuration": {"seconds": 3600}}}


def gcp_notes(machine_type: str, **keys: Any) -> list[str]:
    return without_places(fill(gcp_config_of({"w": {"machineType": machine_type, **keys}}), CATALOG)[1])


def aws_notes(instance_type: str, **keys: Any) -> list[str]:
    config = config_of({"w": instance_type})
    config["provider"].pop("region")  # some are in few regions
    config["available_node_types"]["w"]["node_config"] |= keys
    return without_places(fill(config, CATALOG)[1])


def without_places(notes: list[str]) -> list[str]:
    """The notes that are not about regions and zones: tests/fill/test_offerings.py has those."""
    return [note for note in notes if "known to have it" not in note]


@pytest.mark.parametrize(
    ("machine_type", "sold"),
    [
        ("a3-highgpu-1g", "as spot or as flex-start"),
        ("a3-highgpu-2g-nolssd", "as spot or as flex-start"),
        ("a3-highgpu-4g", "as spot or as flex-start"),
        ("a3-ultragpu-8g", "as spot, as flex-start or by reservation"),
        ("a4-highgpu-8g", "as spot, as flex-start or by reservation"),
        ("a4x-highgpu-4g", "by reservation"),
        ("a4x-maxgpu-4g-metal", "by reservation"),
    ],
)
def test_a_machine_that_google_does_not_sell_on_demand_is_noted(machine_type: str, sold: str) -> None:
    (note,) = gcp_notes(machine_type)
    assert note.startswith(
        f"available_node_types.w: Google Cloud sells {machine_type} {sold}, not on demand as here, "
        "according to gcp_capacity_types.csv; write in provider.capacity "
    )
    assert "(without that key, in its node_config: scheduling: {provisioningModel: " in note
    assert gcp_notes(machine_type, **BOUND) == []


@pytest.mark.parametrize(
    "keys", [{"scheduling": {"provisioningModel": "SPOT"}}, {"scheduling": [{"preemptible": True}]}, FLEX]
)
def test_nothing_is_noted_where_it_is_bought_as_it_is_sold(keys: dict[str, Any]) -> None:
    for machine_type in ("a3-highgpu-1g", "a3-ultragpu-8g", "a4-highgpu-8g"):
        assert gcp_notes(machine_type, **keys) == []
    (note,) = gcp_notes("a4x-highgpu-4g", **keys)
    assert "sells a4x-highgpu-4g by reservation, not" in note


def test_nothing_is_noted_of_machines_that_are_sold_on_demand() -> None:
    for name in CATALOG.machine_types("gcp"):
        row = sold_as("gcp", name)
        for way, keys in ((SoldAs.ON_DEMAND, {}), (SoldAs.SPOT, SPOT)):
            if row is None or way in row.sold_as:
                assert [note for note in purchase_notes(name, keys) if "sells" in note] == [], name
    machines = CATALOG.machine_types("gcp")
    unlisted = [name for name, machine in machines.items() if machine.chip and not sold_as("gcp", name)]
    assert {"a2-highgpu-1g", "a3-highgpu-8g", "a3-megagpu-8g", "a3-edgegpu-8g", "g2-standard-4"} <= set(unlisted)


def test_flex_start_of_a_machine_that_has_none_is_noted() -> None:
    (note,) = gcp_notes("g4-standard-48", **FLEX)
    assert "sells g4-standard-48 on demand, as spot or by reservation, not as flex-start" in note


def test_a_template_may_say_it_and_is_left_to_ray_up() -> None:
    assert gcp_notes("a3-highgpu-1g", sourceInstanceTemplate="global/instanceTemplates/mine") == []


def test_a_reservation_of_such_a_machine_wants_its_provisioning_model() -> None:
    (note,) = gcp_notes("a4-highgpu-8g", reservationAffinity=RESERVATION)
    assert "no provisioningModel: RESERVATION_BOUND beside it" in note
    # On-demand reservations of other machines are taken without one.
    assert gcp_notes("a2-highgpu-1g", reservationAffinity=RESERVATION) == []


def test_keys_without_which_google_refuses_the_launch_are_noted() -> None:
    (note,) = gcp_notes("a2-highgpu-1g", scheduling={"provisioningModel": "FLEX_START"})
    assert "FLEX_START needs maxRunDuration" in note
    (note,) = gcp_notes("a4-highgpu-8g", scheduling={"provisioningModel": "RESERVATION_BOUND"})
    assert "RESERVATION_BOUND names no reservation" in note


@pytest.mark.parametrize(
    ("scheduling", "says"),
    [
        ({"provisioningModel": "spot"}, "provisioningModel is 'spot', which Google does not know; nearest: SPOT"),
        ({"provisioningModel": "flex-start"}, "nearest: FLEX_START"),
        ({"provisioningModel": 5}, "it takes STANDARD, SPOT, FLEX_START, RESERVATION_BOUND"),
        ({"onHostMaintenance": "MIGRATE"}, "a machine with accelerators cannot move to another host"),
        ({"provisioningModel": "SPOT", "automaticRestart": True}, "Google never restarts a spot machine"),
        ({"instanceTerminationAction": "DELETE"}, "Google does not end this one"),
    ],
)
def test_scheduling_that_ray_up_refuses_is_refused_by_fill_and_plan_too(scheduling: Any, says: str) -> None:
    config = gcp_config_of({"w": {"machineType": "a2-highgpu-1g", "scheduling": scheduling}})
    for door in (lambda: fill(config, CATALOG), lambda: plan(config, "A100")):
        with pytest.raises(ClusterConfigError) as refused:
            door()
        assert str(refused.value).startswith("available_node_types.w.node_config.scheduling")
        assert says in str(refused.value)


def test_the_line_of_the_key_is_in_the_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        yaml.safe_dump(
            gcp_config_of({"w": {"machineType": "n2-standard-4", "scheduling": {"provisioningModel": "spot"}}})
        )
    )
    assert main(["fill", str(path)]) == 2
    line = 1 + path.read_text().splitlines().index("        provisioningModel: spot")
    assert f"{path}:{line}: available_node_types.w.node_config.scheduling.provisioningModel" in capsys.readouterr().err


def test_the_provisioning_models_are_those_of_googles_document() -> None:
    import googleapiclient

    documents = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    schemas = json.loads((documents / "compute.v1.json").read_text(encoding="utf-8"))["schemas"]
    assert set(PROVISIONING_MODELS) == set(schemas["Scheduling"]["properties"]["provisioningModel"]["enum"])


def test_ec2_machines_that_are_bought_in_blocks_only_or_never_as_spot_are_noted() -> None:
    (note,) = aws_notes("p6e-gb200.36xlarge")
    assert "AWS sells p6e-gb200.36xlarge by reservation, not on demand" in note
    target = {"CapacityReservationTarget": {"CapacityReservationId": "cr-1"}}
    market = {"MarketType": "capacity-block"}
    block = {"InstanceMarketOptions": market, "CapacityReservationSpecification": target}
    assert aws_notes("p6e-gb200.36xlarge", **block) == []
    spot = {"InstanceMarketOptions": {"MarketType": "spot"}}
    (note,) = aws_notes("trn2u.48xlarge", **spot)
    assert "AWS sells trn2u.48xlarge on demand or by reservation, not as spot" in note
    assert aws_notes("trn2u.48xlarge") == []


def test_ec2_says_how_it_sells_its_machines() -> None:
    """The rows, compared with the answers of EC2's API that moto recorded."""
    import gzip

    import moto.ec2

    path = Path(moto.ec2.__file__).parent / "resources" / "instance_types.json.gz"
    recorded = json.loads(gzip.decompress(path.read_bytes()))
    words = {"on-demand": SoldAs.ON_DEMAND, "spot": SoldAs.SPOT}
    for name, answer in recorded.items():
        classes = {words[word] for word in answer["SupportedUsageClasses"] if word in words}
        row = sold_as("aws", name)
        if row is None:
            # Without a row a machine is sold in every way; of plain machines some old and huge ones are not.
            assert SoldAs.ON_DEMAND in classes, name
            accelerated = any(key in answer for key in ("GpuInfo", "NeuronInfo", "InferenceAcceleratorInfo"))
            assert SoldAs.SPOT in classes or not accelerated, name
        else:
            assert classes == set(row.sold_as) & set(words.values()), name


def test_a_wrong_row_is_named_with_its_column() -> None:
    text = "types,sold_as,block_end_min,source\na4,ondemand,,x\n"
    _, problems = parse_capacity_types(Source(Path("gcp_capacity_types.csv"), "gcp_capacity_types.csv", text))
    assert [(problem.line, problem.column) for problem in problems] == [(2, "sold_as")]


@pytest.mark.parametrize(
    ("order", "labels", "says"),
    [
        (["spot", "on-demand"], {"ray.io/market-type": "spot"}, "bought as spot, then on-demand: each of them would"),
        (
            ["spot"],
            {"ray.io/market-type": "on-demand"},
            "has ray.io/market-type: on-demand, and its ",
        ),
        (["spot"], {"accel-scaling.io/capacity-type": "block"}, "has accel-scaling.io/capacity-type: block, and its"),
        (["spot"], {"ray.io/market-type": "spot", "accel-scaling.io/capacity-type": "spot"}, ""),
        (["spot", "on-demand"], {"team": "red"}, ""),
        (None, {"ray.io/market-type": "on-demand"}, ""),
        (
            None,
            {"ray.io/market-type": "spot"},
            "bought as on-demand: each of them would announce spot",
        ),
    ],
)
def test_a_label_that_is_not_true_of_every_machine_is_noted(order: Any, labels: dict[str, str], says: str) -> None:
    for config in (config_of({"w": "g5.xlarge"}), gcp_config_of({"w": {"machineType": "g2-standard-4"}})):
        config["available_node_types"]["w"]["labels"] = dict(labels)
        if order:
            config["provider"]["capacity"] = {"w": order}
        notes = [note for note in fill(config, CATALOG)[1] if "labels" in note]
        assert len(notes) == bool(says), "one note for one label"
        assert says in "".join(notes)


@pytest.mark.parametrize("order", [["spot"], ["on-demand", "spot"]])
def test_a_file_that_is_filled_twice_has_no_such_note(order: list[str]) -> None:
    config = config_of({"w": "g5.xlarge"})
    config["provider"]["capacity"] = {"w": order}
    once, _ = fill(config, CATALOG)
    assert [note for note in fill(once, CATALOG)[1] if ".labels has " in note] == []


@pytest.mark.parametrize(("order", "noted"), [(["spot", "on-demand"], False), ([{"block": "cr-1"}, "spot"], True)])
def test_a_head_whose_machine_its_cloud_ends_at_a_fixed_time_is_noted(order: Any, *, noted: bool) -> None:
    config = config_of({"w": "g5.xlarge"}, head="p5.48xlarge", provider={"capacity": {"head": order}})
    notes = [note for note in fill(config, CATALOG)[1] if "is the head" in note]
    assert bool(notes) is noted
    assert not noted or "bought as block: the cloud ends it at a fixed time, and the cluster with it" in notes[0]
