"""A plan names the limit that keeps a demand: its node type's, the cluster's, or both."""

from __future__ import annotations

from accel_scaling.plan.model import PendingCause
from tests.support.plan import aws, plan


def test_the_limit_that_bites_is_named_a_types_own_or_the_clusters() -> None:
    answer = plan(aws(t4="g4dn.xlarge"), "T4x6")
    (pending,) = answer.pending
    assert (answer.launch, pending.count, pending.cause) == ({"t4": 4}, 2, PendingCause.MAX_WORKERS_OF_TYPE)
    assert pending.reason == "waits until other work ends: max_workers of node type t4 is 4"
    assert answer.limits == ("max_workers of node type t4 is 4, and 6 would be needed",)
    config = aws(t4="g4dn.xlarge", a10g="g5.xlarge")
    config["max_workers"] = 3
    for name in ("t4", "a10g"):
        config["available_node_types"][name].pop("max_workers")
    answer = plan(config, "T4x6")
    (pending,) = answer.pending
    assert (answer.launch, pending.count, pending.cause) == ({"t4": 3}, 3, PendingCause.MAX_WORKERS)
    assert answer.limits == ("max_workers of the cluster is 3, and 6 would be needed",)


def test_each_limit_is_named_for_what_it_keeps_and_both_where_lifting_one_would_not_do() -> None:
    config = aws(a100="p4de.24xlarge", t4="g4dn.xlarge", most=2)
    config["max_workers"] = 2
    answer = plan(config, "A100-80G:8x2", "T4x3")
    sentence = "waits until other work ends: max_workers of "
    assert [(pending.text, pending.count, pending.reason) for pending in answer.pending] == [
        ("T4", 2, f"{sentence}the cluster is 2"),
        ("T4", 1, f"{sentence}node type t4 is 2"),
    ]
    assert answer.limits == (
        "max_workers of the cluster is 2, and 4 would be needed",
        "max_workers of node type t4 is 2, and 3 would be needed",
    )
    (pending,) = plan(config, "A100-80G:8x3").pending
    assert pending.reason == f"{sentence}the cluster is 2; max_workers of node type a100 is 2"
    # of the types whose limit bites, those that the demand fits
    assert {(pending.text, pending.reason) for pending in plan(config, "A100-80G:8x3", "T4x3").pending} == {
        ("A100-80G:8", f"{sentence}the cluster is 2; max_workers of node type a100 is 2"),
        ("T4", f"{sentence}the cluster is 2"),
        ("T4", f"{sentence}node type t4 is 2"),
    }
