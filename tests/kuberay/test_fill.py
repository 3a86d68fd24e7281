"""The fill of a KubeRay manifest, part by part: which accelerator the pods get, and which value has precedence."""

from __future__ import annotations

import pytest
import yaml

from accel_scaling.errors import AccelScalingError
from tests.support.kuberay import GKE, GPU, TYPE, filled, found, group_of, manifest, types_of


@pytest.mark.parametrize(
    ("limits", "selector", "types"),
    [
        (GPU, "cloud.google.com/gke-accelerator: nvidia-l4", {"L4"}),
        (GPU, "cloud.google.com/gke-accelerator: nvidia-tesla-a100", {"A100", "A100-40G"}),
        (GPU, "cloud.google.com/gke-accelerator: nvidia-rtx-pro-6000", {"RTX-PRO-6000"}),
        (GPU, "node.kubernetes.io/instance-type: g5.xlarge", {"A10G"}),
        (GPU, "node.kubernetes.io/instance-type: g6f.xlarge", {"L4-3Q"}),
        (
            GPU,
            "node.kubernetes.io/instance-type: n1-standard-8, cloud.google.com/gke-accelerator: nvidia-tesla-t4",
            {"T4"},
        ),
        (GPU, "cloud.google.com/machine-family: a4", {"B200"}),
        (GPU, "karpenter.k8s.aws/instance-family: g6e", {"L40S"}),
        (GPU, "karpenter.k8s.aws/instance-gpu-name: a100", {"A100"}),
        (GPU, "karpenter.k8s.aws/instance-gpu-name: l4", {"L4"}),
        ("nvidia.com/gpu: 8", "eks.amazonaws.com/instance-gpu-name: b200", {"B200"}),
        (
            GPU,
            "eks.amazonaws.com/instance-gpu-name: a100, eks.amazonaws.com/instance-gpu-memory: '81920'",
            {"A100", "A100-80G"},
        ),
        (GPU, "nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3", {"H100"}),
        (GPU, "nvidia.com/gpu.product: NVIDIA-A30", {"A30"}),
        (GPU, "nvidia.com/gpu.product: NVIDIA-GeForce-RTX-4090", {"GeForce-RTX-4090"}),
        ("amd.com/gpu: 1", "amd.com/gpu.device-id: 74a1", {"AMD-Instinct-MI300X-OAM"}),
        ("amd.com/gpu: 1", "amd.com/gpu.product-name: AMD_Instinct_MI300X_OAM", {"AMD-Instinct-MI300X-OAM"}),
        ("gpu.intel.com/xe: 1", "gpu.intel.com/product: Flex_170", {"Intel-GPU-Flex-170"}),
        ("aws.amazon.com/neuroncore: 4", "", {"aws-neuron-core"}),
        (
            "aws.amazon.com/neuron: 1",
            "karpenter.k8s.aws/instance-accelerator-name: trainium2",
            {"aws-neuron-core", "Trainium2"},
        ),
        ("habana.ai/gaudi: 8", "node.kubernetes.io/instance-type: dl1.24xlarge", {"Intel-GAUDI"}),
        ("huawei.com/Ascend910: 8", "node.kubernetes.io/npu.chip.name: 910B4", {"Ascend910B4"}),
        ("huawei.com/Ascend310: 1", "", {"Ascend310"}),
        (
            "google.com/tpu: 4",
            "cloud.google.com/gke-tpu-accelerator: tpu7x, cloud.google.com/gke-tpu-topology: 2x2x1",
            {"TPU-V7X"},
        ),
        ("google.com/tpu: 4", "node.kubernetes.io/instance-type: ct5lp-hightpu-4t", {"TPU-V5LITEPOD"}),
    ],
)
def test_the_selectors_tell_the_type(limits: str, selector: str, types: set[str]) -> None:
    assert types_of(manifest(limits=limits, selector=selector)) == types


