"""What a user promises beyond the machine is noted with what follows; what is no contradiction is not noted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accel_scaling.boot.verdicts import VerdictWord
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cluster.cluster import read_config
from accel_scaling.fill.fill import fill, fill_cluster, promises
from accel_scaling.fill.users_own import FEWER, NO_DEVICE, OTHER_TYPE
from tests.support.cluster import config_of, gcp_config_of

V4_8 = {"acceleratorType": "v4-8", "runtimeVersion": "tpu-ubuntu2204-base"}
V4_16 = {**V4_8, "acceleratorType": "v4-16"}
JOIN = {"confirmation": {"on_mismatch": "join"}}


def config(
    machine: Any, resources: Any = None, labels: Any = None, *, provider: Any = None, head: Any = None
) -> dict[str, Any]:
    made = gcp_config_of({"w": machine}) if isinstance(machine, dict) else config_of({"w": machine})
    made["provider"] |= provider or {}
    types = made["available_node_types"]
    types["w"] |= {"resources": resources or {}, "labels": labels or {}}
    types["head"]["resources"] = head or {}
    return made


def notes(*words: Any, read: bool = False, **more: Any) -> list[str]:
    made = config(*words, **more)
    found = fill_cluster(read_config(made))[1] if read else fill(made, shipped_catalog())[1]
    return [note for note in found if "yours is used" in note]


def test_the_words_are_those_of_the_boot_check() -> None:
    assert {NO_DEVICE, FEWER, OTHER_TYPE} <= {word.value for word in VerdictWord}


@pytest.mark.parametrize(
    ("machine", "resources", "said", "verdict"),
    [
        ("g5.xlarge", {"GPU": 2}, "your resources say GPU: 2, the catalog says 1; yours is used", FEWER),
        ("m5.2xlarge", {"GPU": 1}, "your resources say GPU: 1, the catalog knows no such accelerator there", NO_DEVICE),
        ("trn1.2xlarge", {"GPU": 1}, "say GPU: 1, the catalog knows no such accelerator there", NO_DEVICE),
        ("trn1.2xlarge", {"neuron_cores": 32}, "your resources say neuron_cores: 32, the catalog says 2", FEWER),
        ("g5.xlarge", {"HPU": 8}, "your resources say HPU: 8, the catalog knows no such accelerator there", NO_DEVICE),
        ("dl1.24xlarge", {"HPU": 16}, "your resources say HPU: 16, the catalog says 8; yours is used", FEWER),
        ("m5.large", {"TPU": 4}, "your resources say TPU: 4, the catalog knows no such accelerator there", NO_DEVICE),
        (V4_8, {"TPU": 8}, "your resources say TPU: 8, the catalog says 4; yours is used", FEWER),
        (V4_16, {"TPU": 8}, "say TPU: 8, the catalog says 4 for each of its 2 hosts; yours is used", FEWER),
        ("g5.xlarge", {"accelerator_type:T4": 1}, "the catalog knows accelerator_type:A10G there", OTHER_TYPE),
        ("m5.large", {"accelerator_type:T4": 1}, "the catalog knows no accelerator there", NO_DEVICE),
        ("g5.xlarge", {"accelerator_type:TPU-V4": 1}, "the catalog knows accelerator_type:A10G there", NO_DEVICE),
        (V4_8, {"TPU-v4-16-head": 1}, "promise TPU-v4-16-head, the catalog knows TPU-v4-8-head there", OTHER_TYPE),
    ],
)
def test_more_than_the_machine_has_is_noted_with_the_verdict_that_follows(
    machine: Any, resources: dict[str, int], said: str, verdict: str
) -> None:
    (note,) = notes(machine, resources)
    assert said in note
    assert note.endswith(f"and a node without it will be refused on boot ({verdict})")
    assert promises(read_config(config(machine, resources)))["w"].not_held.endswith(f"({verdict})")


def test_a_head_that_promises_too_much_is_noted_too() -> None:
    (note,) = notes("g5.xlarge", head={"GPU": 1})
    assert note.startswith("available_node_types.head (m5.large): your resources say GPU: 1, the catalog knows no such")


def test_with_the_policy_to_join_a_node_with_fewer_joins_and_no_other() -> None:
    (note,) = notes("g5.xlarge", {"GPU": 2}, provider=JOIN)
    assert note.endswith("yours is used, and a node joins with the 1 that it has")
    promise = promises(read_config(config("g5.xlarge", {"GPU": 2}, provider=JOIN)))["w"]
    assert (promise.not_held, promise.joins_with, promise.resources["GPU"]) == ("", {"GPU": 1}, 2)
    for machine, resources in (("m5.large", {"GPU": 1}), (V4_8, {"TPU": 8})):
        promise = promises(read_config(config(machine, resources, provider=JOIN)))["w"]
        assert "will be refused on boot" in promise.not_held
        assert promise.joins_with == {}


def test_rays_own_provider_checks_nothing_and_that_is_what_follows() -> None:
    (note,) = notes("g5.xlarge", {"GPU": 2}, provider={"type": "aws", "module": None})
    assert note.endswith("yours is used, and Ray starts tasks for devices that are not there")


def test_what_the_boot_check_cannot_look_for_is_not_said_to_be_refused(tmp_path: Path) -> None:
    chips, machines = tmp_path / "chips.yaml", tmp_path / "machines.csv"
    chips.write_text("Q1:\n  {family: mine, resource: QPU, detected_type: Q1, driver_names: [Q1]}\n", encoding="utf-8")
    machines.write_text("instance_type,vcpus,memory_mib,arch,accelerator,count\nq.large,4,8192,x86_64,Q1,1\n")
    (note,) = notes("q.large", {"QPU": 2}, provider={"catalog": [str(chips), str(machines)]}, read=True)
    assert note.endswith(
        "your resources say QPU: 2, the catalog says 1; yours is used, and Ray starts tasks for devices "
        "that are not there"
    )


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"CPU": 8}, "say CPU: 8, the catalog says 4; yours is used, unchecked: Ray runs that many tasks on fewer"),
        (
            {"memory": 10**12},
            "says 16384 MiB in total; yours is used, unchecked: tasks may run out of memory",
        ),
        ({"GPU": 4}, "refused on boot"),
    ],
)
def test_what_nothing_checks_is_said_to_be_unchecked(resources: dict[str, int], said: str) -> None:
    (note,) = notes("g5.xlarge", resources)
    assert said in note
    assert bool(promises(read_config(config("g5.xlarge", resources)))["w"].not_held) == ("GPU" in resources)


@pytest.mark.parametrize(
    "resources",
    [
        {"CPU": 0},
        {"CPU": 2},
        {"GPU": 0},
        {"memory": 1},
        {"object_store_memory": 10**8},
        {"own": 7},
        {"accelerator_type:A10G": 1},
        {"GPU": 1},
    ],
)
def test_what_keeps_tasks_off_a_node_is_no_contradiction(resources: dict[str, int]) -> None:
    assert notes("g5.xlarge", resources) == []
    assert notes("g5.xlarge", head={"CPU": 0}) == []


def test_fewer_accelerators_than_there_are_are_noted_as_before() -> None:
    assert notes("p4d.24xlarge", {"GPU": 4}) == [
        "available_node_types.w (p4d.24xlarge): your resources say GPU: 4, the catalog says 8; yours is used"
    ]
    assert promises(read_config(config("p4d.24xlarge", {"GPU": 4})))["w"].not_held == ""


@pytest.mark.parametrize(
    ("machine", "value", "said"),
    [
        (
            "g5.xlarge",
            "T4",
            "and its node_config makes it A10G; yours is used, and a task that asks for T4 by this label",
        ),
        ("m5.large", "T4", "and the catalog knows no accelerator there; yours is used, and a task that asks for T4"),
    ],
)
def test_a_label_of_another_accelerator_is_noted_with_what_follows(machine: str, value: str, said: str) -> None:
    (note,) = notes(machine, labels={"ray.io/accelerator-type": value})
    assert said in note


def test_cpus_that_the_fill_adds_are_noted_where_nothing_else_has_any() -> None:
    def added(head: Any, resources: Any) -> list[str]:
        _, found = fill(config(V4_16, resources, head=head), shipped_catalog())
        return [note for note in found if "your resources name no CPU" in note]

    (note,) = added({"CPU": 0}, {"TPU": 4})
    assert "its 240 are added, and no other node type has any: a task that asks for CPUs alone" in note
    assert added({}, {"TPU": 4}) == []
    assert added({"CPU": 0}, {"TPU": 4, "CPU": 240}) == []
    assert added({"CPU": 0}, {}) == []
