"""A node announces what was promised: neither its start options nor variables of its command may say more."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling._ray.facts import LABEL_ACCELERATOR_TYPE, OVERRIDE_LABELS, OVERRIDE_RESOURCES
from accel_scaling.boot import start_hook
from accel_scaling.boot.announcement import PROMISE, PROMISED_LABELS, keep_to_machine, restore_promise
from accel_scaling.families.inventory import detect

CPUS = {"CPU": 4, "memory": 1000}


def params(**given: Any) -> Any:
    return SimpleNamespace(
        **{"num_cpus": None, "num_gpus": None, "memory": None, "resources": None, "labels": None} | given
    )


def announced(monkeypatch: pytest.MonkeyPatch, given: Any, promised: dict[str, Any] = CPUS) -> dict[str, Any]:
    """Return the resources that Ray announces behind the hook, by Ray's own code, and the labels under ``labels``."""
    from ray._private.resource_and_label_spec import ResourceAndLabelSpec

    text = json.dumps(promised)
    for name, value in ((OVERRIDE_RESOURCES, text), (PROMISE, text), (PROMISED_LABELS, "")):
        monkeypatch.setenv(name, value)
    start_hook.run(given, head=False)
    spec = ResourceAndLabelSpec(given.num_cpus, given.num_gpus, None, 1000, given.resources, given.labels)
    spec.resolve(is_head=False, node_ip_address="10.0.0.1")
    return {**spec.to_resource_dict(), "labels": spec.labels}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"num_gpus": 4}, "GPU"),
        ({"resources": {"TPU": 4}}, "TPU"),
        ({"resources": {"neuron_cores": 2, "mine": 1}}, "neuron_cores"),
        ({"resources": {"accelerator_type:H100": 1}}, "accelerator_type:H100"),
        ({"resources": {"TPU-v4-16-head": 1}}, "TPU-v4-16-head"),
    ],
)
def test_devices_that_are_neither_promised_nor_here_are_not_announced(
    given: dict[str, Any], name: str, boot: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    boot("m5.large")
    found = announced(monkeypatch, params(**given))
    assert name not in found
    assert "is not promised, and this machine has 0: it is not announced" in capsys.readouterr().err
    assert found.get("mine") == given.get("resources", {}).get("mine"), "what is no device is the user's own"


def test_more_than_is_promised_is_not_announced_and_said(
    boot: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    boot("g5.xlarge")
    promised = {"CPU": 4, "GPU": 1, "accelerator_type:A10G": 1, "mine": 1}
    found = announced(monkeypatch, params(num_gpus=4, num_cpus=64, resources={"mine": 9}), promised)
    assert (found["GPU"], found["CPU"], found["mine"]) == (1, 4, 1)
    said = capsys.readouterr().err
    assert "--num-gpus=4 is more than is promised, GPU: 1, which is announced" in said
    assert "--num-cpus=64 is more than is promised, CPU: 4" in said
    assert '--resources={"mine": 9} is more than is promised' in said


def test_what_the_machine_has_may_be_announced_as_ray_does_by_itself(
    boot: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    boot("g5.xlarge")
    given = params(num_gpus=1, resources={"accelerator_type:A10G": 1}, labels={LABEL_ACCELERATOR_TYPE: "A10G"})
    assert keep_to_machine(given, CPUS, detect(), {PROMISE: "{}"}) == []
    assert (given.num_gpus, given.resources) == (1, {"accelerator_type:A10G": 1})


def test_a_label_of_an_accelerator_that_is_not_here_is_not_announced(
    boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot("m5.large")
    found = announced(monkeypatch, params(labels={LABEL_ACCELERATOR_TYPE: "H100", "mine": "x"}))
    assert LABEL_ACCELERATOR_TYPE not in found["labels"]
    assert found["labels"]["mine"] == "x"


@pytest.mark.parametrize(("num_gpus", "num_cpus"), [(1, 0), (None, None), (None, 2)])
def test_fewer_cpus_than_are_promised_are_no_matter(num_gpus: int | None, num_cpus: int | None, boot: Any) -> None:
    boot("g5.xlarge")
    given = params(num_gpus=num_gpus, num_cpus=num_cpus)
    assert keep_to_machine(given, {"CPU": 4, "GPU": 1}, detect(), {PROMISE: "{}"}) == []


@pytest.mark.parametrize("name", [OVERRIDE_RESOURCES, OVERRIDE_LABELS])
@pytest.mark.parametrize("promised", ['{"CPU": 4}', ""])
def test_the_command_cannot_replace_the_promise(name: str, promised: str) -> None:
    copy = PROMISE if name == OVERRIDE_RESOURCES else PROMISED_LABELS
    environment = {copy: promised, name: '{"GPU": 8}'}
    (sentence,) = restore_promise(environment)
    assert environment.get(name, "") == promised
    assert sentence == f"the start command sets {name}, which is not used: the node type's promise is announced"
    assert restore_promise(environment) == []


def test_a_command_that_promises_itself_more_is_checked_against_the_promise(
    boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot("g5.xlarge", "no-driver")
    monkeypatch.setenv(PROMISE, '{"GPU": 1, "accelerator_type:A10G": 1}')
    monkeypatch.setenv(OVERRIDE_RESOURCES, '{"CPU": 1}')
    with pytest.raises(SystemExit) as end:
        start_hook.run(params(), head=False)
    assert end.value.code == 3


def test_in_a_pod_the_options_are_the_promise() -> None:
    given = params(num_gpus=4)
    assert keep_to_machine(given, {"GPU": 4}, [], {}) == []
    assert given.num_gpus == 4
    environment = {OVERRIDE_RESOURCES: '{"GPU": 4}'}
    assert restore_promise(environment) == []
    assert environment == {OVERRIDE_RESOURCES: '{"GPU": 4}'}