@pytest.mark.parametrize(
    ("limits", "selector", "resources"),
    [
        ("aws.amazon.com/neuroncore: 6", "", {"neuron_cores": "6"}),
        ("aws.amazon.com/neuron: 2", "node.kubernetes.io/instance-type: inf2.24xlarge", {"neuron_cores": "4"}),
        ("aws.amazon.com/neuron: 2", "node.kubernetes.io/instance-type: trn2.48xlarge", {"neuron_cores": "8"}),
        ("nvidia.com/mig-2g.10gb: 3", "", {"GPU": "3", "mig-2g.10gb": "3"}),
        (
            GPU,
            "cloud.google.com/gke-accelerator: nvidia-tesla-a100, cloud.google.com/gke-gpu-partition-size: 1g.5gb",
            {"mig-1g.5gb": "1"},
        ),
        (GPU, "nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", {"mig-1g.10gb": "1"}),
        ("habana.ai/gaudi: 2", "", {"HPU": "2"}),
        ("gpu.intel.com/i915: 2", "", {"GPU": "2"}),
        ("huawei.com/Ascend910: 8", "", {"NPU": "8"}),
    ],
)
def test_the_limits_tell_how_many_and_not_the_machine(limits: str, selector: str, resources: dict[str, str]) -> None:
    own = group_of(manifest(limits=limits, selector=selector))["resources"]
    assert {name: amount for name, amount in own.items() if not name.startswith(TYPE)} == resources


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        ("cloud.google.com/gke-spot: 'true'", {"ray.io/market-type": "spot"}),
        ("cloud.google.com/gke-provisioning: standard", {"ray.io/market-type": "on-demand"}),
        ("karpenter.sh/capacity-type: spot", {"ray.io/market-type": "spot"}),
        ("eks.amazonaws.com/capacityType: ON_DEMAND", {"ray.io/market-type": "on-demand"}),
        ("topology.kubernetes.io/region: eu-west-1", {"ray.io/availability-region": "eu-west-1"}),
        ("topology.kubernetes.io/zone: us-east1-b", {"ray.io/availability-zone": "us-east1-b"}),
        ("node.kubernetes.io/instance-type: m5.large", {"accel-scaling.io/instance-type": "m5.large"}),
        ("node.kubernetes.io/instance-type: Standard_NC24ads_A100_v4", {}),
        ("kubernetes.io/os: linux", {}),
    ],
)
def test_a_group_without_devices_gets_the_labels_that_its_selectors_fix(selector: str, labels: dict[str, str]) -> None:
    group = group_of(manifest(selector=selector))
    assert group.get("labels", {}) == labels
    assert "resources" not in group


ONE_OF = "[{{matchExpressions: [{{key: {key}, operator: In, values: [{values}]}}]}}]"


def test_an_affinity_of_one_type_is_a_type_and_of_two_is_a_sentence() -> None:
    one = manifest(limits=GPU, terms=ONE_OF.format(key=GKE, values="nvidia-h100-80gb, nvidia-h100-mega-80gb"))
    assert types_of(one) == {"H100"}
    two = manifest(limits=GPU, terms=ONE_OF.format(key=GKE, values="nvidia-l4, nvidia-tesla-t4"))
    done = filled(two)
    assert done.text == two
    (note,) = done.notes
    assert note.endswith("not filled: its pods may get L4 or T4, but a group promises one type; make a group for each")


def test_alternatives_of_an_affinity_must_all_tell_the_same() -> None:
    zones = "{key: topology.kubernetes.io/zone, operator: In, values: [us-east1-b]}"
    same = (
        f"[{{matchExpressions: [{{key: {GKE}, operator: In, values: [nvidia-l4]}}, {zones}]}}, "
        f"{{matchExpressions: [{{key: node.kubernetes.io/instance-type, operator: In, values: [g2-standard-8]}}]}}]"
    )
    group = group_of(manifest(limits=GPU, terms=same))
    assert group["labels"] == {"ray.io/accelerator-type": "L4"}, "the zone is fixed by one of the two only"
    other = same.replace("g2-standard-8", "a2-highgpu-1g")
    assert "make a group for each" in filled(manifest(limits=GPU, terms=other)).notes[0]


def test_what_an_affinity_rules_out_is_left_out_of_what_it_names() -> None:
    terms = (
        f"[{{matchExpressions: [{{key: {GKE}, operator: In, values: [nvidia-l4, nvidia-tesla-t4]}}, "
        f"{{key: {GKE}, operator: NotIn, values: [nvidia-tesla-t4]}}]}}]"
    )
    assert types_of(manifest(limits=GPU, terms=terms)) == {"L4"}
    ((_, said),) = found(manifest(limits=GPU, terms=terms.replace("NotIn, values: [", "NotIn, values: [nvidia-l4, ")))
    assert (
        said == f"it selects {GKE}: nvidia-l4 or nvidia-tesla-t4, and a NotIn in the same term excludes that; "
        "no node has both"
    )


def test_what_an_affinity_prefers_or_rules_out_alone_fixes_nothing() -> None:
    text = manifest(limits=GPU, terms=f"[{{matchExpressions: [{{key: {GKE}, operator: NotIn, values: [nvidia-l4]}}]}}]")
    assert filled(text).text == text


