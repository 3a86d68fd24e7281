"""Which machines join: those that hold their promise, and with `on_mismatch: join` those with fewer of the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling._ray.facts import OVERRIDE_RESOURCES
from accel_scaling.boot import start_hook
from accel_scaling.boot.admission import CONFIRM_ONLY, ON_MISMATCH, admitted_resources
from accel_scaling.boot.compare import compare
from accel_scaling.boot.start_prefix import add_boot_check, has_boot_check, with_policy
from accel_scaling.boot.verdict_file import VERDICT_FILE
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED, LABEL_VERDICT
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cluster.policies import OnMismatch
from accel_scaling.detect.model import Detection
from accel_scaling.fill.promise import promise_for


def start(machine: str, monkeypatch: pytest.MonkeyPatch, on_mismatch: str = "") -> Any:
    """Do what `ray start` does first, on this machine, which was promised to be whole."""
    promised = promise_for(shipped_catalog().machine_type("aws", machine)).resources
    monkeypatch.setenv(OVERRIDE_RESOURCES, json.dumps(promised))
    if on_mismatch:
        monkeypatch.setenv(ON_MISMATCH, on_mismatch)
    params = SimpleNamespace(labels={})
    start_hook.run(params, head=False)
    return params


def verdict() -> Any:
    return json.loads((Path.home() / VERDICT_FILE).read_text())


@pytest.mark.parametrize(
    ("machine", "resource", "left"), [("p4d.24xlarge", "GPU", 7), ("trn1.32xlarge", "neuron_cores", 30)]
)
def test_a_machine_with_fewer_devices_joins_with_those_where_the_file_says_so(
    machine: str, resource: str, left: int, boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot(machine, "fewer")
    params = start(machine, monkeypatch, "join")
    assert json.loads(os.environ[OVERRIDE_RESOURCES])[resource] == left, "Ray announces what is there"
    assert params.labels[LABEL_VERDICT] == "FewerThanPromised"
    assert (verdict()["verdict"], verdict()["joins"]) == ("FewerThanPromised", True)


def test_it_is_refused_where_the_file_says_nothing(boot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    boot("p4d.24xlarge", "fewer")
    with pytest.raises(SystemExit) as refusal:
        start("p4d.24xlarge", monkeypatch)
    assert refusal.value.code == EXIT_NOT_CONFIRMED
    assert verdict()["joins"] is False


@pytest.mark.parametrize("fault", ["other-type:g6.xlarge", "no-driver", "no-device", "unhealthy"])
def test_what_is_no_longer_of_the_promised_type_or_cannot_be_used_never_joins(
    fault: str, boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot("p4d.24xlarge", fault)
    with pytest.raises(SystemExit):
        start("p4d.24xlarge", monkeypatch, "join")


def seen(family: str, resource: str, units: int, *types: str) -> Detection:
    return Detection(family, resource, units, units, units, answers_to=types, bus_count=units, driver_count=units)


def joins_with(promised: dict[str, float], *devices: Detection) -> dict[str, float] | None:
    return admitted_resources(compare(promised, devices), {ON_MISMATCH: "join"})


SEVEN = seen("nvidia", "GPU", 7, "A100", "A100-40G")


@pytest.mark.parametrize(
    "also", [(), (seen("tpu", "TPU", 4, "TPU-V4"),), (seen("tpu", "TPU", 0, "TPU-V6E"),)], ids=["none", "v4", "0"]
)
def test_a_promised_accelerator_that_is_absent_or_another_is_never_announced(also: tuple[Detection, ...]) -> None:
    assert joins_with({"GPU": 8, "TPU": 4, "accelerator_type:TPU-V6E": 1}, SEVEN, *also) is None
    assert joins_with({"GPU": 8, "neuron_cores": 2}, SEVEN) is None


def test_a_resource_of_the_users_own_and_each_of_two_accelerators_are_announced_as_they_are() -> None:
    v6e = seen("tpu", "TPU", 4, "TPU-V6E")
    assert joins_with({"GPU": 8, "TPU": 4, "MINE": 3, "CPU": 96}, SEVEN, v6e) == {
        "GPU": 7,
        "TPU": 4,
        "MINE": 3,
        "CPU": 96,
    }


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_families_with_one_resource_the_promised_one_is_counted(turned: bool) -> None:
    devices = [SEVEN, seen("intel", "GPU", 1, "Intel-GPU-Flex-170")]
    assert joins_with({"GPU": 8, "accelerator_type:A100": 1}, *(reversed(devices) if turned else devices)) == {
        "GPU": 7,
        "accelerator_type:A100": 1,
    }


@pytest.mark.parametrize("fault", ["other-type:g6.xlarge", "no-driver", "no-device", "unhealthy", "fewer"])
def test_with_report_a_machine_joins_with_its_whole_promise_and_its_verdict(
    fault: str, boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot("p4d.24xlarge", fault)
    params = start("p4d.24xlarge", monkeypatch, "report")
    assert json.loads(os.environ[OVERRIDE_RESOURCES])["GPU"] == 8
    assert verdict()["joins"] is True
    assert params.labels[LABEL_VERDICT] == verdict()["verdict"] != "Confirmed"


def test_with_skip_no_driver_is_asked_and_the_label_says_so(boot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    boot("p4d.24xlarge", "no-driver")
    monkeypatch.setattr(start_hook, "detect", lambda: pytest.fail("a probe was called"))
    params = start("p4d.24xlarge", monkeypatch, "skip")
    assert params.labels[LABEL_VERDICT] == "NotChecked"
    assert (verdict()["verdict"], verdict()["joins"], verdict()["detected"]) == ("NotChecked", True, [])
    assert "skips the boot check" in verdict()["message"]


def test_with_skip_a_host_of_a_slice_still_gets_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Detection("tpu", "TPU", 4, 4, 4, pod_type="v4-16", worker_id=1)
    monkeypatch.setattr(start_hook, "detect", lambda: [host])
    monkeypatch.setenv(ON_MISMATCH, "skip")
    monkeypatch.setenv(OVERRIDE_RESOURCES, json.dumps({"TPU": 4, "TPU-v4-16-head": 1}))
    start_hook.run(SimpleNamespace(labels={}), head=False)
    assert json.loads(os.environ[OVERRIDE_RESOURCES]) == {"TPU": 4}, "host 0 alone has the head resource"


def test_the_hosts_of_a_node_type_are_told_its_word_before_everything_else_in_the_command() -> None:
    config = {"worker_start_ray_commands": ["ray stop", "ray start --address=x"]}
    add_boot_check(config, Path("/bundle-1"))
    command = config["worker_start_ray_commands"][1]
    assert with_policy(command, OnMismatch.REFUSE) == command
    assert with_policy(command, OnMismatch.SKIP) == f"export {ON_MISMATCH}=skip; {command}"
    assert has_boot_check(with_policy(command, OnMismatch.SKIP))


def test_a_host_that_is_only_to_be_confirmed_says_so_and_does_not_start_ray(
    boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot("p4d.24xlarge")
    monkeypatch.setenv(CONFIRM_ONLY, "1")
    with pytest.raises(SystemExit) as end:
        start("p4d.24xlarge", monkeypatch)
    assert end.value.code == 0
    assert (verdict()["verdict"], verdict()["joins"]) == ("Confirmed", True)
