"""The GCP provider's TPU slices, against a local Cloud TPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import click
import pytest
from ray.autoscaler.node_launch_exception import NodeLaunchException

from accel_scaling import _ray, timeouts
from accel_scaling.boot.admission import CONFIRM_ONLY
from tests.support.gcp_provider import CLUSTER, ZONES, Google, google, ours, tags, wait_until


@pytest.fixture
def gce(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    monkeypatch.setattr(timeouts, "GCP_OPERATION_POLL_S", 0.05)
    with google() as at:
        yield at


def test_slices_come_at_once_and_are_known_by_their_full_names(gce: Google) -> None:
    provider, configs = ours(gce, slices=True)
    gce.injection.operation_latency_s["tpu"] = 2.0
    began = time.monotonic()
    made = provider.create_node(configs["v4"], tags("v4"), 4)
    assert time.monotonic() - began < 7.5, "one after another they take 8 s and more"
    gce.injection.operation_latency_s["tpu"] = 0
    assert set(made) == set(gce.slices()) == set(provider.non_terminated_nodes({}))
    one = gce.slices()[min(made)]
    assert one["networkConfig"]["enableExternalIps"] is True
    assert one["labels"].items() >= {**tags("v4"), "ray-cluster-name": CLUSTER}.items()
    assert provider.is_running(min(made))
    assert provider.internal_ip(min(made))


def test_a_zone_without_a_slice_is_followed_by_the_next_and_leaves_nothing(gce: Google) -> None:
    provider, configs = ours(gce, slices=True, availability_zone=",".join(ZONES))
    gce.injection.dry_zones = {ZONES[0]: ["*"]}
    made = provider.create_node(configs["v4"], tags("v4"), 2)
    assert all(f"/locations/{ZONES[1]}/" in node_id for node_id in made)
    assert set(made) == set(gce.slices())
    gce.injection.dry_zones = {"*": ["*"]}
    with pytest.raises(NodeLaunchException, match="no more capacity") as error:
        provider.create_node(configs["v4"], tags("v4"), 2)
    assert error.value.category == "capacity"
    assert set(made) == set(gce.slices())


def test_a_slice_that_comes_though_its_creation_is_not_answered_is_not_made_twice(
    gce: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "GCP_RETRY_WAITS_S", (0.01,))
    provider, configs = ours(gce, slices=True)
    for times in (1, 99):
        gce.fault("tpu.projects.locations.nodes.create", kind="broken_connection", times=times)
        (node_id,) = provider.create_node(configs["v4"], tags("v4"), 1)
        gce.injection.call_faults.clear()
        assert set(gce.slices()) == {node_id}
        provider.terminate_node(node_id)
        wait_until("its end", lambda: not gce.slices())


def test_tags_of_a_slice_are_written_and_a_busy_slice_is_waited_for(gce: Google) -> None:
    provider, configs = ours(gce, slices=True)
    (node_id,) = provider.create_node(configs["v4"], tags("v4"), 1)
    gce.fault("tpu.projects.locations.nodes.patch", status=409, reason="aborted", message="unable to queue", times=2)
    provider.set_node_tags(node_id, {"ray-node-status": "up-to-date"})
    assert provider.node_tags(node_id)["ray-node-status"] == "up-to-date"
    assert provider.flush_tags() == []
    labels = gce.slices()[node_id]["labels"]
    assert labels["ray-node-status"] == "up-to-date"
    assert labels["ray-cluster-name"] == CLUSTER, "what was there stays"


def test_tags_that_another_process_undoes_are_written_again(gce: Google) -> None:
    provider, configs = ours(gce, slices=True)
    (node_id,) = provider.create_node(configs["v4"], tags("v4"), 1)
    tpu = provider._resource("tpu")
    wait, undone = tpu._wait, [{"labels": {**gce.slices()[node_id]["labels"], "theirs": "x"}}]

    def undo(operation: dict[str, Any]) -> None:
        wait(operation)
        if undone:  # this API has no fingerprint: whoever has read before writes all labels back
            wait(tpu._nodes.patch(name=node_id, updateMask="labels", body=undone.pop()).execute())

    tpu._wait = undo
    provider.set_node_tags(node_id, {"ray-node-status": "up-to-date"})
    assert provider.flush_tags() == []
    assert gce.slices()[node_id]["labels"].items() >= {"ray-node-status": "up-to-date", "theirs": "x"}.items()


def test_deletes_of_slices_and_machines_are_made_together(gce: Google) -> None:
    provider, configs = ours(gce, slices=True)
    made = [*provider.create_node(configs["v4"], tags("v4"), 2), *provider.create_node(configs["cpu"], tags(), 2)]
    assert set(provider.non_terminated_nodes({})) == set(made)
    provider.terminate_nodes([*made, made[0].replace("ray-mine", "ray-gone")])
    provider.terminate_nodes(made)
    wait_until("their end", lambda: not gce.slices() and not gce.machines())


def test_a_slice_of_several_hosts_is_deleted_where_machines_are_stopped(gce: Google) -> None:
    provider, configs = ours(gce, slices=True, cache_stopped_nodes=True)
    (several,) = provider.create_node(configs["v4"], tags("v4"), 1)
    (single,) = provider.create_node({**configs["v4"], "acceleratorType": "v4-8"}, tags("v4"), 1)
    provider.terminate_nodes([several, single])
    wait_until("their end", lambda: [one["state"] for one in gce.slices().values()] == ["STOPPED"])
    assert provider.non_terminated_nodes({}) == []
    assert list(provider.create_node({**configs["v4"], "acceleratorType": "v4-8"}, tags("v4"), 1)) == [single]


def test_commands_reach_every_host_of_a_slice_and_are_watched(gce: Google) -> None:
    provider, configs = ours(gce, slices=True)
    (slice_,) = provider.create_node(configs["v4"], tags("v4"), 1)
    (machine,) = provider.create_node(configs["cpu"], tags(), 1)
    kinds: dict[str, Any] = {}
    for node_id in (slice_, machine):
        auth = {"ssh_user": "ubuntu", "ssh_private_key": "/dev/null"}
        runner = provider.get_command_runner("", node_id, auth, CLUSTER, None, False)
        kinds[node_id] = (type(runner).__name__, type(runner._runner).__name__)
    assert kinds[slice_] == ("RefusingCommandRunner", "TPUCommandRunner")
    assert kinds[machine] == ("RefusingCommandRunner", "SSHCommandRunner")


class Host:
    """One host of a slice, which notes when it is started, and whether only to be confirmed."""

    def __init__(self, number: int, told: list[str], fails: str = "") -> None:
        self.number, self.told, self.fails = number, told, fails

    def run(self, cmd: str, **_: Any) -> bytes:
        if cmd.startswith("cat "):
            return b'{"verdict": "DriverMissing", "message": "no driver"}' if self.fails else b'{"joins": true}'
        what = "confirmed" if CONFIRM_ONLY in cmd else "started"
        self.told.append(f"{self.number} {what}")
        if self.fails == what:
            raise click.ClickException("SSH command failed.")
        return b"out of " + str(self.number).encode()


def start_of(own: Any, slice_: str, hosts: list[Host]) -> Any:
    """Start Ray on a slice whose hosts answer here, behind Ray's own runner of slices."""
    from accel_scaling.boot.start_prefix import with_boot_check

    auth = {"ssh_user": "ubuntu", "ssh_private_key": "/dev/null"}
    runner = own.get_command_runner("", slice_, auth, CLUSTER, None, False)
    runner._runner._command_runners, runner._runner._num_workers = hosts, len(hosts)
    return runner.run(with_boot_check("ray start --address=x"), environment_variables={"RAY_OVERRIDE_RESOURCES": {}})


