"""Groups as real people write them: their selectors, their types by hand, and what Ray's autoscaler cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _get_num_cpus, _node_type_from_group_spec

from accel_scaling.cli.main import main
from accel_scaling.errors import ClusterConfigError
from tests.support.kuberay import GKE, GPU, MACHINE, TYPE, filled, found, group_of, manifest, types_of

L4 = f"{GKE}: nvidia-l4"
PRODUCT = "nvidia.com/gpu.product"
A100 = "NVIDIA-A100-SXM4-80GB"
LABEL = "ray.io/accelerator-type"
KARPENTER = "karpenter.k8s.aws"


def expression(key: str, *values: str, operator: str = "In") -> str:
    return f"{{key: {key}, operator: {operator}, values: [{', '.join(values)}]}}"


def any_of(*alternatives: list[str]) -> str:
    terms = [f"{{matchExpressions: [{', '.join(each)}]}}" for each in alternatives]
    return f"[{', '.join(terms)}]"


# Machine types of a service that puts its own prefix before EC2's name.


@pytest.mark.parametrize(
    ("limits", "selector", "types", "machine"),
    [
        ("nvidia.com/gpu: 8", f"{MACHINE}: ml.p5.48xlarge", {"H100"}, "p5.48xlarge"),
        (GPU, "beta.kubernetes.io/instance-type: ml.g5.8xlarge", {"A10G"}, "g5.8xlarge"),
        ("aws.amazon.com/neuron: 16", f"{MACHINE}: ml.trn1.32xlarge", {"aws-neuron-core", "Trainium"}, "trn1.32xlarge"),
        (GPU, f"{MACHINE}: ml.g6f.xlarge", {"L4-3Q"}, "g6f.xlarge"),
    ],
)
def test_machine_types_of_hyperpod_are_those_of_ec2(limits: str, selector: str, types: set[str], machine: str) -> None:
    text = manifest(limits=limits, selector=selector)
    assert types_of(text) == types
    assert group_of(text)["labels"]["accel-scaling.io/instance-type"] == machine
    assert found(text) == []


def test_hyperpods_machine_types_are_compared_and_corrected_with_their_prefix() -> None:
    ((_, said),) = found(manifest(limits="nvidia.com/gpu: 8", selector=f"{MACHINE}: ml.p5.48xlrge"))
    assert said.startswith(
        f"{MACHINE}: ml.p5.48xlrge is not a machine type of the catalog; nearest: ml.p5.48xlarge, ml."
    )
    ((_, said),) = found(manifest(limits="nvidia.com/gpu: 8", selector=f"{MACHINE}: ml.g5.xlarge"))
    assert said.startswith(f"{MACHINE}: ml.g5.xlarge has 1 nvidia device, and the limits ask for nvidia.com/gpu: 8")
    both = manifest(limits=GPU, terms=any_of([expression(MACHINE, "ml.g5.xlarge", "ml.g5.2xlarge", "g5.4xlarge")]))
    assert types_of(both) == {"A10G"}
    assert group_of(manifest(selector=f"{MACHINE}: ml.m5.2xlarge"))["labels"] == {
        "accel-scaling.io/instance-type": "m5.2xlarge"
    }


# Other API groups.


@pytest.mark.parametrize(
    ("api", "words"),
    [
        (
            "cluster.ray.io/v1",
            "apiVersion: cluster.ray.io/v1, of an operator that was used before KubeRay",
        ),
        ("rays.io/v1", "the RayCluster has apiVersion: rays.io/v1; write apiVersion: ray.io/v1, KubeRay's"),
        ("ray.io/v1beta1", "the RayCluster has apiVersion: ray.io/v1beta1; write apiVersion: ray.io/v1"),
        ("ray.io", "the RayCluster has apiVersion: ray.io; write apiVersion: ray.io/v1"),
        ("", "the RayCluster has no apiVersion; write apiVersion: ray.io/v1"),
    ],
)
@pytest.mark.parametrize("before", ["", "kind: Namespace\napiVersion: v1\n---\n"])
def test_another_api_is_named_with_what_to_write(api: str, words: str, before: str) -> None:
    text = before + manifest().replace("apiVersion: ray.io/v1", f"apiVersion: {api}")
    with pytest.raises(ClusterConfigError) as refused:
        filled(text)
    assert words in str(refused.value)
    assert str(refused.value).startswith(f"demo.yaml:{4 if before else 1}: ")


def test_the_first_operators_keys_are_named_with_those_of_kuberay() -> None:
    text = "apiVersion: cluster.ray.io/v1\nkind: RayCluster\nmetadata: {name: wild}\nspec: {podTypes: []}\n"
    with pytest.raises(ClusterConfigError, match="headGroupSpec and workerGroupSpecs in place of podTypes"):
        filled(text)


# CPUs that nothing tells.


def without_cpus(*, autoscaling: bool = True, **parts: str) -> str:
    text = manifest(limits=GPU, selector=L4, **parts).replace("{cpu: 8, memory: 32Gi, ", "{")
    return text.replace("spec:\n  headG", f"spec:\n  enableInTreeAutoscaling: {str(autoscaling).lower()}\n  headG")


def test_a_group_without_cpus_stops_rays_autoscaler_and_both_commands_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = without_cpus()
    ((line, said),) = found(text)
    assert "resources:" in text.splitlines()[line - 1]
    assert "nothing says how many CPUs its pods have; with enableInTreeAutoscaling, Ray's autoscaler then" in said
    with pytest.raises(ValueError, match="failed to detect `CPU` resources for group workers"):
        _node_type_from_group_spec(group_of(text), is_head=False)
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    assert main(["kuberay", "check", str(tmp_path / "c.yaml")]) == 2
    assert main(["kuberay", "fill", str(tmp_path / "c.yaml")]) == 0
    assert said in capsys.readouterr().err
    assert types_of(text) == {"L4"}


@pytest.mark.parametrize(
    "parts",
    [
        {"params": "{num-cpus: '4'}"},
        {"params": "{num-cpus: '0'}"},
        {"fields": "resources: {CPU: '4'}"},
        {"requests": "cpu: 4"},
    ],
)
def test_cpus_may_be_in_each_place_that_ray_reads(parts: dict[str, str]) -> None:
    text = without_cpus(**parts)
    assert found(text) == []
    group = yaml.safe_load(text)["spec"]["workerGroupSpecs"][0]
    limits = group["template"]["spec"]["containers"][0]["resources"]
    assert _get_num_cpus(group.get("resources", {}), group["rayStartParams"], limits, "g") >= 0


def test_without_autoscaling_no_cpus_are_needed_and_an_old_autoscaler_reads_none_of_the_groups() -> None:
    assert found(without_cpus(autoscaling=False)) == []
    old = without_cpus(fields="resources: {CPU: '4'}").replace(
        "- name: ray-worker\n", "- name: ray-worker\n          image: rayproject/ray:2.46.0\n"
    )
    assert any("nothing says how many CPUs" in said for _, said in found(old))


def test_the_head_needs_cpus_too() -> None:
    text = without_cpus(params="{num-cpus: '4'}").replace('limits: {cpu: "2", memory: 4Gi}', "limits: {memory: 4Gi}")
    ((_, said),) = found(text)
    assert said.startswith("nothing says how many CPUs its pods have")


# Names that end in gpu.


def test_intels_early_name_is_counted_by_ray_and_gets_its_type() -> None:
    text = manifest(limits="intel.com/gpu: 2", selector="gpu.intel.com/product: Max_1550")
    assert group_of(text)["resources"] == {"accelerator_type:Intel-GPU-Max-1550": "1"}
    assert _node_type_from_group_spec(group_of(text), is_head=False)["resources"]["GPU"] == 2
    (note,) = filled(manifest(limits="intel.com/gpu: 2")).notes
    assert "intel.com/gpu does not name the accelerator, and Ray's autoscaler counts it as GPU alone; name it" in note
    ((_, said),) = found(manifest(limits="intel.com/gpu: 2", fields="resources: {GPU: '4'}"))
    assert said == "GPU: 4 is promised, but the limits have only intel.com/gpu: 2"


def test_a_type_by_hand_for_a_gpu_that_no_row_has_needs_no_note() -> None:
    text = manifest(limits="vendor.example/gpu: 2", fields="resources: {'accelerator_type:Mine': '1'}")
    assert filled(text).notes == ()


# Types by hand.


@pytest.mark.parametrize(
    ("parts", "resources", "labels"),
    [
        ({"fields": "resources: {'accelerator_type:L4': '1'}"}, {f"{TYPE}L4": "1"}, {LABEL: "L4"}),
        ({"params": r"""{resources: '"{\"accelerator_type:L4\": 1}"'}"""}, {}, {LABEL: "L4"}),
        ({"fields": f"labels: {{{LABEL}: L4}}"}, {f"{TYPE}L4": "1"}, {LABEL: "L4"}),
        (
            {"fields": "resources: {'accelerator_type:A100-80G': '1'}"},
            {f"{TYPE}A100": "1", f"{TYPE}A100-80G": "1"},
            {LABEL: "A100", "accel-scaling.io/accelerator-variant": "A100-80G"},
        ),
        ({"fields": "resources: {'accelerator_type:A100': '1'}"}, {f"{TYPE}A100": "1"}, {LABEL: "A100"}),
        # Beside selectors that allow both variants.
        (
            {
                "fields": "resources: {'accelerator_type:A100-40G': '1'}",
                "selector": f"{KARPENTER}/instance-gpu-name: a100",
            },
            {f"{TYPE}A100": "1", f"{TYPE}A100-40G": "1"},
            {LABEL: "A100", "accel-scaling.io/accelerator-variant": "A100-40G"},
        ),
        # A pool's name tells nothing, and the type by hand does.
        (
            {
                "fields": "resources: {'accelerator_type:L4': '1'}",
                "selector": "cloud.google.com/gke-nodepool: gpus",
            },
            {f"{TYPE}L4": "1"},
            {LABEL: "L4"},
        ),
        ({"fields": "resources: {'accelerator_type:Mine': '1'}"}, {f"{TYPE}Mine": "1"}, {}),
    ],
)
def test_a_type_by_hand_gets_its_label_and_no_note(
    parts: dict[str, str], resources: dict[str, str], labels: dict[str, str]
) -> None:
    text = manifest(limits=GPU, **parts)
    group = group_of(text)
    assert (group.get("resources", {}), group.get("labels", {})) == (resources, labels)
    assert filled(text).notes == ()
    assert found(filled(text).text) == []


def test_a_type_by_hand_tells_how_many_cores_a_device_has() -> None:
    text = manifest(limits="aws.amazon.com/neuron: 2", fields="resources: {'accelerator_type:Trainium2': '1'}")
    assert group_of(text)["resources"]["neuron_cores"] == "8"
    unsaid = manifest(limits="aws.amazon.com/neuron: 2", fields="resources: {'accelerator_type:aws-neuron-core': '1'}")
    assert 'such as resources: {"accelerator_type:Trainium": "1"}' in filled(unsaid).notes[0]


def test_a_type_by_hand_for_a_claim_gets_its_label() -> None:
    text = manifest(fields="resources: {GPU: '1', 'accelerator_type:L4': '1'}")
    text = text.replace("        containers:", "        resourceClaims: [{name: gpu}]\n        containers:")
    text = text.replace("            limits: {cpu: 8", "            claims: [{name: gpu}]\n            limits: {cpu: 8")
    assert text.count("claims: [{name: gpu}]") == 1
    assert group_of(text)["labels"] == {LABEL: "L4"}


def test_a_type_by_hand_of_another_family_is_found() -> None:
    ((_, said),) = found(manifest(limits=GPU, fields="resources: {'accelerator_type:TPU-V4': '1'}"))
    assert said == "accelerator_type:TPU-V4 is promised, of tpu, and nvidia.com/gpu are devices of nvidia"


def test_the_way_out_is_in_the_group_and_is_printed_once_for_all_groups(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = manifest(limits=GPU, selector="cloud.google.com/gke-nodepool: a")
    group = text.partition("  workerGroupSpecs:\n")[2]
    text += group.replace("workers", "two").replace("gpu: 1", "gpu: 8") + group.replace("workers", "three")
    (note,) = filled(text).notes
    assert note.startswith(
        "demo.yaml:14: RayCluster demo, groups workers, two and three: not filled: nvidia.com/gpu does "
    )
    assert 'name it in the group, such as resources: {"accelerator_type:L4": "1"}' in note
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    assert main(["kuberay", "check", str(tmp_path / "c.yaml")]) == 0
    assert capsys.readouterr().err == f"note: {note.replace('demo.yaml', str(tmp_path / 'c.yaml'))}\n"


# Selectors that whole devices and parts of them both answer to.


@pytest.mark.parametrize(
    ("selector", "out"),
    [
        (f"{KARPENTER}/instance-gpu-name: l4", f"exclude g6f and gr6f with a NotIn of {KARPENTER}/instance-family"),
        (
            "eks.amazonaws.com/instance-gpu-name: l4",
            "exclude g6f and gr6f with a NotIn of eks.amazonaws.com/instance-family",
        ),
        (f"{GKE}: nvidia-rtx-pro-6000", f"exclude them with a NotIn of {MACHINE}"),
    ],
)
def test_a_name_that_parts_have_too_is_noted_with_the_way_to_rule_them_out(selector: str, out: str) -> None:
    (note,) = filled(manifest(limits=GPU, selector=selector)).notes
    assert "whose GPU is a part of one" in note
    assert out in note
    assert filled(manifest(limits="nvidia.com/gpu: 2", selector=selector)).notes == (), "no part has two"


@pytest.mark.parametrize(
    ("selector", "out"),
    [
        (
            f"{KARPENTER}/instance-gpu-name: l4",
            expression(f"{KARPENTER}/instance-family", "g6f", "gr6f", operator="NotIn"),
        ),
        (
            f"{GKE}: nvidia-rtx-pro-6000",
            expression(MACHINE, "g4-standard-6", "g4-standard-12", "g4-standard-24", operator="NotIn"),
        ),
    ],
)
def test_who_has_ruled_the_parts_out_needs_no_note(selector: str, out: str) -> None:
    text = manifest(limits=GPU, selector=selector, terms=any_of([out]))
    assert len(types_of(text)) == 1
    assert filled(text).notes == ()


@pytest.mark.parametrize(
    "terms",
    [
        any_of([expression(PRODUCT, A100, f"{A100}-MIG-1g.10gb")]),
        any_of([expression(PRODUCT, A100)], [expression(PRODUCT, f"{A100}-MIG-1g.10gb")]),
        any_of([expression(PRODUCT, f"{A100}-MIG-1g.10gb", f"{A100}-MIG-2g.20gb")]),
        any_of(
            [
                expression(GKE, "nvidia-a100-80gb"),
                expression("cloud.google.com/gke-gpu-partition-size", "1g.10gb", "2g.20gb"),
            ]
        ),
        any_of([expression(PRODUCT, A100, f"{A100}-SHARED")]),
        any_of(
            [expression(GKE, "nvidia-l4")],
            [expression(GKE, "nvidia-l4"), expression("cloud.google.com/gke-gpu-sharing-strategy", "time-sharing")],
        ),
        any_of([expression(MACHINE, "g6.xlarge", "g6f.xlarge")]),
        any_of([expression(f"{KARPENTER}/instance-family", "g6", "g6f")]),
    ],
)
def test_where_some_nodes_have_whole_ones_and_some_parts_no_type_is_promised(terms: str) -> None:
    text = manifest(limits=GPU, terms=terms)
    assert types_of(text) == set()
    assert "resources" not in group_of(text)
    assert len(filled(text).notes) == 1
    assert found(text) == []
