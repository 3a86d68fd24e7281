"""A plan places nothing on nodes that never join, and answers for a head alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.cli.main import main
from accel_scaling.plan.model import PendingCause
from tests.support.cluster import config_of
from tests.support.plan import aws, gcp, plan, uses

V4_8 = {"acceleratorType": "v4-8", "runtimeVersion": "tpu-ubuntu2204-base"}


def promising(config: dict[str, Any], name: str, resources: dict[str, int], **more: Any) -> dict[str, Any]:
    config["available_node_types"][name] |= {"resources": resources, **more}
    return config


@pytest.mark.parametrize(
    ("config", "demand", "verdict"),
    [
        (promising(aws(a="g5.xlarge"), "a", {"GPU": 2}), "GPU:2", "FewerThanPromised"),
        (promising(aws(a="g5.xlarge"), "a", {"GPU": 2}), "GPU:1", "FewerThanPromised"),
        (promising(aws(a="m5.2xlarge"), "a", {"GPU": 1}), "GPU:1", "NoDevice"),
        (promising(aws(a="m5.2xlarge"), "a", {"GPU": 1}), "CPU:4", "NoDevice"),
        (promising(aws(a="trn1.2xlarge"), "a", {"neuron_cores": 32}), "Trainium:32", "FewerThanPromised"),
        (promising(aws(a="g5.xlarge"), "a", {"accelerator_type:T4": 1}), "T4", "OtherType"),
        (promising(gcp(a=V4_8), "a", {"TPU": 8}), "TPU-V4:8", "FewerThanPromised"),
    ],
)
def test_a_node_type_that_promises_too_much_is_not_launched(config: dict[str, Any], demand: str, verdict: str) -> None:
    answer = plan(config, demand)
    assert answer.launch == {}
    (pending,) = answer.pending
    assert pending.cause is PendingCause.PROMISE_NOT_HELD
    assert "node type a promises it: your resources" in pending.reason
    assert f"refused on boot ({verdict})" in pending.reason


def test_another_node_type_takes_the_demand_and_min_workers_launch_none() -> None:
    config = promising(aws(a="g5.xlarge", b="g5.12xlarge"), "a", {"GPU": 2}, min_workers=1)
    assert plan(config, "GPU:2").launch == {"b": 1}
    assert plan(config).launch == {}


def test_a_head_that_does_not_come_up_leaves_no_cluster() -> None:
    config = promising(aws(a="g5.xlarge"), "head", {"GPU": 1})
    answer = plan(config, "A10G")
    assert (answer.launch, uses(answer)) == ({}, {})
    assert "the head head does not come up: your resources say GPU: 1" in answer.pending[0].reason
    (pending,) = plan(config, "CPU:1").pending
    assert pending.cause is PendingCause.PROMISE_NOT_HELD


def test_where_fewer_may_join_the_plan_counts_what_is_there() -> None:
    config = promising(aws(a="g5.xlarge"), "a", {"GPU": 2})
    config["provider"]["confirmation"] = {"on_mismatch": "join"}
    assert plan(config, "GPU:1x2").launch == {"a": 2}
    (pending,) = plan(config, "GPU:2").pending
    assert pending.cause is PendingCause.TOO_FEW_DEVICES


def test_a_label_that_is_not_true_finds_nobody() -> None:
    config = promising(aws(a="g5.xlarge"), "a", {}, labels={"ray.io/accelerator-type": "T4"})
    (pending,) = plan(config, "GPU:1", labels=["ray.io/accelerator-type=T4"]).pending
    assert pending.reason
    assert plan(config, "A10G").launch == {"a": 1}


def test_a_head_alone_answers_for_what_it_has() -> None:
    config = config_of({}, head="trn1.2xlarge")
    answer = plan(config, "Trainium:2")
    assert (answer.launch, uses(answer), answer.pending) == ({}, {"head": {"Trainium:2": 1}}, ())
    assert answer.notes == ()


def test_what_a_head_alone_does_not_have_stays_pending_with_the_reason() -> None:
    answer = plan(config_of({}, head="trn1.2xlarge"), "T4")
    (pending,) = answer.pending
    assert pending.cause is PendingCause.NO_SUCH_ACCELERATOR
    assert answer.notes == (
        "the file has no worker node type, so nothing can be launched; add one under available_node_types",
    )


def test_the_exit_code_of_a_head_alone_is_that_of_other_files(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(config_of({}, head="trn1.2xlarge")), encoding="utf-8")
    assert main(["plan", str(path), "--demand", "Trainium:2"]) == 0
    assert main(["plan", str(path), "--demand", "Trainium:4"]) == 3
