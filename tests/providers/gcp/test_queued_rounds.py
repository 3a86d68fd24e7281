"""Ray's real autoscalers, round by round in emulated time, and a slice that waits in Google's queue for hours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling import timeouts
from tests.providers.gcp.test_flex_start import ALLOCATED, NoSsh, _with_allocated
from tests.providers.gcp.test_queued_slices import SPOT_6H, config_with
from tests.support.autoscaler_rounds import V1, V2
from tests.support.emulated_time import emulated_time
from tests.support.gcp_provider import google, provider_of, tags
from tests.support.resolved import resolved

CREATE = "tpu.projects.locations.queuedResources.create"
WAITS_S = 3 * 3600.0  # v2 ends after one hour what does not run, v1 after a quarter of an hour what does not answer


class Updater:
    """An updater of v1 that waits for ssh: for a slice in the queue, in the provider."""

    exitcode, for_recovery = -1, False

    def __init__(self, **_: Any) -> None:
        pass

    def start(self) -> None:
        pass

    def is_alive(self) -> bool:
        return True


@pytest.mark.parametrize("autoscaler", [V2, V1])
def test_neither_autoscaler_ends_or_buys_twice_a_slice_that_waits(
    autoscaler: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "GCP_OPERATION_POLL_S", 0.01)
    with google(waits_s={"v6e-16": WAITS_S}) as gce:
        config = resolved(config_with(gce, SPOT_6H, "on-demand"))
        for key in ("head_node", "worker_nodes"):
            config.pop(key, None)
        config["provider"] |= {"worker_liveness_check": False}
        (command,) = [one for one in config["head_start_ray_commands"] if "ray start" in one]
        seconds = int(command.partition(f"{ALLOCATED}:-")[2].partition("}")[0])
        path = tmp_path / "ray_bootstrap_config.yaml"
        path.write_text(yaml.safe_dump(config))
        monkeypatch.setattr(sys, "argv", ["monitor.py", f"--autoscaling-config={path}"])
        reconcile = "ray.autoscaler.v2.instance_manager.config.InstanceReconcileConfig.__init__.__defaults__"
        monkeypatch.setattr(reconcile, _with_allocated(seconds))
        with emulated_time() as clock:
            gce.engine.state.clock = clock.now
            provider = provider_of(config)
            provider.create_node(config["available_node_types"]["head"]["node_config"], tags("head", "head"), 1)
            rounds = autoscaler(path, provider, NoSsh(), clock)
            if autoscaler is V2:
                rounds.installs.run = lambda: None
            else:
                monkeypatch.setattr(rounds, "_updater", Updater)
            begun = clock.now()
            while clock.now() - begun < WAITS_S + 1200:
                rounds.round([{"TPU-v6e-16-head": 1.0}])
                clock.go_to(clock.now() + 600)
            (worker,) = provider.non_terminated_nodes({"ray-node-type": "worker"})
            assert gce.slices()[worker]["state"] == "READY"
            assert provider.is_running(worker)
            assert gce.count(CREATE) == 1, "one was asked for"
            assert gce.count("tpu.projects.locations.nodes.create") == 0, "and not another one on demand"
            assert gce.count("tpu.projects.locations.queuedResources.delete") == 0
