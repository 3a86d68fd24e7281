"""Why a machine of Google's or a slice ended, and what the provider makes of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from accel_scaling import _ray, timeouts
from accel_scaling.providers.base.machine_end import EndedBy
from accel_scaling.quarantine.gate import Gate
from tests.providers.gcp.test_slices import Host, start_of
from tests.support.gcp_provider import Google, google, ours, tags, wait_until


@pytest.fixture
def gce() -> Iterator[Google]:
    with google() as at:
        yield at


class Head:
    """The provider in the autoscaler of a head."""

    def __init__(self, at: Google, folder: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
        self.provider, self.configs = ours(at, slices=True, **how)
        monkeypatch.setattr(sys, "argv", ["/ray/autoscaler/v2/monitor.py"])
        self.path = folder / "ray_bootstrap_config.yaml"
        types = {name: {"max_workers": 4, "node_config": {}} for name in self.configs}
        self.path.write_text(yaml.safe_dump({"max_workers": 9, "provider": {}, "available_node_types": types}))
        self.now_s = 1_000_000.0
        self.provider.gate = Gate({}, self.path, folder / "state" / "quarantine.json", lambda: self.now_s)
        self.provider.joined_nodes = list

    def most(self, node_type: str) -> int:
        return int(yaml.safe_load(self.path.read_text())["available_node_types"][node_type]["max_workers"])

    def launch(self, node_type: str) -> str:
        (node,) = self.provider.create_node(self.configs[node_type], tags(node_type), 1)
        return str(node)

    def round(self) -> list[str]:
        self.now_s += 5
        nodes: list[str] = self.provider.non_terminated_nodes({})
        return nodes

    def strikes(self) -> dict[str, str]:
        return dict(self.provider.gate._store.read().judged)

    def end_of(self, node_id: str) -> Any:
        return self.provider.ends_of([node_id]).get(node_id)


@pytest.fixture(name="head")
def head_fixture(gce: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Head:
    return Head(gce, tmp_path, monkeypatch)


@pytest.mark.parametrize("event", ["guestTerminate", "hostError", "terminateOnHostMaintenance"])
def test_a_machine_that_google_or_it_itself_stops_is_a_strike_and_is_deleted(
    event: str, head: Head, gce: Google, caplog: pytest.LogCaptureFixture
) -> None:
    launches = 0
    for _ in range(10):
        if head.most("cpu"):
            gce.engine.end_by_google(head.launch("cpu"), event)
            launches += 1
        head.round()
    assert launches == 2
    assert set(head.strikes().values()) == {f"compute.instances.{event}"}
    assert f"of type cpu failed: compute.instances.{event}" in caplog.text
    wait_until("their end", lambda: not gce.machines())


def test_a_spot_machine_that_google_takes_back_is_no_strike(head: Head, gce: Google) -> None:
    for _ in range(3):
        node = head.launch("l4")
        gce.engine.preempt(node)
        assert head.end_of(node).by is EndedBy.INTERRUPTION
        head.round()
    assert head.strikes() == {}
    assert head.most("l4") == 4


def test_a_machine_that_a_person_deletes_or_stops_is_no_strike(head: Head, gce: Google) -> None:
    for method in ("delete", "stop"):
        node = head.launch("cpu")
        head.round()
        compute = head.provider._get_resource_depending_on_node_name(node)
        getattr(compute, method)(node)
        wait_until("its end", lambda node=node: head.end_of(node) is not None)
        end = head.end_of(node)
        assert (end.by, end.code) == (EndedBy.USER, method)
        head.round()
    assert head.strikes() == {}


def test_without_the_permission_to_list_operations_a_deleted_machine_is_treated_as_the_users(
    head: Head, gce: Google
) -> None:
    node = head.launch("cpu")
    head.round()
    gce.fault("compute.zoneOperations.list", times=99, status=403, reason="forbidden")
    head.provider._get_resource_depending_on_node_name(node).delete(node)
    wait_until("its end", lambda: not gce.machines())
    assert head.end_of(node).by is EndedBy.USER


def test_a_machine_that_runs_has_not_ended(head: Head) -> None:
    node = head.launch("cpu")
    assert head.provider.ends_of([node]) == {}


@pytest.mark.parametrize("state", ["PREEMPTED", "TERMINATED"])
def test_a_slice_that_google_takes_back_is_no_strike(state: str, head: Head, gce: Google) -> None:
    node = head.launch("v4")
    head.round()
    gce.engine.set_status(node, state)
    assert head.end_of(node).by is EndedBy.INTERRUPTION
    head.round()
    assert head.strikes() == {}


def test_a_slice_that_a_person_deletes_is_no_strike(head: Head, gce: Google) -> None:
    node = head.launch("v4")
    head.round()
    head.provider._get_resource_depending_on_node_name(node).delete(node)
    wait_until("its end", lambda: not gce.slices())
    assert head.end_of(node).by is EndedBy.USER
    head.round()
    assert head.strikes() == {}


def test_a_slice_whose_host_0_does_not_join_is_deleted_and_a_strike(
    head: Head, gce: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "GCP_SLICE_HOST_ZERO_S", 0.01)
    monkeypatch.setattr(_ray, "tpu_workers_joined", lambda _: {"1"})
    for _ in range(2):
        node = head.launch("v4")
        head.round()
        told: list[str] = []
        with pytest.raises(click.ClickException, match=r"host 0 of .* did not join"):
            start_of(head.provider, node, [Host(0, told), Host(1, told)])
        head.round()
    wait_until("their end", lambda: not gce.slices())
    assert set(head.strikes().values()) == {"StartFailed"}
    assert head.most("v4") == 0


def test_a_slice_is_known_by_the_addresses_of_all_its_hosts(head: Head, gce: Google) -> None:
    node = head.launch("v4")
    head.round()
    hosts = [host["ipAddress"] for host in gce.slices()[node]["networkEndpoints"]]
    assert len(hosts) == 2
    assert head.provider.addresses_of(node) == hosts


def test_a_failed_machine_is_deleted_where_idle_ones_are_stopped(
    gce: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = Head(gce, tmp_path, monkeypatch, cache_stopped_nodes=True)
    failed, idle = head.launch("cpu"), head.launch("cpu")
    head.round()
    for _ in range(3):
        head.provider.set_node_tags(failed, {"ray-node-status": "waiting-for-ssh"})
        head.provider.starts.reachable(failed)
        head.provider.set_node_tags(failed, {"ray-node-status": "update-failed"})
    head.provider.terminate_nodes([failed, idle])
    wait_until("their end", lambda: [one["status"] for one in gce.machines().values()] == ["TERMINATED"])
    assert list(gce.machines()) == [idle]
    assert set(head.strikes().values()) == {"SetUpFailed"}


def test_when_google_does_not_answer_a_refusal_is_counted_and_the_machine_deleted_later(
    head: Head, gce: Google
) -> None:
    node = head.launch("cpu")
    head.round()
    gce.fault("compute.instances.delete", times=1, status=403, reason="forbidden")
    head.provider.refuse(node, "DriverMissing", "DriverMissing: none")
    assert head.strikes() == {node: "DriverMissing"}
    assert gce.machines()
    head.round()
    wait_until("its end", lambda: not gce.machines())
    assert head.strikes() == {node: "DriverMissing"}


def test_only_a_head_that_google_gave_to_this_process_is_deleted(
    gce: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, configs = ours(gce, cache_stopped_nodes=True)
    (first,) = provider.create_node(configs["head"], tags("head", "head"), 1)
    second_up, _ = ours(gce, cache_stopped_nodes=True)
    second_up.non_terminated_nodes({"ray-node-type": "head"})
    assert "existed before" in str(second_up.refuse(first, "DriverMissing", "DriverMissing: none"))
    second_up.terminate_nodes([first])  # `ray down`: it is stopped
    wait_until("its stop", lambda: gce.machines()[first]["status"] == "TERMINATED")
    third_up, _ = ours(gce, cache_stopped_nodes=True)
    assert list(third_up.create_node(configs["head"], tags("head", "head"), 1)) == [first]
    assert "existed before" in str(third_up.refuse(first, "DriverMissing", "DriverMissing: none"))
    assert gce.machines()
    assert provider.refuse(first, "DriverMissing", "DriverMissing: none") is True, "its own process ends it"
    wait_until("its end", lambda: not gce.machines())
