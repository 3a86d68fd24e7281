"""Which machines join: those that hold their promise, and with `on_mismatch: join` those with fewer of the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.confirm.expected import VARIABLE
from accel_scaling.fill.promise import promise_for
from accel_scaling.node import start_hook, wiring
from accel_scaling.node.joining import CONFIRM_ONLY, JOIN, ON_MISMATCH
from tests.devices_fixture import boot_fixture  # noqa: F401 - a fixture


def start(machine: str, monkeypatch: pytest.MonkeyPatch, *, joins: bool) -> Any:
    """Do what `ray start` does first, on this machine, which was promised to be whole."""
    promised = promise_for(shipped_catalog().machine_type("aws", machine)).resources
    monkeypatch.setenv(VARIABLE, json.dumps(promised))
    if joins:
        monkeypatch.setenv(ON_MISMATCH, JOIN)
    params = SimpleNamespace(labels={})
    start_hook.run(params, head=False)
    return params


def verdict() -> Any:
    return json.loads((Path.home() / wiring.VERDICT_FILE).read_text())


@pytest.mark.parametrize(
    ("machine", "resource", "left"), [("p4d.24xlarge", "GPU", 7), ("trn1.32xlarge", "neuron_cores", 30)]
)
def test_a_machine_with_fewer_devices_joins_with_those_where_the_file_says_so(
    machine: str, resource: str, left: int, boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot(machine, "fewer")
    params = start(machine, monkeypatch, joins=True)
    assert json.loads(os.environ[VARIABLE])[resource] == left, "Ray announces what is there"
    assert params.labels[wiring.LABEL_VERDICT] == "FewerThanPromised"
    assert (verdict()["verdict"], verdict()["joins"]) == ("FewerThanPromised", True)


def test_it_is_refused_where_the_file_says_nothing(boot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    boot("p4d.24xlarge", "fewer")
    with pytest.raises(SystemExit) as refusal:
        start("p4d.24xlarge", monkeypatch, joins=False)
    assert refusal.value.code == wiring.EXIT_REFUSED
    assert verdict()["joins"] is False


@pytest.mark.parametrize("fault", ["other-type:g6.xlarge", "no-driver", "no-device", "unhealthy"])
def test_what_is_no_longer_of_the_promised_type_or_cannot_be_used_never_joins(
    fault: str, boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot("p4d.24xlarge", fault)
    with pytest.raises(SystemExit):
        start("p4d.24xlarge", monkeypatch, joins=True)


def test_the_cluster_files_word_reaches_the_start_commands() -> None:
    config = {
        "provider": {"confirmation": {"on_mismatch": "join"}},
        "worker_start_ray_commands": ["ray stop", "ray start --address=x"],
    }
    wiring.wire(config, "/bundle")
    assert config["worker_start_ray_commands"][0] == "ray stop"
    assert config["worker_start_ray_commands"][1].startswith(f"export {ON_MISMATCH}={JOIN}; ")
    assert wiring.is_confirmed_start(config["worker_start_ray_commands"][1])


def test_a_host_that_is_only_to_be_confirmed_says_so_and_does_not_start_ray(
    boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot("p4d.24xlarge")
    monkeypatch.setenv(CONFIRM_ONLY, "1")
    with pytest.raises(SystemExit) as end:
        start("p4d.24xlarge", monkeypatch, joins=False)
    assert end.value.code == 0
    assert (verdict()["verdict"], verdict()["joins"]) == ("Confirmed", True)
