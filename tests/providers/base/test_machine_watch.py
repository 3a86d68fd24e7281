"""From a machine's start of Ray to its joining: verdicts, starts that fail, nodes that do not join; under v2 and v1."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from accel_scaling import _ray
from accel_scaling.boot.start_prefix import with_boot_check
from accel_scaling.quarantine.machine import Step
from tests.support.watched_cloud import CONFIRMED, LIES, START, Cluster, fails


@pytest.mark.parametrize(
    ("code", "last_line"),
    [
        (124, "RuntimeError: Failed to connect to GCS"),
        (1, "RuntimeError: Version mismatch: The cluster was started with: Ray: 2.59.0 Python: 3.12.3"),
        (1, "OSError: [Errno 98] Address already in use"),
        (1, "OSError: [Errno 28] No space left on device"),
        (1, "ValueError: Attempting to start raylet with 4 GPU, but CUDA_VISIBLE_DEVICES contains ['0', '1']."),
        (137, "Killed"),
    ],
)
def test_a_start_that_fails_after_it_was_confirmed_is_a_strike(cluster: Cluster, code: int, last_line: str) -> None:
    cluster.provider.script.answers["ray start"] = fails(code, last_line)
    for _ in range(2):
        (node,) = cluster.launch()
        assert not cluster.boot(node)
        assert cluster.state(node) == "terminated"
    assert cluster.reasons() == ["StartFailed"]
    (quarantine,) = cluster.gate._store.read().record("p4d").quarantines
    assert quarantine.message == (
        f"it was confirmed, and `ray stop; ray start --address=x` ended with {code}: {last_line}"
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


def test_who_joined_is_asked_only_while_a_user_has_not(cluster: Cluster) -> None:
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


def test_a_machine_that_is_kept_for_inspection_is_counted_and_not_ended(make: Callable[..., Cluster]) -> None:
    cluster = make(confirmation={"keep_for_inspection": True})
    cluster.provider.script.verdict = LIES
    (node,) = cluster.launch()
    cluster.boot(node)
    cluster.round()
    assert cluster.state(node) == "running"
    assert cluster.listed() == []
    assert cluster.strikes() == {node: "DriverMissing"}


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


@pytest.mark.parametrize("policy", ["report", "skip"])
def test_a_single_node_type_has_a_policy_of_its_own(policy: str, make: Callable[..., Cluster]) -> None:
    cluster = make(confirmation={"node_types": {"odd": policy}})
    word = "NotChecked" if policy == "skip" else "Unhealthy"
    cluster.provider.script.verdict = json.dumps({"verdict": word, "message": "", "joins": True})
    (odd,), (other,) = cluster.launch("odd"), cluster.launch("p4d")
    assert cluster.boot(odd)
    assert any(f"ACCEL_SCALING_ON_MISMATCH={policy}" in command for command in cluster.provider.script.commands)
    cluster.join(odd, word)
    cluster.provider.script.commands.clear()
    cluster.provider.script.verdict = LIES
    cluster.boot(other)
    assert not any("ON_MISMATCH" in command for command in cluster.provider.script.commands)
    cluster.round()
    assert (cluster.state(odd), cluster.state(other)) == ("running", "terminated")
    assert cluster.strikes() == {other: "DriverMissing"}
    # Even where the check was never run on it.
    cluster.provider.script.verdict = ""
    (silent,) = cluster.launch("odd")
    cluster.boot(silent)
    cluster.join(silent, None)
    cluster.round()
    assert cluster.state(silent) == "running"
    assert cluster.strikes() == {other: "DriverMissing"}