def test_no_host_joins_before_all_are_confirmed_and_none_before_a_round_has_seen_host_0(
    gce: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, configs = ours(gce, slices=True)
    (slice_,) = provider.create_node(configs["v4"], tags("v4"), 1)
    told: list[str] = []
    joined: list[set[str]] = [{"1"}, set(), {"0"}]  # what is left of an earlier try, and then host 0

    def tpu_workers_joined(node_id: str) -> set[str]:
        assert node_id == slice_
        seen = joined.pop(0)
        told.append(f"joined {sorted(seen)}")
        return seen

    def wait(rounds: int, timeout_s: float) -> bool:
        told.append(f"{rounds} rounds")
        return True

    monkeypatch.setattr(timeouts, "GCP_SLICE_POLL_S", 0.01)
    monkeypatch.setattr(_ray, "tpu_workers_joined", tpu_workers_joined)
    monkeypatch.setattr(provider._rounds, "wait", wait)
    assert start_of(provider, slice_, [Host(number, told) for number in range(3)]) == b"out of 0"
    assert sorted(told[:3]) == ["0 confirmed", "1 confirmed", "2 confirmed"]
    assert told[3:8] == ["0 started", "joined ['1']", "joined []", "joined ['0']", "2 rounds"]
    assert sorted(told[8:]) == ["1 started", "2 started"]


def test_a_command_beside_the_one_that_starts_ray_runs_once_on_each_host(gce: Google) -> None:
    """`sudo sysctl ...` may be a script that starts Ray, for all that its text says; no host comes to its check."""
    provider, configs = ours(gce, slices=True)
    (slice_,) = provider.create_node(configs["v4"], tags("v4"), 1)
    told: list[str] = []

    class NotChecked(Host):
        def run(self, cmd: str, **keys: Any) -> bytes:
            return b"" if cmd.startswith("cat ") else super().run(cmd, **keys)

    start_of(provider, slice_, [NotChecked(number, told) for number in range(2)])
    assert sorted(told) == ["0 confirmed", "1 confirmed"]


def test_a_host_with_other_devices_keeps_all_hosts_of_its_slice_out(gce: Google) -> None:
    provider, configs = ours(gce, slices=True)
    (slice_,) = provider.create_node(configs["v4"], tags("v4"), 1)
    told: list[str] = []
    with pytest.raises(click.ClickException, match="host 1 of 2: DriverMissing"):
        start_of(provider, slice_, [Host(0, told), Host(1, told, fails="confirmed")])
    assert sorted(told) == ["0 confirmed", "1 confirmed"]


def test_hosts_stay_out_where_host_0_does_not_join(gce: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    provider, configs = ours(gce, slices=True)
    (slice_,) = provider.create_node(configs["v4"], tags("v4"), 1)
    told: list[str] = []
    monkeypatch.setattr(timeouts, "GCP_SLICE_HOST_ZERO_S", 0.01)
    monkeypatch.setattr(_ray, "tpu_workers_joined", lambda _: {"1"})
    with pytest.raises(click.ClickException, match=f"host 0 of {slice_} did not join within") as error:
        start_of(provider, slice_, [Host(0, told), Host(1, told)])
    assert {"cmd", "returncode", "stderr"} <= set(vars(error.value)), "Ray's updater prints a traceback otherwise"
    assert "1 started" not in told


def test_a_listing_of_all_nodes_is_a_round(gce: Google) -> None:
    provider, _ = ours(gce)
    waits = threading.Thread(target=lambda: done.append(provider._rounds.wait(2, 20)))
    done: list[bool] = []
    waits.start()
    while waits.is_alive():
        provider.non_terminated_nodes({"ray-node-type": "worker"})
        assert not done
        provider.non_terminated_nodes({})
        waits.join(0.01)
    assert done == [True]
    assert provider._rounds.wait(1, 0.01) is False


class FailingHost:
    """One host of a slice whose start command fails, with its verdict."""

    def __init__(self, verdict: str) -> None:
        self.verdict = verdict

    def run(self, cmd: str, **_: Any) -> bytes:
        if cmd.startswith("cat "):
            return self.verdict.encode()
        raise click.ClickException("SSH command failed.")


def test_the_host_of_a_slice_that_refuses_is_named_and_the_slice_refused_once(gce: Google) -> None:
    from accel_scaling.boot.start_prefix import with_boot_check

    provider, configs = ours(gce, slices=True)
    (slice_,) = provider.create_node(configs["v4"], tags("v4"), 1)
    auth = {"ssh_user": "ubuntu", "ssh_private_key": "/dev/null"}
    runner = provider.get_command_runner("", slice_, auth, CLUSTER, None, False)
    # Ray's own runner of a slice, over two hosts that answer here.
    lying = '{"verdict": "DriverMissing", "message": "no driver"}'
    runner._runner._command_runners = [FailingHost('{"verdict": "Confirmed", "joins": true}'), FailingHost(lying)]
    with pytest.raises(click.ClickException, match="host 1 of 2: DriverMissing: no driver"):
        runner.run(with_boot_check("ray start --address=x"))
    wait_until("the slice's end", lambda: not gce.slices())
