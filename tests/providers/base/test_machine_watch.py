"""Each way in which a machine can fail before it joins: what is logged, ended and counted; under v2 and v1."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from accel_scaling import _ray
from accel_scaling.boot.start_prefix import with_boot_check
from accel_scaling.providers.base.machine_end import EndedBy, MachineEnd
from accel_scaling.quarantine.machine import Step, ended_before_joined
from tests.support.quarantine import B
from tests.support.watched_cloud import CONFIRMED, LIES, START, Cluster, fails

KMS = MachineEnd(EndedBy.CLOUD, "Client.InternalError", "Client error on launch")
SPOT = MachineEnd(EndedBy.INTERRUPTION, "Server.SpotInstanceTermination", "Spot instance termination")
USER = MachineEnd(EndedBy.USER, "Client.UserInitiatedShutdown", "User initiated shutdown")
GONE = MachineEnd(EndedBy.UNKNOWN, "Gone", "EC2 does not know it any more")


def test_a_set_up_command_that_fails_ends_the_machine_for_good_and_is_a_strike_with_its_last_line(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.provider.script.answers["pip install"] = fails(1, "Collecting torch\r\nERROR: no space left\r\n")
    for _ in range(2):
        (node,) = cluster.launch()
        assert not cluster.boot(node)
        assert cluster.state(node) == "terminated", "not stopped, to be started again"
    assert cluster.reasons() == ["SetUpFailed"], "quarantined"
    assert "SetUpFailed: `pip install torch` ended with 1: ERROR: no space left" in caplog.text
    assert cluster.most() == 0
    assert set(cluster.strikes().values()) == {"SetUpFailed"}


def test_what_v2_sets_up_at_its_second_try_is_no_strike(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    if cluster.version == "v1":
        pytest.skip("v1 tries once")
    (node,) = cluster.launch()
    cluster.provider.script.answers["pip"] = fails(100, "E: Could not get lock /var/lib/dpkg/lock-frontend")
    assert not cluster.install(node)
    assert "Could not get lock /var/lib/dpkg/lock-frontend; Ray tries again" in caplog.text
    cluster.provider.script.answers.clear()
    assert cluster.install(node)
    cluster.join(node)
    cluster.round()
    assert cluster.reasons() == ["Confirmed"]
    assert cluster.state(node) == "running"


@pytest.mark.parametrize("what", ["rsync", "container", "mkdir"])
def test_files_or_a_container_that_fail_are_a_failed_set_up_too(what: str, cluster: Cluster) -> None:
    (node,) = cluster.launch()
    cluster.provider.script.answers[what] = fails(1, "no")
    runner = cluster.provider.get_command_runner("", node)
    cluster.provider.set_node_tags(node, {"ray-node-status": "waiting-for-ssh"})
    runner.run("uptime")
    for number in range(3 if cluster.version == "v2" else 1):
        if number:
            cluster.provider.set_node_tags(node, {"ray-node-status": "waiting-for-ssh"})
        with pytest.raises(Exception, match="SSH command failed"):
            {
                "rsync": lambda: runner.run_rsync_up("a", "~/b", options={}),
                "container": lambda: runner.run_init(as_head=False, file_mounts={}, sync_run_yet=True),
                "mkdir": lambda: runner.run("mkdir -p ~/b", run_env="host"),
            }[what]()
        cluster.provider.set_node_tags(node, {"ray-node-status": "update-failed"})
    assert cluster.reasons() == ["SetUpFailed"]
    assert cluster.state(node) == "terminated"


def test_ssh_that_never_answers_is_a_strike(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.autoscaler._private.updater.AUTOSCALER_NODE_START_WAIT_S", -1)
    (node,) = cluster.launch()
    with pytest.raises(Exception, match="wait_ready timeout"):
        cluster.install(node)
    assert cluster.reasons() == ["Unreachable"]
    assert cluster.state(node) == "terminated"


def test_a_connection_that_breaks_until_the_autoscaler_gives_up_is_a_strike(cluster: Cluster) -> None:
    cluster.provider.script.answers["pip"] = fails(255, "kex_exchange_identification: Connection reset")
    (node,) = cluster.launch()
    assert not cluster.boot(node)
    assert cluster.reasons() == ["Unreachable"]


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


def test_a_start_that_fails_after_it_was_confirmed_is_a_strike(cluster: Cluster) -> None:
    cluster.provider.script.answers["ray start"] = fails(124, "RuntimeError: Failed to connect to GCS")
    for _ in range(2):
        (node,) = cluster.launch()
        assert not cluster.boot(node)
        assert cluster.state(node) == "terminated"
    assert cluster.reasons() == ["StartFailed"]
    (quarantine,) = cluster.gate._store.read().record("p4d").quarantines
    assert quarantine.message == (
        "it was confirmed, and `ray stop; ray start --address=x` ended with 124: RuntimeError: Failed to connect to GCS"
    )


def test_a_node_that_does_not_join_after_its_start_is_a_strike(cluster: Cluster) -> None:
    for _ in range(2):
        (node,) = cluster.launch()
        assert cluster.boot(node)
        cluster.round()
        cluster.round(100)
        assert cluster.state(node) == "running"
        cluster.round(25)
        assert cluster.state(node) == "terminated"
    assert cluster.reasons() == ["StartFailed"]
    assert cluster.most() == 0
    cluster.round(301)
    (node,) = cluster.launch()  # on trial: confirmed is not enough
    assert cluster.boot(node)
    cluster.round()
    assert cluster.most() == 1, "no further one before it has joined"
    cluster.round(121)
    (quarantine,) = cluster.gate._store.read().record("p4d").quarantines
    assert quarantine.times == 2


def test_a_node_on_trial_that_joins_opens_its_type(cluster: Cluster) -> None:
    cluster.provider.script.verdict = LIES
    for _ in range(2):
        cluster.boot(*cluster.launch())
    cluster.provider.script.verdict = CONFIRMED
    cluster.round(301)
    (node,) = cluster.launch()
    cluster.round()
    assert cluster.boot(node)
    assert cluster.most() == 1
    cluster.join(node)
    cluster.round()
    assert cluster.most() == 4
    assert cluster.reasons() == ["Confirmed"]


def test_a_refusal_counts_whatever_the_exit_code_of_the_start_says(cluster: Cluster) -> None:
    cluster.provider.script.verdict = LIES  # and `ray start ... | tee`, `|| true`, `; echo started` end with 0
    for _ in range(2):
        (node,) = cluster.launch()
        cluster.boot(node)
        assert cluster.state(node) == "terminated"
    assert cluster.reasons() == ["DriverMissing"]


@pytest.mark.parametrize("on_mismatch", ["refuse", "join"])
def test_a_start_that_leaves_no_verdict_is_treated_by_the_policy(
    on_mismatch: str, make: Callable[..., Cluster], caplog: pytest.LogCaptureFixture
) -> None:
    cluster = make(confirmation={"on_mismatch": on_mismatch})
    cluster.provider.script.verdict = ""
    (node,) = cluster.launch()
    cluster.boot(node)
    assert cluster.state(node) == ("terminated" if on_mismatch == "refuse" else "running")
    assert cluster.reasons() == ["NoVerdict"]
    assert caplog.text.count("left no verdict") == 1


def test_of_several_start_commands_the_one_with_the_verdict_counts(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    runner = cluster.provider.get_command_runner("", node)
    cluster.provider.set_node_tags(node, {"ray-node-status": "waiting-for-ssh"})
    cluster.provider.script.verdict = ""
    runner.run(START.replace("ray start", "ulimit -n 65536; ray stop"))
    cluster.provider.script.verdict = '{"verdict": "Confirmed", "message": "fine", "joins": true}'
    runner.run(START)
    cluster.provider.script.verdict = ""  # the next command's check has removed it
    runner.run(with_boot_check("echo ray start is done"))
    cluster.provider.set_node_tags(node, {"ray-node-status": "up-to-date"})
    assert cluster.reasons() == ["Confirmed"]
    assert cluster.state(node) == "running"


@pytest.mark.parametrize("on_mismatch", ["refuse", "join"])
def test_a_node_that_joined_without_a_verdict_is_found_and_treated_by_the_policy(
    on_mismatch: str, make: Callable[..., Cluster], caplog: pytest.LogCaptureFixture
) -> None:
    cluster = make(confirmation={"on_mismatch": on_mismatch})
    (node,) = cluster.launch()
    assert cluster.boot(node, start="$RAY start --address=x"), "no boot check in sight"
    cluster.join(node, None)
    cluster.round()
    cluster.round()
    assert cluster.state(node) == ("terminated" if on_mismatch == "refuse" else "running")
    assert cluster.reasons() == ["NoVerdict"]
    assert caplog.text.count("its boot check never ran") == 1


def test_a_node_that_a_person_started_by_hand_is_left(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    cluster.boot(node)
    cluster.join(node)
    cluster.provider.joined.append(_ray.JoinedNode("", "192.168.0.7", {}, alive=True))
    assert cluster.round() == [node]
    assert cluster.strikes() == {}


def test_who_joined_is_asked_only_while_somebody_has_not(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    cluster.boot(node)
    cluster.round()
    cluster.join(node)
    cluster.round()
    asked = cluster.provider.questions
    for _ in range(20):
        cluster.round()
    assert cluster.provider.questions == asked
    record = cluster.gate.machines.get(node)
    assert record
    assert [moment.step for moment in record.steps] == [
        Step.ASKED,
        Step.LAUNCHED,
        Step.REACHABLE,
        Step.SET_UP,
        Step.CHECKED,
        Step.JOINED,
    ]


def test_the_labels_of_a_node_tell_its_verdict_where_its_file_could_not_be_read(cluster: Cluster) -> None:
    cluster.provider.script.verdict = fails(255)  # type: ignore[assignment]
    (node,) = cluster.launch()
    assert cluster.boot(node)
    assert cluster.reasons() == []
    cluster.join(node)
    cluster.round()
    assert cluster.reasons() == ["Confirmed"]


def test_what_the_autoscaler_ends_without_a_known_failure_is_no_strike_and_may_be_stopped(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    cluster.round()
    cluster.provider.terminate_nodes([node])
    assert cluster.state(node) == "stopped"
    cluster.round()
    assert cluster.strikes() == {}


def test_a_set_up_that_does_not_end_is_a_strike_where_v2_gives_it_up(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    cluster.provider.set_node_tags(node, {"ray-node-status": "waiting-for-ssh"})
    cluster.provider.get_command_runner("", node).run("uptime")
    cluster.round(1801)
    cluster.provider.terminate_nodes([node])
    assert cluster.strikes() == ({node: "SetUpFailed"} if cluster.version == "v2" else {})


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


def test_a_failure_on_a_machine_that_had_joined_is_no_boot(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    cluster.boot(node)
    cluster.join(node)
    cluster.round()
    cluster.provider.script.answers["pip"] = fails(1)
    cluster.provider.machines[node].tags.pop("ray-runtime-config")
    assert not cluster.install(node)
    assert cluster.strikes() == {}
    assert cluster.state(node) == "running", "Ray decides"


def test_a_machine_that_is_kept_for_inspection_is_counted_and_not_ended(make: Callable[..., Cluster]) -> None:
    cluster = make(confirmation={"keep_for_inspection": True})
    cluster.provider.script.verdict = LIES
    (node,) = cluster.launch()
    cluster.boot(node)
    cluster.round()
    assert cluster.state(node) == "running"
    assert cluster.listed() == []
    assert cluster.strikes() == {node: "DriverMissing"}


def test_a_provider_that_lists_anew_to_say_where_a_machine_was_makes_no_round_within_the_round(
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


def test_a_slice_has_joined_when_all_of_its_hosts_have(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = ["10.1.0.0", "10.1.0.1"]
    monkeypatch.setattr(cluster.provider, "addresses_of", lambda _: hosts)
    for complete in (True, False):
        (node,) = cluster.launch()
        assert cluster.boot(node)
        cluster.provider.joined = []
        for address in hosts[: 2 if complete else 1]:
            name = node if cluster.version == "v2" else ""
            labels = {"accel-scaling.io/verdict": "Confirmed"}
            cluster.provider.joined.append(_ray.JoinedNode(name, address, labels, alive=True))
            cluster.round()
        cluster.round(121)
        assert cluster.state(node) == ("running" if complete else "terminated")
        cluster.provider.terminate_nodes([node])
    assert list(cluster.strikes().values()) == ["StartFailed"]


def test_a_restart_of_the_autoscaler_forgets_no_machine(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    cluster.restart()
    cluster.provider.machines[node].state, cluster.provider.machines[node].end = "terminated", KMS
    cluster.round()
    assert cluster.strikes() == {node: "Client.InternalError"}


def test_over_ten_minutes_each_kind_of_failure_is_launched_at_most_four_times(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    kinds = {
        "set-up": {"pip": fails(1)},
        "start": {"ray start": fails(124)},
        "connection": {"pip": fails(255)},
    }
    for number, answers in enumerate(kinds.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        one = Cluster(folder, cluster.version)
        one.provider.script.answers |= answers
        launches = 0
        for _ in range(120):
            one.round()
            if one.most() > 0 and not one.listed():
                (node,) = one.launch()
                launches += 1
                one.boot(node)
        assert 2 <= launches <= 4
