"""A plan for a manifest of KubeRay: what its autoscaler would launch, and why a demand waits."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from accel_scaling import _ray
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import ClusterConfigError, PlanError
from accel_scaling.kuberay.fill import fill
from accel_scaling.plan.manifest import read_manifest
from accel_scaling.plan.model import PendingCause, Plan
from accel_scaling.plan.run import PlanArguments, plan_manifest
from tests.support.manifests import A100, L4, V4, group, planned, raycluster

ONE_L4 = group("l4", "nvidia.com/gpu: 1", selector=L4)
UNPROMISED = "group a100 does not promise it to Ray's autoscaler; it would take it after `accel-scaling kuberay fill`"
TWO_HOSTS = group("v4", "google.com/tpu: 4", selector=V4, numOfHosts=2)


def filled(text: str) -> str:
    return fill(text, "demo.yaml", shipped_catalog()).text


def reasons(answer: Plan) -> list[tuple[str, int, PendingCause, str]]:
    return [(each.text, each.count, each.cause, each.reason) for each in answer.pending]


@pytest.mark.since(2, 51)
def test_a_demand_waits_for_a_manifest_that_is_not_filled_and_the_notes_say_what_a_fill_changes() -> None:
    cluster, answer = planned(raycluster(group("a100", "nvidia.com/gpu: 8", selector=A100)), "A100:8x2", "GPU:8")
    assert answer.launch == {"a100": 1}
    assert reasons(answer) == [
        (
            "A100:8",
            2,
            PendingCause.NOT_PROMISED,
            f"asks accelerator_type:A100, GPU 8; {UNPROMISED}",
        )
    ]
    assert cluster.notes == (
        (
            "group a100 is not filled: Ray's autoscaler sees CPU 8, GPU 8, memory 32.0 GiB, no labels; `accel-scaling "
            "kuberay fill` adds accelerator_type:A100 1, accelerator_type:A100-80G 1, label "
            "ray.io/accelerator-type=A100 and label accel-scaling.io/accelerator-variant=A100-80G"
        ),
    )
    assert answer.notes == (
        "after `accel-scaling kuberay fill`, the same demands would launch a100 3, and nothing would stay pending",
    )


@pytest.mark.since(2, 51)
def test_a_filled_manifest_launches_and_has_no_such_note() -> None:
    text = filled(raycluster(group("a100", "nvidia.com/gpu: 8", selector=A100), ONE_L4))
    cluster, answer = planned(text, "A100-80G:8x2", "L4", labels=())
    assert (answer.launch, answer.pending, answer.notes, cluster.notes) == ({"a100": 2, "l4": 1}, (), (), ())


@pytest.mark.since(2, 51)
def test_a_label_that_only_a_fill_adds_is_not_promised() -> None:
    text = raycluster(group("l4", "nvidia.com/gpu: 1", selector=f"{L4}, cloud.google.com/gke-spot: 'true'"))
    _, answer = planned(text, "GPU", labels=["ray.io/market-type=spot"])
    assert [each.cause for each in answer.pending] == [PendingCause.NOT_PROMISED]
    _, answer = planned(filled(text), "GPU", labels=["ray.io/market-type=on-demand"])
    assert "group l4 has ray.io/market-type=spot" in answer.pending[0].reason


@pytest.mark.since(2, 51)
def test_the_limit_of_a_group_is_its_max_replicas() -> None:
    _, answer = planned(filled(raycluster(ONE_L4)), "L4x6")
    assert reasons(answer) == [
        ("L4", 2, PendingCause.MAX_WORKERS_OF_TYPE, "waits until other work ends: maxReplicas of group l4 is 4")
    ]
    assert answer.limits == ("maxReplicas of group l4 is 4, and 6 would be needed",)


@pytest.mark.since(2, 51)
def test_what_no_group_has_is_reported_with_groups_and_the_manifest() -> None:
    _, answer = planned(filled(raycluster(ONE_L4)), "H100", "L4:4")
    assert [(each.cause, each.reason) for each in answer.pending] == [
        (
            PendingCause.TOO_FEW_DEVICES,
            "asks accelerator_type:L4, GPU 4; group l4 has GPU 1; no group of the manifest has it",
        ),
        (PendingCause.NO_SUCH_ACCELERATOR, "asks accelerator_type:H100, GPU 1; the groups of the manifest have L4"),
    ]
    machine = "node.kubernetes.io/instance-type: g5.xlarge"
    _, answer = planned(filled(raycluster(group("a10g", "nvidia.com/gpu: 1", selector=machine))), "H100:8")
    assert answer.pending[0].reason.endswith("have A10G; p5.48xlarge would take it"), (
        "the cloud is known by the machine"
    )


@pytest.mark.since(2, 51)
def test_running_replicas_take_demands_before_others_are_launched() -> None:
    text = filled(raycluster(group("l4", "nvidia.com/gpu: 1", selector=L4, replicas=2)))
    _, answer = planned(text, "L4x3", "CPU:4x3")
    assert answer.launch == {"l4": 1}
    assert {(row.node_type, row.launched, row.uses) for row in answer.rows} == {
        ("l4", True, (("L4", 1),)),
        ("l4", False, (("L4", 2), ("CPU:4", 2))),
        ("headgroup", False, (("CPU:4", 1),)),
    }


@pytest.mark.since(2, 51)
def test_without_an_autoscaler_groups_keep_their_replicas() -> None:
    text = filled(raycluster(group("l4", "nvidia.com/gpu: 1", selector=L4, replicas=1), spec="rayVersion: 2.60.0"))
    cluster, answer = planned(text, "L4x2", gangs=[["STRICT_SPREAD", "L4:1x2"]])
    assert answer.launch == {}
    keeps = "group l4 keeps its replicas (1), as the manifest has no enableInTreeAutoscaling: true"
    assert [each.reason for each in answer.pending] == [
        f"waits until other work ends: {keeps}",
        f"the whole group waits: {keeps}",
    ]
    assert "no autoscaler runs for this manifest: it has no enableInTreeAutoscaling: true" in cluster.notes


@pytest.mark.since(2, 51)
def test_a_suspended_group_and_one_of_no_replicas_would_take_it() -> None:
    suspended = group("l4", "nvidia.com/gpu: 1", selector=L4, suspend="true", minReplicas=1)
    _, answer = planned(filled(raycluster(suspended)), "L4")
    assert answer.pending[0].reason.endswith("group l4 would take it, but is suspended (suspend: true)")
    _, answer = planned(filled(raycluster(group("l4", "nvidia.com/gpu: 1", selector=L4, most=0))), "L4")
    assert answer.pending[0].reason.endswith("group l4 would take it, but its maxReplicas is 0")


def test_a_group_of_several_hosts_starts_whole_replicas_only() -> None:
    _, answer = planned(filled(raycluster(TWO_HOSTS)), "TPU:4x3")
    assert answer.launch == {"v4": 2}
    ((text, count, cause, reason),) = reasons(answer)
    assert (text, count, cause) == ("TPU:4", 1, PendingCause.PART_OF_A_REPLICA)
    assert reason.startswith("group v4 starts whole replicas of 2 pods; Ray's autoscaler asks for 3 pods, and ")
    _, answer = planned(filled(raycluster(TWO_HOSTS)), gangs=[["STRICT_SPREAD", "TPU:4x2"]])
    assert (answer.launch, answer.pending) == ({"v4": 2}, ())
    _, answer = planned(filled(raycluster(TWO_HOSTS)), "TPU:4x10")
    assert answer.limits == ("maxReplicas of group v4 is 4 replicas of 2 pods, and 5 would be needed",)


@pytest.mark.since(2, 51)
def test_what_ray_start_params_say_counts_and_their_labels_do_not() -> None:
    params = r"""{num-gpus: "2", resources: '"{\"efa\": 8}"', labels: "team=search"}"""
    text = raycluster(group("l4", "", rayStartParams=params, resources="{}"))
    cluster, answer = planned(text, "efa:8", "GPU:2")
    assert answer.launch == {"l4": 1}
    assert cluster.types["l4"].labels == {}


def test_an_old_ray_in_the_image_does_not_read_the_groups_own_fields() -> None:
    text = filled(raycluster(ONE_L4))
    cluster, answer = planned(text.replace("spec:\n  enable", "spec:\n  rayVersion: 2.40.0\n  enable"), "L4")
    assert [each.cause for each in answer.pending] == [PendingCause.NO_SUCH_ACCELERATOR]
    assert (
        "RayCluster demo, group l4: rayVersion says Ray 2.40, whose autoscaler does not read the group's resources and "
        "labels"
    ) in cluster.notes
    assert "the plan is of Ray's autoscaler v2; this manifest runs v1, which differs in some cases" in cluster.notes


@pytest.mark.parametrize(
    ("spec", "is_v1"),
    [
        ("autoscalerOptions: {version: v1}", True),
        ("autoscalerOptions: {version: v2}\n  rayVersion: 2.40.0", False),
        ("rayVersion: 2.47.0", False),
    ],
)
def test_the_version_of_the_autoscaler_is_the_manifests(spec: str, is_v1: bool) -> None:
    cluster, _ = planned(raycluster(ONE_L4, spec=f"enableInTreeAutoscaling: true\n  {spec}"), "GPU")
    assert any("runs v1" in note for note in cluster.notes) == is_v1


@pytest.mark.since(2, 51)
def test_the_upscaling_mode_decides_on_the_rounds() -> None:
    many = filled(raycluster(group("l4", "nvidia.com/gpu: 1", selector=L4, most=100)))
    _, answer = planned(many, "L4x50")
    assert "l4: Ray launches 10 of them every 5 s, and more when they run (upscalingMode: Default)" in answer.notes[0]
    slow = many.replace("\n  headGroupSpec", "\n  autoscalerOptions: {upscalingMode: Conservative}\n  headGroupSpec")
    _, answer = planned(slow, "L4x50")
    assert (
        "l4: Ray launches 1 of them every 5 s, and more when they run (upscalingMode: Conservative)" in answer.notes[0]
    )


@pytest.mark.since(2, 51)
@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("RayJob", ("rayClusterSpec",)),
        ("RayService", ("rayClusterConfig",)),
        ("RayCronJob", ("jobTemplate", "rayClusterSpec")),
    ],
)
def test_other_kinds_with_a_cluster_are_planned_too(kind: str, keys: tuple[str, ...]) -> None:
    spec = raycluster(ONE_L4).partition("spec:\n")[2]
    for key in reversed(keys):
        spec = f"  {key}:\n" + "".join(f"  {line}\n" for line in spec.splitlines())
    text = f"apiVersion: ray.io/v1\nkind: {kind}\nmetadata: {{name: j}}\nspec:\n{spec}"
    assert planned(filled(text), "L4")[1].launch == {"l4": 1}


def test_of_several_manifests_one_is_chosen_by_name() -> None:
    text = raycluster(ONE_L4, name="small") + "---\n" + raycluster(TWO_HOSTS, name="large")
    with pytest.raises(ClusterConfigError) as raised:
        planned(text, "GPU")
    assert str(raised.value) == (
        "demo.yaml has RayCluster small (line 6) and RayCluster large (line 21); choose one with --name, such as "
        "--name small"
    )
    assert planned(text, "GPU", name="small")[1].launch == {"l4": 1}
    assert planned(text, "GPU", name="RayCluster/large")[1].launch == {}
    with pytest.raises(PlanError, match=r"--name 'big': demo.yaml has .*; none has this name"):
        planned(text, "GPU", name="big")
    with pytest.raises(PlanError, match="several have this name; write KIND/NAME"):
        planned(raycluster(ONE_L4) + "---\n" + raycluster(ONE_L4), "GPU", name="demo")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            raycluster(ONE_L4.replace("cpu: 8, ", "")),
            "demo.yaml:8: RayCluster demo, group l4: Ray's autoscaler cannot read it, and then launches nothing: Auto",
        ),
        (
            raycluster(group("l4", "", minReplicas=3, maxReplicas=2)),
            "demo.yaml:8: RayCluster demo, group l4: minReplicas is 3, and maxReplicas 2; write a larger maxReplicas",
        ),
        (
            raycluster(group("l4", "", maxReplicas="${MOST}")),
            "demo.yaml:10: RayCluster demo, group l4: maxReplicas is left open by a template (${MOST}): render ",
        ),
        (
            raycluster(group("l4", "nvidia.com/gpu: '${GPUS}'")),
            "demo.yaml:14: RayCluster demo, group l4: resources is left open by a template (${GPUS}): render the file ",
        ),
        (
            raycluster(group("l4", "", maxReplicas="many")),
            "demo.yaml:10: RayCluster demo, group l4: maxReplicas: many is not a whole number of 0 or more",
        ),
        (
            raycluster(group("l4", "", rayStartParams="{resources: '{efa: 8}'}")),
            "demo.yaml:8: RayCluster demo, group l4: rayStartParams.resources is {efa: 8}, but Ray reads quoted JSON",
        ),
        (
            raycluster(group("l4", "", most=2000000000, replicas=1000000000)),
            "demo.yaml:8: RayCluster demo, group l4: 1000000000 pods run from the start, and a plan ",
        ),
        (
            "apiVersion: ray.io/v1\nkind: RayJob\nmetadata: {name: j}\nspec: {clusterSelector: {a: b}}\n",
            "demo.yaml: the ",
        ),
    ],
)
def test_a_mistake_in_a_manifest_is_one_sentence_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ClusterConfigError) as raised:
        planned(text, "GPU")
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_a_manifest_with_a_head_only_is_planned_too() -> None:
    _, answer = planned(raycluster(), "CPU:2", "GPU")
    assert answer.launch == {}
    assert reasons(answer) == [
        ("GPU", 1, PendingCause.NO_SUCH_ACCELERATOR, "asks GPU 1; no group of the manifest has GPU")
    ]
    assert answer.notes == (
        "the manifest has no worker group, so nothing can be launched; add one to workerGroupSpecs",
    )


def test_the_demands_of_a_running_cluster_are_planned_for_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is Ray's own type, as the head's pod and a worker's pod announce their groups (RAY_NODE_TYPE_NAME)."""
    request = _ray.resource_request({"GPU": 1, "CPU": 1}, ())
    pods = (
        _ray.running_instance("headgroup", 0, {"CPU": 4}, {}, head=True),
        _ray.running_instance("l4", 1, {"CPU": 8, "GPU": 1}, {}),
    )
    state = _ray.ClusterState(((request, 3),), (), (), pods, {"headgroup": 1, "l4": 1})
    monkeypatch.setattr(_ray, "cluster_state", lambda *_: state)
    monkeypatch.setattr(_ray, "asks_for_token", lambda *_: False)
    manifest = read_manifest(raycluster(ONE_L4), "demo.yaml")
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = PlanArguments(address=f"127.0.0.1:{server.getsockname()[1]}")
        _, answer = plan_manifest(manifest, shipped_catalog(), arguments)
    assert answer.launch == {"l4": 2}
    assert answer.pending == ()


def test_a_ray_that_does_not_read_a_groups_own_fields_says_so(with_ray: Any) -> None:
    with_ray("2.50.1")
    cluster, _ = planned(filled(raycluster(group("l4", "nvidia.com/gpu: 1", selector=L4))), "L4")
    assert any("a plan with its resources" in note and "needs Ray 2.51 or newer" in note for note in cluster.notes)
