"""Launches into reservations of Google and of calendar mode, by `provider.capacity` and as a node_config names them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.autoscaler.node_launch_exception import NodeLaunchException

from accel_scaling import _ray, timeouts
from accel_scaling.boot.verdicts import LABEL_VERDICT
from accel_scaling.providers.gcp import placement_policies
from accel_scaling.providers.gcp.capacity import with_capacity
from accel_scaling.providers.gcp.placement import policy_name
from accel_scaling.providers.gcp.reserved_launch import ReservedLaunches
from accel_scaling.testing.gce.reservations import GceReservation
from tests.providers.gcp.test_machine_end import Head
from tests.support.gcp_provider import DISKS, PROJECT, ZONES, Google, config_of, google, provider_of, tags

A, B, C = ZONES
TYPE, BLOCK_TYPE = "a2-highgpu-1g", "a4-highgpu-8g"
NETWORK = [{"network": "global/networks/default"}]
GPU = {"onHostMaintenance": "TERMINATE"}
THREE = [{"reserved": "mine"}, "spot", "on-demand"]
START_S = 1_000_000.0


class Reserving(Head):
    """The provider in a head's autoscaler; its clock is Google's."""

    def __init__(self, gce: Google, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gce, self.order = gce, []
        monkeypatch.setattr("tests.providers.gcp.test_machine_end.ours", self._ours)
        super().__init__(gce, folder, monkeypatch)
        self.joined: list[_ray.JoinedNode] = []
        self.provider.joined_nodes = lambda: self.joined
        gce.engine.state._unix_at_0_s, gce.engine.state.clock = 0.0, lambda: self.now_s
        compute = self.provider._resource("compute")
        reserved = compute.reserved
        reserved.reservations._clock = lambda: self.now_s
        compute.reserved = ReservedLaunches(reserved.reservations, lambda: self.now_s, lambda: 300.0)

    def _ours(self, *_: Any, **__: Any) -> tuple[Any, dict[str, Any]]:
        zones = ",".join(ZONES)
        return provider_of(config_of(self.gce.url, availability_zone=zones)), {"gpu": {}}

    def launch_of(
        self, count: int, *order: Any, machine_type: str = TYPE, kind: str = "worker", **node_config: Any
    ) -> list[str]:
        """Launch machines of a node type with this order."""
        self.provider.provider_config["capacity"] = {"gpu": list(order)} if order else {}
        made = {"machineType": machine_type, "disks": DISKS, "networkInterfaces": NETWORK, "scheduling": GPU}
        return list(self.provider.create_node({**made, **node_config}, tags("gpu", kind), count))


@pytest.fixture(name="gce")
def gce_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    monkeypatch.setattr(timeouts, "GCP_OPERATION_POLL_S", 0.005)
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.001, 0.001))
    with google() as at:
        yield at


@pytest.fixture(name="head")
def head_fixture(gce: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reserving:
    return Reserving(gce, tmp_path, monkeypatch)


def zones_of(gce: Google) -> set[str]:
    return {one["zone"].rpartition("/")[2] for one in gce.machines().values()}


def test_a_reservation_of_two_gives_two_and_the_third_machine_is_spot_then_on_demand(
    head: Reserving, gce: Google
) -> None:
    gce.reserve(GceReservation("mine", TYPE, 2, zone=B))
    made = head.launch_of(3, *THREE)
    assert gce.bought() == ["mine", "mine", "spot"]
    head.round()
    words = sorted(head.provider.node_tags(name)["accel-scaling-capacity"] for name in made)
    assert words == ["reserved", "reserved", "spot"]
    gce.injection.dry_zones = {"*": [f"{TYPE}/spot"]}
    head.launch_of(1, *THREE)
    assert gce.bought() == ["mine", "mine", "on-demand", "spot"]


def test_only_the_zone_of_a_reservation_is_asked_and_for_no_more_than_is_free(head: Reserving, gce: Google) -> None:
    gce.reserve(GceReservation("mine", TYPE, 2, zone=B))
    with pytest.raises(NodeLaunchException, match="2 free of 2 places"):
        head.launch_of(4, {"reserved": "mine"})
    assert zones_of(gce) == {B}
    asked = gce.count("compute.instances.bulkInsert") + gce.count("compute.instances.insert")
    assert asked == 1
    assert gce.count("compute.reservations.aggregatedList") == 1


def test_a_full_reservation_is_asked_for_again_after_a_minute_and_the_wait_does_not_double(
    head: Reserving, gce: Google
) -> None:
    gce.reserve(GceReservation("mine", TYPE, 1, zone=A))
    (name,) = head.launch_of(1, {"reserved": "mine"})
    for _ in range(5):
        with pytest.raises(NodeLaunchException):
            head.launch_of(1, {"reserved": "mine"})
        head.now_s += 61
    head.provider.terminate_node(name)
    head.round()
    head.now_s += 61
    assert len(head.launch_of(1, {"reserved": "mine"})) == 1


def test_a_block_is_used_when_it_begins_and_what_follows_it_before(head: Reserving, gce: Google) -> None:
    begins_s = head.now_s + 60
    gce.reserve(GceReservation("block", BLOCK_TYPE, 1, A, calendar=True, begins_s=begins_s, ends_s=begins_s + 7200))
    order = [{"block": "block"}, "spot"]
    head.launch_of(1, *order, machine_type=BLOCK_TYPE)
    assert gce.bought() == ["spot"]
    head.now_s = begins_s + 5
    head.launch_of(1, *order, machine_type=BLOCK_TYPE)
    assert gce.bought() == ["block", "spot"]
    machine = next(one for one in gce.machines().values() if "resourceStatus" in one)
    assert machine["scheduling"]["provisioningModel"] == "RESERVATION_BOUND"
    assert machine["scheduling"]["instanceTerminationAction"] == "DELETE"
    head.now_s = begins_s + 7200 - 400
    gce.injection.dry_zones = {"*": [BLOCK_TYPE]}
    with pytest.raises(NodeLaunchException):
        head.launch_of(1, *order, machine_type=BLOCK_TYPE)


def test_keys_that_are_written_by_hand_are_an_order_of_one(head: Reserving, gce: Google) -> None:
    gce.reserve(GceReservation("mine", TYPE, 1, zone=C))
    by_hand = {"reservationAffinity": with_capacity("k", {}, _entry("reserved", "mine"))["reservationAffinity"]}
    head.launch_of(1, **by_hand)
    assert (gce.bought(), zones_of(gce)) == (["mine"], {C})
    with pytest.raises(NodeLaunchException, match="0 free of 1 places"):
        head.launch_of(1, **by_hand)


def test_a_shared_reservation_is_asked_of_its_project_and_named_by_its_path(head: Reserving, gce: Google) -> None:
    gce.reserve(GceReservation("shared", TYPE, 1, zone=B, project="owner"))
    head.launch_of(1, {"reserved": {"name": "shared", "project": "owner"}})
    assert gce.bought() == ["shared"]


def test_without_the_permission_google_itself_says_what_does_not_fit(
    head: Reserving, gce: Google, caplog: pytest.LogCaptureFixture
) -> None:
    gce.reserve(GceReservation("mine", TYPE, 1, zone=B, readable=False))
    for _ in range(2):
        head.launch_of(1, {"reserved": "mine"}, "on-demand")
    assert gce.bought() == ["mine", "on-demand"]
    assert caplog.text.count("lacks compute.reservations.list in project rehearsal") == 1


def _entry(word: str, name: str) -> Any:
    from accel_scaling.cluster.capacity import capacity_orders

    return capacity_orders({"capacity": {"gpu": [{word: name}]}})["gpu"][0]


# The end of a machine that Google has set beforehand.


@pytest.fixture(name="drains")
def drains_fixture(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], float]]:
    asked: list[tuple[list[str], float]] = []
    monkeypatch.setattr(_ray, "drain_nodes", lambda nodes, _, until_s: asked.append((list(nodes), until_s)) or [])
    monkeypatch.setattr(_ray, "node_events", dict)
    monkeypatch.setattr(_ray, "forget_event", lambda _: None)
    monkeypatch.setattr(_ray, "tell_drivers", lambda _: None)
    return asked


@pytest.mark.parametrize("version", ["v2", "v1"])
@pytest.mark.parametrize("bought", ["block", "flex-start"])
def test_a_node_is_drained_once_before_its_machine_ends_and_then_deleted(
    version: str, bought: str, head: Reserving, gce: Google, drains: list[tuple[list[str], float]]
) -> None:
    ends_s = head.now_s + 3600
    gce.reserve(GceReservation("block", BLOCK_TYPE, 1, A, calendar=True, ends_s=ends_s))
    order: Any = {"block": "block"} if bought == "block" else {"flex-start": {"run_for": "1h"}}
    (name,) = head.launch_of(1, order, machine_type=BLOCK_TYPE)
    provider, labels = head.provider, {LABEL_VERDICT: "Confirmed"}
    provider.non_terminated_nodes({})
    node = _ray.JoinedNode(name if version == "v2" else "", provider.internal_ip(name), labels, True, "ray-1")
    head.joined = [node]
    head.round()
    head.now_s = ends_s - 306
    head.round()
    assert drains == []
    for _ in range(3):
        assert head.round() == [name], "its tasks continue"
    assert drains == [(["ray-1"], ends_s)]
    head.joined = [node._replace(alive=False)]
    head.round()
    assert gce.machines() == {}
    assert head.strikes() == {name: "Confirmed"}


def test_the_head_is_not_drained_before_its_machine_ends(
    head: Reserving, gce: Google, drains: list[tuple[list[str], float]], caplog: pytest.LogCaptureFixture
) -> None:
    (name,) = head.launch_of(1, {"flex-start": {"run_for": "1h"}}, machine_type=BLOCK_TYPE, kind="head")
    head.provider.non_terminated_nodes({})
    head.joined = [_ray.JoinedNode("", head.provider.internal_ip(name), {}, True, "ray-1")]
    head.now_s += 3590
    head.round()
    assert drains == []
    assert "as it was asked for; nothing is done about it" in caplog.text
    assert name in gce.machines()


@pytest.mark.parametrize("theirs", ["", "theirs"])
def test_a_reservation_is_used_with_its_own_placement_policy_or_with_none(
    theirs: str, head: Reserving, gce: Google
) -> None:
    gce.reserve(GceReservation("mine", TYPE, 1, policy=theirs))
    place = f"projects/{PROJECT}/regions/us-central1/resourcePolicies"
    ours, reserved = policy_name("mine", "gpu", ZONES[0]), head.provider._resource("compute").reserved
    placed = {"project_id": PROJECT, "region": "us-central1"}
    placement_policies.make(reserved.reservations._compute, placed, "mine", ["theirs", ours])
    head.launch_of(2, {"reserved": "mine"}, "spot", resourcePolicies=[f"{place}/{ours}"])
    bought = {
        one["scheduling"].get("provisioningModel", "STANDARD"): [
            path.rpartition("/")[2] for path in one.get("resourcePolicies") or ()
        ]
        for one in gce.machines().values()
    }
    assert bought == {"STANDARD": [theirs] if theirs else [], "SPOT": [ours]}
