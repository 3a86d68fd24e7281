"""Who ended a machine before it joined: the cloud, an interruption, the user or Ray, and which is a strike."""

from __future__ import annotations

import pytest

from accel_scaling.providers.base.machine_end import EndedBy, MachineEnd
from accel_scaling.quarantine.machine import Step, ended_before_joined
from tests.support.quarantine import B
from tests.support.watched_cloud import LIES, START, Cluster, fails

KMS = MachineEnd(EndedBy.CLOUD, "Client.InternalError", "Client error on launch")
SPOT = MachineEnd(EndedBy.INTERRUPTION, "Server.SpotInstanceTermination", "Spot instance termination")
USER = MachineEnd(EndedBy.USER, "Client.UserInitiatedShutdown", "User initiated shutdown")
GONE = MachineEnd(EndedBy.UNKNOWN, "Gone", "EC2 does not know it any more")


@pytest.mark.parametrize("end", [SPOT, USER])
@pytest.mark.parametrize("code", [255, 143])
def test_a_machine_that_spot_or_the_user_ends_during_its_set_up_is_no_strike(
    end: MachineEnd, code: int, cluster: Cluster
) -> None:
    (node,) = cluster.launch()
    cluster.provider.script.answers["pip"] = fails(code)
    if cluster.version == "v2":
        cluster.install(node)
    cluster.provider.machines[node].end = end  # between two tries, or during v1's one
    cluster.boot(node)
    cluster.provider.machines[node].state = "terminated"
    cluster.round()
    assert cluster.strikes() == {}


def test_a_machine_that_is_interrupted_at_the_moment_of_its_failure_is_no_strike(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    cluster.provider.script.answers["pip"] = fails(143)
    cluster.provider.machines[node].end = SPOT
    cluster.boot(node)
    assert cluster.strikes() == {}
    record = cluster.gate.machines.get(node)
    assert record
    assert "Server.SpotInstanceTermination" in record.end_reason


def test_a_machine_that_the_cloud_ends_right_after_its_launch_is_said_in_the_next_round_and_counted(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        (node,) = cluster.launch()
        cluster.provider.machines[node].state, cluster.provider.machines[node].end = "terminated", KMS
        cluster.round()
    assert cluster.reasons() == ["Client.InternalError"]
    assert "Client.InternalError: Client error on launch" in caplog.text
    assert cluster.most() == 0


@pytest.mark.parametrize("end", [SPOT, USER])
def test_a_machine_that_spot_or_the_user_ends_before_it_joins_is_no_strike(end: MachineEnd, cluster: Cluster) -> None:
    for _ in range(4):
        (node,) = cluster.launch()
        cluster.provider.machines[node].state, cluster.provider.machines[node].end = "terminated", end
        cluster.round()
    assert cluster.strikes() == {}
    assert cluster.most() == 4
    assert len(ended_before_joined(cluster.gate.machines.all())) == 4, "`status` shows them"


def test_a_machine_that_the_cloud_had_no_room_for_after_all_is_sold_out(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    end = MachineEnd(EndedBy.CLOUD, "Server.InsufficientInstanceCapacity", "none", sold_out=True)
    cluster.provider.machines[node].state, cluster.provider.machines[node].end = "terminated", end
    cluster.round()
    assert cluster.strikes() == {}
    assert cluster.reasons() == ["Server.InsufficientInstanceCapacity"]


def test_a_machine_that_its_cloud_does_not_know_yet_is_waited_for_and_one_that_it_knows_no_more_is_a_strike(
    cluster: Cluster,
) -> None:
    (node,) = cluster.launch()
    cluster.provider.machines[node].state, cluster.provider.machines[node].end = "pending", GONE
    cluster.round()
    assert cluster.strikes() == {}
    cluster.round(60)
    assert cluster.strikes() == {node: "Gone"}


def test_what_the_autoscaler_ends_without_a_known_failure_is_no_strike_and_may_be_stopped(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    cluster.round()
    cluster.provider.terminate_nodes([node])
    assert cluster.state(node) == "stopped"
    cluster.round()
    assert cluster.strikes() == {}


def test_a_machine_that_fails_while_the_clouds_api_fails_is_counted_once_and_ended_when_it_answers(
    cluster: Cluster,
) -> None:
    cluster.provider.script.verdict = LIES
    (node,) = cluster.launch()
    cluster.listed()
    cluster.provider.api_error = RuntimeError("RequestLimitExceeded")
    with pytest.raises(Exception, match="DriverMissing"):
        cluster.provider.get_command_runner("", node).run(START)
    assert cluster.strikes() == {node: "DriverMissing"}
    assert cluster.state(node) == "running"
    cluster.restart()  # even so
    cluster.round()
    assert cluster.state(node) == "terminated"
    cluster.round()
    assert cluster.reasons() == ["DriverMissing"]
    record = cluster.gate.machines.get(node)
    assert record
    assert record.ended


def test_a_stopped_machine_that_is_started_again_begins_a_new_record(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    cluster.boot(node)
    cluster.join(node)
    cluster.round()
    cluster.provider.terminate_nodes([node])  # idle
    cluster.provider.joined.clear()
    cluster.round()
    cluster.head.now_s += 60
    cluster.provider.machines[node].state = "running"
    with cluster.gate.launching("p4d", 1):
        cluster.gate.launched("p4d", B, [node])
    record = cluster.gate.machines.get(node)
    assert record
    assert [moment.step for moment in record.steps] == [Step.ASKED, Step.LAUNCHED]
    cluster.provider.script.answers["pip"] = fails(1)
    cluster.provider.machines[node].tags.pop("ray-runtime-config", None)
    assert not cluster.boot(node)
    assert cluster.strikes() == {node: "SetUpFailed"}


def test_a_provider_that_lists_again_to_say_where_a_machine_was_makes_no_round_within_the_round(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = 0

    def zone_of(_: str) -> str:  # as Ray's EC2 provider does for a machine that it does not know
        nonlocal listings
        listings += 1
        cluster.listed()
        return ""

    monkeypatch.setattr(cluster.provider, "zone_of", zone_of)
    (node,) = cluster.launch(zone="")
    cluster.provider.machines[node].state, cluster.provider.machines[node].end = "terminated", KMS
    cluster.round()
    assert listings == 1
    assert cluster.strikes() == {node: "Client.InternalError"}


def test_a_restart_of_the_autoscaler_forgets_no_machine(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    cluster.restart()
    cluster.provider.machines[node].state, cluster.provider.machines[node].end = "terminated", KMS
    cluster.round()
    assert cluster.strikes() == {node: "Client.InternalError"}
