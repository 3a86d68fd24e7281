"""A plan: what is launched, what it is for, which limit is reached, and the nearest miss of what stays pending."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import AccelScalingError, PlanError
from accel_scaling.plan.model import PendingCause
from accel_scaling.plan.run import PlanArguments, plan_cluster
from tests.support.plan import POD, aws, gcp, plan, uses

H100_AND_A100 = aws(h100="p5.48xlarge", a100="p4d.24xlarge")


def test_each_demand_gets_its_machines_and_the_answer_says_what_they_are_for() -> None:
    answer = plan(aws(p4d="p4d.24xlarge", t4="g4dn.xlarge"), "A100:8x2", "T4:0.5x4")
    assert answer.launch == {"p4d": 2, "t4": 2}
    assert uses(answer) == {"p4d": {"A100:8": 2}, "t4": {"T4:0.5": 4}}
    assert answer.pending == ()


def test_a_task_takes_a_cpu_as_in_ray_unless_it_says_otherwise_and_a_bundle_takes_none() -> None:
    file = aws(t4="g4dn.xlarge")  # 4 CPUs
    assert plan(file, "T4:0.1x8").launch == {"t4": 2}
    assert plan(file, "T4:0.1+CPU:0x8").launch == {"t4": 1}
    assert plan(file, "T4:0.1+CPU:4x3").launch == {"t4": 3}
    assert plan(file, "T4:0.1+memory:8Gx3").launch == {"t4": 3}
    assert plan(file, gangs=[["PACK", "T4:0.1x8"]]).launch == {"t4": 1}


@pytest.mark.parametrize(
    ("config", "demand", "launch"),
    [
        (aws(trn="trn1.2xlarge"), "Trainium:2x2", {"trn": 2}),
        (aws(hpu="dl1.24xlarge"), "Intel-GAUDI:8", {"hpu": 1}),
        (aws(part="g6f.large", whole="g6.xlarge"), "L4x2", {"whole": 2}),
        (aws(t4="g4dn.xlarge", a10g="g5.xlarge"), "GPU:1", {"t4": 1}),
        pytest.param(H100_AND_A100, "A100-40G,H100:8", {"a100": 1}, marks=pytest.mark.since(2, 51)),
        pytest.param(H100_AND_A100, "H200,H100:8", {"h100": 1}, marks=pytest.mark.since(2, 51)),
        (aws(plain="m5.2xlarge", t4="g4dn.2xlarge"), "CPU:4x4", {"plain": 2}),
        (gcp(v5e={"acceleratorType": "v5litepod-8", "runtimeVersion": "x"}), "TPU-V5LITEPOD:8", {"v5e": 1}),
        (gcp(pod=POD), "TPU-v4-16-head", {"pod": 1}),
        ({**aws(t4="g4dn.xlarge"), "provider": {"type": "aws", "region": "us-west-2"}}, "T4", {"t4": 1}),
    ],
)
def test_what_is_asked_for_is_what_acc_remote_would_ask_for(config: Any, demand: str, launch: dict[str, int]) -> None:
    assert plan(config, demand).launch == launch


@pytest.mark.since(2, 51)
def test_a_type_may_be_written_in_small_letters_and_is_told_as_nodes_announce_it() -> None:
    answer = plan(aws(p4d="p4d.24xlarge", t4="g4dn.xlarge"), "a100:8", "t4,a10gx2", gangs=[["PACK", "t4x2"]])
    assert uses(answer) == {"p4d": {"A100:8": 1}, "t4": {"T4,A10G": 2, "T4": 2}}


def test_the_heads_own_resources_are_used_first() -> None:
    answer = plan(aws(plain="m5.xlarge"), "CPU:1x3")
    assert answer.launch == {"plain": 1}
    assert uses(answer) == {"plain": {"CPU:1": 1}, "head": {"CPU:1": 2}}


def test_min_workers_are_launched_without_a_demand_and_take_what_they_can() -> None:
    config = aws(t4="g4dn.xlarge")
    config["available_node_types"]["t4"]["min_workers"] = 2
    (row, _) = plan(config).rows
    assert (row.node_type, row.count, row.for_min_workers) == ("t4", 2, 2)
    (row, _) = plan(config, "T4").rows
    assert (row.count, row.for_min_workers, row.uses) == (2, 1, (("T4", 1),))


def test_placement_groups_are_placed_whole_or_not_at_all_each_by_its_strategy() -> None:
    file = aws(t4="g4dn.12xlarge")  # 4 GPUs each, at most 4 nodes
    assert plan(file, gangs=[["PACK", "T4:1x4"]]).launch == {"t4": 1}
    assert plan(file, gangs=[["STRICT_SPREAD", "T4:1x4"]]).launch == {"t4": 4}
    assert plan(file, gangs=[["STRICT_PACK", "T4:2x2"], ["strict_spread", "T4x2"]]).launch == {"t4": 3}
    assert plan(file, "T4x4", gangs=[["STRICT_SPREAD"]]).launch == {"t4": 4}
    assert plan(file, "T4x4", gangs=[[]]).launch == {"t4": 1}
    answer = plan(file, gangs=[["STRICT_SPREAD", "T4x5"]])
    assert answer.launch == {}
    (pending,) = answer.pending
    assert (pending.text, pending.strategy, pending.count) == ("STRICT_SPREAD T4x5", "STRICT_SPREAD", 1)
    assert pending.reason == "the whole group waits: max_workers of node type t4 is 4"


def reason(config: dict[str, Any], demand: str, *labels: str) -> tuple[PendingCause, str]:
    (pending,) = plan(config, demand, labels=labels).pending
    return pending.cause, pending.reason


@pytest.mark.parametrize(
    ("config", "demand", "kind", "said"),
    [
        (
            aws(p4d="p4d.24xlarge"),
            "A100-80G:8",
            PendingCause.OTHER_VARIANT,
            (
                "asks accelerator_type:A100-80G, GPU 8; node type p4d has A100-40G; no node type of the file has "
                "it; p4de.24xlarge would take it"
            ),
        ),
        (
            aws(t4="g4dn.xlarge"),
            "T4:3",
            PendingCause.TOO_FEW_DEVICES,
            (
                "asks accelerator_type:T4, GPU 3; node type t4 has GPU 1; no node type of the file has it; "
                "g4dn.12xlarge would take it"
            ),
        ),
        (
            aws(t4="g4dn.xlarge"),
            "T4:16",
            PendingCause.TOO_FEW_DEVICES,
            (
                "asks accelerator_type:T4, GPU 16; node type t4 has GPU 1; no node type of the file has it; no "
                "machine type of aws has that many; the most is 8 devices"
            ),
        ),
        (
            aws(t4="g4dn.xlarge"),
            "H100:8",
            PendingCause.NO_SUCH_ACCELERATOR,
            "asks accelerator_type:H100, GPU 8; the node types of the file have T4; p5.48xlarge would take it",
        ),
        (
            aws(part="g6f.large"),
            "L4",
            PendingCause.PART_OF_A_DEVICE,
            (
                "asks accelerator_type:L4, GPU 1; node type part has L4-3Q, a partition, which is announced under "
                "this name only; no node type of the file has it; g6.xlarge would take it"
            ),
        ),
        (
            aws(t4="g4dn.xlarge"),
            "T4+CPU:8",
            PendingCause.TOO_SMALL,
            (
                "asks accelerator_type:T4, GPU 1, CPU 8; node type t4 has CPU 4; no node type of the file has it; "
                "g4dn.2xlarge would take it"
            ),
        ),
        (
            aws(plain="m5.xlarge"),
            "CPU:16",
            PendingCause.TOO_SMALL,
            "asks CPU 16; node type plain has CPU 4; no node type of the file has it; m5.4xlarge would take it",
        ),
        (
            aws(t4="g4dn.xlarge", most=0),
            "T4",
            PendingCause.NEVER_LAUNCHED,
            "asks accelerator_type:T4, GPU 1; node type t4 would take it, but its max_workers is 0",
        ),
        (
            gcp(pod=POD),
            "TPU-V4:8",
            PendingCause.OVER_SEVERAL_HOSTS,
            (
                "asks accelerator_type:TPU-V4, TPU 8; node type pod is a TPU slice of 8 chips on 2 hosts, each with "
                "TPU 4; a task runs on one host"
            ),
        ),
        (
            gcp(l4="g2-standard-4"),
            "TPU-V5P:4",
            PendingCause.NO_SUCH_ACCELERATOR,
            "asks accelerator_type:TPU-V5P, TPU 4; the node types of the file have L4; v5p-8 would take it",
        ),
        (
            gcp(l4="g2-standard-4"),
            "T4:4",
            PendingCause.NO_SUCH_ACCELERATOR,
            (
                "asks accelerator_type:T4, GPU 4; the node types of the file have L4; n1-standard-1 with 4 x "
                "nvidia-tesla-t4 attached would take it"
            ),
        ),
        (
            aws(plain="m5.xlarge"),
            "GPU:1",
            PendingCause.NO_SUCH_ACCELERATOR,
            "asks GPU 1; no node type of the file has any; g6f.large would take it",
        ),
    ],
)
def test_the_nearest_miss_of_what_stays_pending_is_one_sentence(
    config: dict[str, Any], demand: str, kind: PendingCause, said: str
) -> None:
    assert reason(config, demand) == (kind, said)


def test_a_label_that_no_node_type_has_is_said_with_those_that_they_have() -> None:
    kind, said = reason(aws(t4="g4dn.xlarge"), "T4", "ray.io/market-type=spot")
    assert kind is PendingCause.NO_SUCH_LABEL
    assert said == (
        "asks accelerator_type:T4, GPU 1, label ray.io/market-type=spot; node type t4 has ray.io/market-type=on-demand"
    )
    _, said = reason(aws(t4="g4dn.xlarge"), "T4", "team=in(red,green)")
    assert said == "asks accelerator_type:T4, GPU 1, label team=in(red,green); node type t4 has no label team"
    assert plan(aws(t4="g4dn.xlarge"), "T4", labels=["team=!red"]).launch == {"t4": 1}


@pytest.mark.parametrize(
    ("demand", "said"),
    [
        ("TPU:4", "no machine type of aws has TPU; gcp has"),
        ("A100:8+CPU:200", "no machine type of aws with that many has CPU 200; the most is CPU 96"),
        ("T4:9", "no machine type of aws has that many; the most is 8 devices"),
    ],
)
def test_what_no_machine_has_is_said_by_what_it_lacks(demand: str, said: str) -> None:
    (pending,) = plan(aws(t4="g4dn.xlarge", a100="p4d.24xlarge"), demand).pending
    assert pending.reason.endswith(said)


def test_more_than_ray_would_look_at_in_a_few_seconds_is_refused() -> None:
    with pytest.raises(AccelScalingError, match=r"--demand 'CPU:1x50001': a plan takes at most 50000 of one"):
        plan(aws(t4="g4dn.xlarge"), "CPU:1x50001")


def test_a_slice_that_is_bought_host_by_host_is_said_to_be() -> None:
    answer = plan(gcp(pod=POD), gangs=[["PACK", "TPU-V4:4x2"]])
    assert answer.launch == {"pod": 2}
    (note,) = answer.notes
    assert note.startswith("pod: Ray's scheduler counts a TPU slice as one host with 4 chips; a v4-16 is 2 such hosts")
    assert note.endswith("use ray.util.tpu.slice_placement_group, here --demand TPU-v4-16-head")
    assert plan(gcp(pod=POD), "TPU-v4-16-head").notes == ()


def test_many_nodes_that_come_in_rounds_are_said_to() -> None:
    config = aws(t4="g4dn.xlarge", most=20)
    config["max_workers"] = 20
    (note,) = plan(config, "T4x20").notes
    assert note == (
        "t4: Ray launches 1 of them every 5 s, and more when they run (upscaling_speed: 1); all 20 within 100 s"
    )
    assert plan({**config, "upscaling_speed": 10}, "T4x20").notes == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            PlanArguments(["A1OO:8"]),
            "--demand 'A1OO:8': no node announces accelerator_type 'A1OO'; nearest: A10G, A100; ",
        ),
        (
            PlanArguments(["Tesla T4"]),
            "--demand 'Tesla T4': no node announces accelerator_type 'Tesla T4'; did you mean T4?",
        ),
        (
            PlanArguments(["gpu:1"]),
            "--demand 'gpu:1': 'gpu' is neither an accelerator type nor a Ray resource; write GPU",
        ),
        (PlanArguments(["T4:8y"]), "--demand 'T4:8y': expected TYPE[:ACCS][xCOUNT], such as A100:8x16, "),
        (PlanArguments(["T4:"]), "--demand 'T4:': expected TYPE[:ACCS][xCOUNT]"),
        (PlanArguments(["T4x0"]), "--demand 'T4x0': the count is 0"),
        (PlanArguments(["T4:1.5"]), "--demand 'T4:1.5': 1.5: above 1, Ray accepts whole numbers only; ask for 1 or 2"),
        (
            PlanArguments(["Trainium:0.5"]),
            "--demand 'Trainium:0.5': 0.5: a neuron core is not shared between tasks; ask for 1",
        ),
        (
            PlanArguments(["T4+cpus:4"]),
            "--demand 'T4+cpus:4': after + write a Ray resource, such as CPU:4 or memory:64G; ",
        ),
        (PlanArguments(["T4+GPU:1"]), "--demand 'T4+GPU:1': GPU is given twice"),
        (PlanArguments(["memory:lots"]), "--demand 'memory:lots': memory is an amount of bytes with K, M, G or T"),
        (
            PlanArguments(["T4,Trainium"]),
            "--demand 'T4,Trainium': accelerator_type names types that Ray counts as different",
        ),
        (
            PlanArguments(["T4"], [["STRICT"]]),
            "--gang 'STRICT': a placement group begins with its strategy; nearest: STRICT_",
        ),
        (PlanArguments((), [["PACK"]]), "--gang PACK: it has no demands of its own, and there is no --demand; "),
        (
            PlanArguments((), [["PACK", "T4,L4"]]),
            "--gang 'T4,L4': a placement group's bundle takes one accelerator_type",
        ),
        (PlanArguments(["T4"], (), ["spot"]), "--label 'spot': expected KEY=VALUE, such as ray.io/market-type=spot"),
        (PlanArguments(["T4"], (), ["a=b", "a=c"]), "--label 'a=c': a is given twice; write a=in(a,b)"),
        (
            PlanArguments(["T4"], (), (), "10.0.0.5:6379"),
            "--address takes the demands from the cluster; remove --demand, ",
        ),
        (
            PlanArguments(address="ray://10.0.0.5:10001"),
            "--address 'ray://10.0.0.5:10001': expected HOST or HOST:PORT of the cluster's head",
        ),
        (PlanArguments(address="127.0.0.1:1"), "--address 127.0.0.1:1: no Ray cluster answers there ("),
    ],
)
def test_a_mistake_in_what_is_asked_is_one_sentence(words: PlanArguments, said: str) -> None:
    with pytest.raises(PlanError) as raised:
        plan_cluster(aws(t4="g4dn.xlarge"), shipped_catalog(), words)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_a_mistake_in_the_file_is_one_sentence() -> None:
    for config, said in (
        ({**aws(t4="g4dn.xlarge"), "max_workers": -1}, "max_workers: -1 is less than the minimum of 0"),
        (aws(t4="g4dn.xlrge"), "available_node_types.t4: instance type 'g4dn.xlrge' of aws is not in the catalog "),
    ):
        with pytest.raises(AccelScalingError) as raised:
            plan(config, "T4")
        assert str(raised.value).startswith(said)