def test_a_gpu_that_nothing_names_is_not_changed_with_what_to_add() -> None:
    text = manifest(limits=GPU)
    done = filled(text)
    assert done.text == text
    (note,) = done.notes
    assert note == (
        "demo.yaml:14: RayCluster demo, group workers: not filled: nvidia.com/gpu does not name the accelerator, and "
        "Ray's autoscaler counts it as GPU alone; name it in the group, such as resources: "
        '{"accelerator_type:L4": "1"} (before KubeRay 1.5 or Ray 2.51: rayStartParams), or add a nodeSelector that '
        "its nodes have, such as cloud.google.com/gke-accelerator: nvidia-l4, or "
        "node.kubernetes.io/instance-type: g5.xlarge, or nvidia.com/gpu.product: NVIDIA-L40S"
    )


def test_a_selector_of_an_accelerator_without_a_limit_is_said() -> None:
    (note,) = filled(manifest(selector=f"{GKE}: nvidia-l4")).notes
    assert note.endswith(f"it selects nodes by {GKE}: nvidia-l4, but its limits have no such device: its pods get none")


def test_two_kinds_of_device_in_one_pod_are_not_promised() -> None:
    (note,) = filled(manifest(limits="nvidia.com/gpu: 1, google.com/tpu: 4")).notes
    assert "its limits have nvidia.com/gpu and google.com/tpu; a Ray node has accelerators of one family" in note


def test_the_users_own_values_win_and_are_not_said_twice() -> None:
    fields = "resources:\n  GPU: '1'\n  accelerator_type:L4: '1'\nlabels:\n  ray.io/accelerator-type: mine"
    done = filled(manifest(limits=GPU, selector=f"{GKE}: nvidia-l4", fields=fields))
    group = yaml.safe_load(done.text)["spec"]["workerGroupSpecs"][0]
    assert group["resources"] == {"GPU": "1", "accelerator_type:L4": "1"}
    assert group["labels"] == {"ray.io/accelerator-type": "mine"}
    (note,) = done.notes
    assert note == (
        "demo.yaml:20: RayCluster demo, group workers: the label ray.io/accelerator-type: mine contradicts limits and "
        "selectors, which give L4"
    )


def test_a_type_of_the_users_is_not_joined_by_another() -> None:
    text = manifest(limits=GPU, selector=f"{GKE}: nvidia-l4", fields="resources:\n  accelerator_type:H100: '1'")
    done = filled(text)
    assert done.text == text
    assert done.notes == (
        "demo.yaml:17: RayCluster demo, group workers: accelerator_type:H100 is promised, but the selectors name L4",
    )


def test_parameters_move_with_their_comments_and_the_rest_stays() -> None:
    lines = ["", "num-gpus: '1'  # one a pod", "# who it is for", 'labels: "team=a,tier=gold"', "port: '6379'"]
    params = "\n      ".join(lines)
    done = filled(manifest(limits=GPU, selector=f"{GKE}: nvidia-l4", params=params))
    group = yaml.safe_load(done.text)["spec"]["workerGroupSpecs"][0]
    assert group["rayStartParams"] == {"port": "6379"}
    assert group["resources"] == {"GPU": "1", "accelerator_type:L4": "1"}
    assert group["labels"] == {"team": "a", "tier": "gold", "ray.io/accelerator-type": "L4"}
    assert '      GPU: "1"  # one a pod\n' in done.text
    assert "      # who it is for\n      port: '6379'\n" in done.text


@pytest.mark.parametrize(
    "params",
    [
        "{num-gpus: '1', port: '6379', num-cpus: '4'}",
        "{num-gpus: '1'}",
        "{num-gpus: '1',}",
        "{port: '1', memory: '9',}",
    ],
)
def test_parameters_move_out_of_a_mapping_on_one_line(params: str) -> None:
    before = yaml.safe_load(params)
    group = group_of(manifest(limits=GPU, selector=f"{GKE}: nvidia-l4", params=params))
    assert group["rayStartParams"] == {name: text for name, text in before.items() if name == "port"}
    names = {"num-gpus": "GPU", "num-cpus": "CPU", "memory": "memory"}
    assert group["resources"] == {
        **{names[name]: text for name, text in before.items() if name in names}, "accelerator_type:L4": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "fields"),
    [
        ("", "resources:\nlabels: ~   # none yet"),
        ("  # none but\n      num-gpus: '1'", ""),
        ("&mine\n      num-gpus: '1'\n      num-cpus: >-\n        8", "labels: {}"),
        ("\n      resources: |\n        '{\"GPU\": 1}'\n", "resources: {CPU: '8'}"),
    ],
)
@pytest.mark.parametrize("version", [None, "1.4"])
def test_keys_without_a_value_and_values_on_lines_of_their_own_are_no_hindrance(
    params: str, fields: str, version: str | None
) -> None:
    fields = fields if version is None else ""
    done = filled(manifest(limits=GPU, selector=f"{GKE}: nvidia-l4", params=params, fields=fields), version)
    group = yaml.safe_load(done.text)["spec"]["workerGroupSpecs"][0]
    said = group["resources"] if version is None else group["rayStartParams"]["resources"]
    assert "accelerator_type:L4" in said
    assert filled(done.text, version).text == done.text


