"""What the watch over machines needs of Ray: status tags, numbers of tries, who has joined, a launch that failed."""

from __future__ import annotations

import inspect
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.autoscaler import tags
from ray.autoscaler._private import command_runner, updater
from ray.autoscaler.v2.instance_manager.config import InstanceReconcileConfig
from ray.autoscaler.v2.instance_manager.node_provider import LaunchNodeError, NodeProviderAdapter
from ray.autoscaler.v2.instance_manager.reconciler import Reconciler
from ray.autoscaler.v2.instance_manager.subscribers.threaded_ray_installer import ThreadedRayInstaller

from accel_scaling import _ray
from accel_scaling._ray import node_life


def become(version: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", [f"/ray/autoscaler/{version}/monitor.py", *words])


def test_the_status_tags_are_those_of_rays_updater() -> None:
    assert (node_life.STATUS_TAG, _ray.WAITING_FOR_SSH, _ray.SYNCING_FILES) == (
        tags.TAG_RAY_NODE_STATUS,
        tags.STATUS_WAITING_FOR_SSH,
        tags.STATUS_SYNCING_FILES,
    )
    assert (_ray.SETTING_UP, _ray.UP_TO_DATE, _ray.UPDATE_FAILED) == (
        tags.STATUS_SETTING_UP,
        tags.STATUS_UP_TO_DATE,
        tags.STATUS_UPDATE_FAILED,
    )


def test_the_updater_sets_the_status_as_a_tag_of_its_own() -> None:
    assert _ray.status_of({tags.TAG_RAY_NODE_STATUS: tags.STATUS_UP_TO_DATE, "other": "x"}) == _ray.UP_TO_DATE
    assert _ray.status_of({"other": "x"}) is None


def test_the_updater_waits_for_ssh_with_the_probe_and_as_long_as_we_say() -> None:
    assert f'cmd_runner.run("{_ray.PROBE_COMMAND}"' in inspect.getsource(updater.NodeUpdater.wait_ready)
    assert command_runner.AUTOSCALER_NODE_START_WAIT_S == _ray.SSH_TIMEOUT_S


def test_v2_sets_a_machine_up_three_times_and_for_half_an_hour_and_v1_once(monkeypatch: pytest.MonkeyPatch) -> None:
    become("v2", monkeypatch)
    attempts = inspect.signature(ThreadedRayInstaller).parameters["max_install_attempts"].default
    assert _ray.start_attempts() == attempts
    assert _ray.set_up_timeout_s() == InstanceReconcileConfig().ray_install_status_timeout_s
    from ray.autoscaler.v2 import autoscaler

    assert "max_install_attempts" not in inspect.getsource(autoscaler), "it is set there"
    become("_private", monkeypatch)
    assert _ray.start_attempts() == 1
    assert _ray.set_up_timeout_s() == math.inf


def test_v2_waits_an_hour_for_a_listed_machine_to_run_or_as_long_as_a_variable_says() -> None:
    name, default_s = _ray.ALLOCATE_TIMEOUT
    assert InstanceReconcileConfig().allocate_status_timeout_s == default_s
    source = inspect.getsource(InstanceReconcileConfig)
    assert name in source.partition("allocate_status_timeout_s")[2].partition(")")[0]
    # It begins to set a machine up when that runs, and not before; until then the machine is one that is to come.
    assert "if not cloud_instance.is_running" in inspect.getsource(Reconciler._install_ray)


def test_rays_runner_asks_a_process_runner_for_check_call_with_the_streams() -> None:
    from ray.autoscaler._private import subprocess_output_util

    source = inspect.getsource(subprocess_output_util._run_and_process_output)
    assert "if use_login_shells or process_runner != subprocess:\n        return process_runner.check_call(" in source


def test_a_launch_that_failed_after_all_is_an_error_of_the_round_that_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    class Provider:
        def non_terminated_nodes(self, _: Any) -> list[str]:
            _ray.tell_launch_failed("t4", {tags.TAG_RAY_LAUNCH_REQUEST: "request"}, "Client.InternalError", "KMS")
            return []

    adapter = NodeProviderAdapter(Provider(), SimpleNamespace())
    assert adapter.get_non_terminated() == {}
    (error,) = adapter.poll_errors()
    assert isinstance(error, LaunchNodeError)
    assert (error.node_type, error.count, error.request_id) == ("t4", 1, "request")
    Provider().non_terminated_nodes({})  # v1: there is nobody to tell


def test_outside_of_an_autoscaler_nobody_is_asked_who_has_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ray"])
    assert _ray.joined_nodes() is None
    become("v2", monkeypatch)
    assert _ray.joined_nodes() is None


@pytest.mark.cluster
def test_the_gcs_tells_who_has_joined_with_labels_and_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        cluster.add_node(num_cpus=0, labels={"accel-scaling.io/verdict": "Confirmed"})
        for version in ("v2", "_private"):
            become(version, monkeypatch, f"--gcs-address={cluster.address}")
            nodes = _ray.joined_nodes()
            assert nodes is not None
            assert len(nodes) == 2
            assert {node.labels.get("accel-scaling.io/verdict") for node in nodes} == {None, "Confirmed"}
            assert all(node.alive and node.address for node in nodes)
    finally:
        cluster.shutdown()
