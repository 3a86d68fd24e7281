"""A machine whose set-up fails, or that ssh does not reach: what is logged, ended and counted; under v2 and v1."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.support.watched_cloud import Cluster, fails


def test_a_set_up_command_that_fails_ends_the_machine_permanently_and_is_a_strike_with_its_last_line(
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


def test_a_set_up_that_does_not_end_is_a_strike_where_v2_gives_it_up(cluster: Cluster) -> None:
    (node,) = cluster.launch()
    cluster.provider.set_node_tags(node, {"ray-node-status": "waiting-for-ssh"})
    cluster.provider.get_command_runner("", node).run("uptime")
    cluster.round(1801)
    cluster.provider.terminate_nodes([node])
    assert cluster.strikes() == ({node: "SetUpFailed"} if cluster.version == "v2" else {})


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
