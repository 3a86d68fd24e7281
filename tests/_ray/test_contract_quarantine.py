"""What we take for granted of Ray of the quarantine: one test per assumption, each saying who breaks."""

from __future__ import annotations

import inspect
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling import _ray
from accel_scaling.quarantine import max_workers
from tests._ray.test_contract import complete

RAY = Path(__import__("ray").__file__).parent


def test_the_autoscalers_are_processes_of_monitor_py_and_are_told_their_config(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    assert '"--autoscaling-config=" + str(' in inspect.getsource(services.start_monitor), (
        "Ray names the autoscaler's config in another way: _ray.autoscaler_config_path finds nothing"
    )
    for monitor in ("autoscaler/_private/monitor.py", "autoscaler/v2/monitor.py"):
        assert (RAY / monitor).is_file(), f"Ray has no {monitor} any more: _ray.autoscaler_config_path knows no other"
        monkeypatch.setattr(sys, "argv", [str(RAY / monitor), "--logs-dir=/tmp", "--autoscaling-config=/x/y.yaml"])
        assert _ray.autoscaler_config_path() == Path("/x/y.yaml")
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ray", "up", "--autoscaling-config=/x/y.yaml"])
    assert _ray.autoscaler_config_path() is None


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_autoscalers_metrics_can_be_added_to(version: str) -> None:
    from ray.autoscaler._private import monitor
    from ray.autoscaler._private.prom_metrics import AutoscalerPrometheusMetrics
    from ray.autoscaler.v2 import monitor as monitor_v2

    sources = inspect.getsource(monitor_v2.AutoscalerMonitor.__init__), inspect.getsource(monitor.Monitor.__init__)
    assert "        prom_metrics = AutoscalerPrometheusMetrics(" in sources[0], (
        "v2's monitor keeps its metrics elsewhere: _ray.autoscaler_metrics_registry finds none"
    )
    assert "self.autoscaler = Autoscaler(" in sources[0].partition("prom_metrics = ")[2], (
        "v2 makes its provider earlier"
    )
    assert "self.prom_metrics = AutoscalerPrometheusMetrics(" in sources[1], (
        "v1's monitor keeps its metrics elsewhere: _ray.autoscaler_metrics_registry finds none"
    )

    class Monitor:
        def __init__(self) -> None:
            prom_metrics = AutoscalerPrometheusMetrics("s")
            if version == "v1":
                self.prom_metrics = prom_metrics
                del prom_metrics
            self.found = self.provider()

        def provider(self) -> Any:
            return _ray.autoscaler_metrics_registry()

    assert Monitor().found is not None
    assert _ray.autoscaler_metrics_registry() is None


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_line_for_the_drivers_is_one_that_ray_repeats_on_their_terminals(
    version: str, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._private.event import event_logger
    from ray._private.worker import filter_autoscaler_events
    from ray.autoscaler.v2 import utils
    from ray.core.generated.event_pb2 import Event

    monkeypatch.setattr(event_logger, "_event_logger", {})
    monkeypatch.setattr(utils, "cached_is_autoscaler_v2", version == "v2")
    if version == "v2":
        event_logger.get_event_logger(Event.SourceType.AUTOSCALER, str(tmp_path))
    with caplog.at_level(logging.INFO):
        _ray.tell_drivers("node type p4d\nis quarantined")
    if version == "v2":
        (file,) = (tmp_path / "events").glob("*")
        written = file.read_text()
    else:
        written = f"INFO x.py:1 -- {caplog.records[-1].getMessage()}"
    assert list(filter_autoscaler_events([written]))[-1] == "node type p4d is quarantined", (
        "Ray shows other lines of the autoscaler's log to drivers: _ray.tell_drivers is not heard"
    )


def test_rays_ec2_provider_reads_the_number_of_tries_at_each_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.autoscaler._private.aws import node_provider

    monkeypatch.setattr(node_provider, "BOTO_CREATE_MAX_RETRIES", 5)
    _ray.aws_tries_each_subnet_once()
    assert node_provider.BOTO_CREATE_MAX_RETRIES == 1
    assert "max(BOTO_CREATE_MAX_RETRIES, len(subnet_ids))" in inspect.getsource(
        node_provider.AWSNodeProvider._create_node
    ), "Ray counts its tries in another way: providers/aws/launch.py asks EC2 five times for what is sold out"


def test_ray_up_writes_the_heads_config_as_json() -> None:
    from ray.autoscaler._private import commands

    source = inspect.getsource(commands._set_up_config_for_head_node)
    assert "remote_config_file.write(json.dumps(remote_config))" in source, (
        "accel_scaling/quarantine/max_workers.py reads JSON before YAML: now it takes seconds where types are many"
    )


def test_a_limited_config_is_one_that_both_autoscalers_take(tmp_path: Path) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config
    from ray.autoscaler.v2.instance_manager.config import FileConfigReader

    config = complete()
    node = {"resources": {"CPU": 4, "GPU": 1}, "node_config": {"InstanceType": "g4dn.xlarge"}}
    config["available_node_types"]["t4"] = {**node, "min_workers": 1, "max_workers": 2}
    config = prepare_config(config)
    path = tmp_path / "ray_bootstrap_config.yaml"
    path.write_text(yaml.safe_dump(config))
    reader = FileConfigReader(str(path))
    max_workers.apply(path, {"t4": 0})
    validate_config(yaml.safe_load(path.read_text()))
    reader.refresh_cached_autoscaling_config()
    t4 = reader.get_cached_autoscaling_config().get_node_type_configs()["t4"]
    assert (t4.min_worker_nodes, t4.max_worker_nodes) == (0, 0), (
        "v2 does not read max_workers again before each round: a type that is quarantined is launched anyway"
    )
    max_workers.apply(path, {})
    assert yaml.safe_load(path.read_text()) == config