def test_a_group_that_leaves_no_place_is_not_changed_with_what_to_do() -> None:
    text = manifest(limits=GPU, selector=f"{GKE}: nvidia-l4").replace(
        "- groupName: workers", "- groupName:\n      workers"
    )
    done = filled(text)
    assert done.text == text
    assert done.notes[0].endswith(
        "not filled: write its keys and those of rayStartParams on a line each, with the value"
    )


def test_resources_in_both_places_are_joined_and_the_groups_own_win() -> None:
    fields, params = "resources:\n  GPU: '1'", "{num-gpus: '2', num-cpus: '4'}"
    group = group_of(manifest(limits="nvidia.com/gpu: 2", params=params, fields=fields))
    assert group["resources"] == {"CPU": "4", "GPU": "1"}
    assert group["rayStartParams"] == {}


def test_a_resource_that_kuberay_would_read_as_another_stays_where_it_is() -> None:
    text = manifest(limits=GPU, selector=f"{GKE}: nvidia-l4", params=r"""{resources: '"{\"big_gpu\": 1}"'}""")
    done = filled(text)
    assert done.text == text
    assert "not filled: rayStartParams.resources has big_gpu, which KubeRay would read as another" in done.notes[0]


@pytest.mark.parametrize("params", ["{resources: 'a: 1', num-cpus: '1'}", "{labels: 'a'}", "{resources: '[1]'}"])
def test_what_cannot_be_read_is_not_moved(params: str) -> None:
    text = manifest(limits=GPU, selector=f"{GKE}: nvidia-l4", params=params)
    done = filled(text)
    assert done.text == text
    assert "not filled: rayStartParams." in " ".join(done.notes)


def test_the_old_api_has_no_fields_for_it_and_gets_the_old_form() -> None:
    text = manifest(limits=GPU, selector=f"{GKE}: nvidia-l4").replace("ray.io/v1", "ray.io/v1alpha1")
    group = group_of(text)
    assert group["rayStartParams"] == {"resources": """'{"accelerator_type:L4": 1}'"""}
    assert "resources" not in group


def test_what_a_kuberay_before_1_5_would_not_read_is_said() -> None:
    text = manifest(limits=GPU, selector=f"{GKE}: nvidia-l4", fields="labels: {a: b}")
    done = filled(text, "v1.4.2")
    assert done.text == text
    assert done.notes[0].endswith(
        "not filled: the group has its own `labels`, and KubeRay before 1.5 does not read them"
    )


@pytest.mark.parametrize("version", ["", "newest", "1", "1.x", "15", "1.4; rm"])
def test_a_malformed_version_is_one_sentence(version: str) -> None:
    with pytest.raises(AccelScalingError, match=r"--kuberay-version is .*expected the operator's, such as 1\.4"):
        filled(manifest(), version)


@pytest.mark.parametrize("version", ["1.5", "v1.5.1", "1.10", "2.0.0", "v1.6.0-rc.1"])
def test_versions_from_1_5_on_have_the_new_form(version: str) -> None:
    text = manifest(limits=GPU, selector=f"{GKE}: nvidia-l4")
    assert filled(text, version).text == filled(text).text


def test_single_host_slices_that_ray_does_not_see_get_their_head_resource() -> None:
    expressions = (
        "{key: cloud.google.com/gke-tpu-accelerator, operator: In, values: [tpu-v6e-slice]}, "
        "{key: cloud.google.com/gke-tpu-topology, operator: In, values: [2x4]}"
    )
    text = manifest(limits="google.com/tpu: 8", terms=f"[{{matchExpressions: [{expressions}]}}]")
    assert group_of(text)["resources"] == {"accelerator_type:TPU-V6E": "1", "TPU-v6e-8-head": "1"}
    many = text.replace("[2x4]", "[4x4]").replace("tpu: 8", "tpu: 4").replace("minReplicas: 0", "numOfHosts: 4")
    group = group_of(many)
    assert group["resources"] == {"accelerator_type:TPU-V6E": "1"}
    assert "ray.io/tpu-worker-id" not in group["labels"]
