"""`kuberay check`: each contradiction with its line, and nothing where there is none."""

from __future__ import annotations

import pytest

from accel_scaling.cli.main import main
from tests.support.kuberay import GKE, MACHINE, TOPOLOGY, TPU, found, manifest

SPOT = "cloud.google.com/gke-spot: 'true'"


@pytest.mark.parametrize(
    ("parts", "line", "words"),
    [
        (
            {"selector": SPOT, "fields": "labels:\n  ray.io/market-type: on-demand"},
            17,
            f"the label ray.io/market-type: on-demand contradicts {SPOT.replace(chr(39), '')} in line 22",
        ),
        (
            {"selector": f"{SPOT}, karpenter.sh/capacity-type: on-demand"},
            20,
            "it selects cloud.google.com/gke-spot: true and karpenter.sh/capacity-type: on-demand; no node has both",
        ),
        (
            {
                "fields": "labels:\n  ray.io/availability-zone: us-east1-c",
                "selector": "topology.kubernetes.io/zone: us-east1-b",
            },
            17,
            "the label ray.io/availability-zone: us-east1-c contradicts limits and selectors, which give us-east1-b",
        ),
        ({"params": "{num-gpus: '1'}"}, 15, "GPU: 1 is promised, but the container's limits have no device for it"),
        (
            {"fields": "resources:\n  neuron_cores: '2'"},
            17,
            "neuron_cores: 2 is promised, but the container's limits have no device for it",
        ),
        (
            {"limits": "nvidia.com/gpu: 1", "params": "{num-gpus: '2'}"},
            15,
            "GPU: 2 is promised, but the limits have only nvidia.com/gpu: 1",
        ),
        (
            {"limits": "nvidia.com/gpu: 2", "requests": "nvidia.com/gpu: 1"},
            25,
            "requests has nvidia.com/gpu: 1 and limits 2; for devices they must be equal",
        ),
        (
            {"requests": "nvidia.com/gpu: 1"},
            25,
            "requests has nvidia.com/gpu: 1 and limits has none; Kubernetes requires the limit",
        ),
        (
            {"limits": "nvidia.com/gpu: 500m"},
            24,
            "the limit nvidia.com/gpu: 500m is not a whole number, as devices are",
        ),
        (
            {"limits": "google.com/tpu: 4", "selector": TPU},
            20,
            "it selects by cloud.google.com/gke-tpu-accelerator and not by cloud.google.com/gke-tpu-topology",
        ),
        (
            {"limits": "google.com/tpu: 4", "selector": TOPOLOGY},
            20,
            "it selects by cloud.google.com/gke-tpu-topology and not by cloud.google.com/gke-tpu-accelerator",
        ),
        (
            {"limits": "google.com/tpu: 4", "selector": f"{TPU}, {TOPOLOGY}"},
            24,
            "google.com/tpu: 4 with numOfHosts: 1 is 4 chips, and topology 2x2x2 has 8; write numOfHosts: 2",
        ),
        (
            {"limits": "google.com/tpu: 4", "selector": f"{TPU}, {TOPOLOGY.replace('2x2x2', '3x3')}"},
            20,
            "TPU topology '3x3' of V4 does not exist on Google Cloud; it has 2x2x1, 2x2x2, 2x2x4, 2x4x4, 4x4x4, 4x4x8,",
        ),
        (
            {"selector": f"{TPU}, {TOPOLOGY}"},
            20,
            "it selects TPU nodes, but the container's limits have no google.com/tpu",
        ),
        (
            {
                "limits": "google.com/tpu: 4",
                "selector": f"{TPU}, {TOPOLOGY}",
                "fields": "numOfHosts: 2\nresources:\n  TPU-v4-16-head: '1'",
            },
            18,
            "TPU-v4-16-head reaches each of 2 hosts; remove it, Ray adds it for host 0",
        ),
        (
            {
                "limits": "google.com/tpu: 4",
                "selector": f"{TPU}, {TOPOLOGY}",
                "fields": "numOfHosts: 2\nlabels: {ray.io/tpu-worker-id: '0'}",
            },
            17,
            "the label ray.io/tpu-worker-id reaches each of 2 hosts; remove it, each host detects its own",
        ),
        (
            {"params": "{num-cpus: '4'}", "fields": "resources: {CPU: '4'}"},
            15,
            "rayStartParams has num-cpus and the group has `resources`, which KubeRay refuses together",
        ),
        (
            {"params": "{labels: 'a=b'}"},
            15,
            "rayStartParams.labels is refused by KubeRay 1.5, and Ray's autoscaler does not read it",
        ),
        (
            {"params": "{num-cpus: four}"},
            15,
            "rayStartParams.num-cpus: four is not a whole number; `ray start` and Ray's autoscaler fail on it",
        ),
        ({"params": "{memory: 4Gi}"}, 15, "rayStartParams.memory: 4Gi is not a whole number; `ray start` and Ray's"),
        ({"params": "{labels: 'a'}"}, 15, "rayStartParams.labels is a, but Ray reads KEY=VALUE,KEY=VALUE there"),
        (
            {"params": "{resources: 'a: 1'}"},
            15,
            "rayStartParams.resources is a: 1, but Ray reads quoted JSON of whole numbers there",
        ),
        (
            {"fields": "resources: {cpu: '0'}"},
            16,
            "resources.cpu: Ray's autoscaler reads it as a resource of that name; write CPU",
        ),
        (
            {
                "limits": "nvidia.com/gpu: 1",
                "selector": f"{GKE}: nvidia-l4",
                "fields": "labels:\n  ray.io/accelerator-type: T4",
            },
            17,
            "the label ray.io/accelerator-type: T4 contradicts limits and selectors, which give L4",
        ),
        (
            {
                "limits": "nvidia.com/gpu: 1",
                "selector": f"{GKE}: nvidia-l4",
                "fields": "resources: {'accelerator_type:T4': '1'}",
            },
            16,
            "accelerator_type:T4 is promised, but the selectors name L4",
        ),
        (
            {"limits": "nvidia.com/gpu: 1", "selector": f"{GKE}: nvidia-l44"},
            20,
            f"{GKE}: nvidia-l44 is not an accelerator of the catalog; nearest: nvidia-l4,",
        ),
        (
            {"limits": "nvidia.com/gpu: 1", "selector": f"{MACHINE}: trn1.32xlarge"},
            20,
            f"{MACHINE}: trn1.32xlarge has no nvidia device, and the limits ask for nvidia.com/gpu: 1; no node",
        ),
        (
            {"limits": "nvidia.com/gpu: 8", "selector": f"{MACHINE}: p4d.24xlrge"},
            20,
            f"{MACHINE}: p4d.24xlrge is not a machine type of the catalog; nearest: p4d.24xlarge",
        ),
        (
            {"limits": "nvidia.com/gpu: 8", "selector": f"{MACHINE}: g5.xlarge"},
            20,
            f"{MACHINE}: g5.xlarge has 1 nvidia device, and the limits ask for nvidia.com/gpu: 8; no node",
        ),
        (
            {"limits": "nvidia.com/gpu: 1", "selector": f"{MACHINE}: g2-standard-8, {GKE}: nvidia-tesla-t4"},
            20,
            f"{MACHINE}: g2-standard-8 has another accelerator than the other selector names",
        ),
        (
            {"limits": "nvidia.com/gpu: 1", "selector": f"nvidia.com/gpu.product: Tesla-T4, {GKE}: nvidia-l4"},
            20,
            f"{GKE}: nvidia-l4 contradicts nvidia.com/gpu.product: Tesla-T4: no accelerator is both",
        ),
        (
            {"limits": "nvidia.com/gpu: 1", "selector": "amd.com/gpu.device-id: 74a1"},
            20,
            "amd.com/gpu.device-id: 74a1 selects amd, and nvidia.com/gpu are devices of nvidia",
        ),
    ],
)
def test_each_contradiction_is_found_with_its_line(parts: dict[str, str], line: int, words: str) -> None:
    text = manifest(**parts)
    (first,) = found(text)
    assert first[1].startswith(words)
    assert first[0] == line, text.splitlines()[first[0] - 1]


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"limits": "nvidia.com/gpu: 1"},
        {"limits": "nvidia.com/gpu: 0"},
        {"limits": "nvidia.com/gpu: '8'", "requests": "cpu: 8, nvidia.com/gpu: 8", "params": "{num-gpus: '4'}"},
        {"limits": "nvidia.com/gpu: 8", "params": "{num-gpus: '0', num-cpus: '0'}"},
        {"limits": "nvidia.com/gpu: 1", "selector": f"{MACHINE}: Standard_NC24ads_A100_v4"},
        {"limits": "nvidia.com/gpu: 1", "selector": f"{SPOT}, cloud.google.com/gke-provisioning: spot"},
        {"limits": "google.com/tpu: 4", "selector": f"{TPU}, {TOPOLOGY}", "fields": "numOfHosts: 2"},
        {"limits": "aws.amazon.com/neuron: 1", "fields": "resources: {neuron_cores: '2'}"},
        {"selector": SPOT, "fields": "labels: {ray.io/market-type: spot, team: a}"},
        {"params": r"""{resources: '"{\"a\": 1}"'}"""},
        {
            "limits": "nvidia.com/gpu: 1",
            "selector": f"{GKE}: nvidia-a100-80gb",
            "fields": "labels: {ray.io/accelerator-type: A100-80G}\nresources: {'accelerator_type:A100-80G': '1'}",
        },
    ],
)
def test_what_does_not_contradict_itself_is_not_found(parts: dict[str, str]) -> None:
    assert found(manifest(**parts)) == []


LABELS = """apiVersion: ray.io/v1
kind: RayCluster
metadata: {{name: a}}
spec:
  headGroupSpec:
    rayStartParams: {{}}
    template: {{spec: {{containers: [{{name: h, image: "rayproject/ray:2.60.0"}}]}}}}
  workerGroupSpecs:
  - groupName: g
    rayStartParams: {{}}
    template:
      spec:
        nodeSelector:
          node.kubernetes.io/instance-type: p5.48xlarge
          {label}
        containers: [{{name: w, image: "rayproject/ray:2.60.0", resources: {{limits: {{nvidia.com/gpu: 1}}}}}}]
"""


@pytest.mark.parametrize(
    ("label", "has"),
    [
        ('karpenter.k8s.aws/instance-gpu-count: "4"', "8 accelerators"),
        ('karpenter.k8s.aws/instance-gpu-memory: "24576"', "81559 MiB in each"),
        ("karpenter.k8s.aws/instance-gpu-manufacturer: amd", "H100"),
        ("kubernetes.io/arch: arm64", "amd64"),
        ('karpenter.k8s.aws/instance-gpu-count: "8"', ""),
        ('karpenter.k8s.aws/instance-gpu-memory: "81920"', ""),
        ("karpenter.k8s.aws/instance-gpu-manufacturer: nvidia", ""),
        ("kubernetes.io/arch: amd64", ""),
    ],
)
def test_a_label_that_the_instance_type_cannot_have_is_named(label: str, has: str, tmp_path, capsys) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(LABELS.format(label=label))
    assert main(["kuberay", "check", str(path)]) == (2 if has else 0)
    said = "".join(capsys.readouterr())
    named = f"contradicts node.kubernetes.io/instance-type: p5.48xlarge, which has {has}; no node has both"
    assert (named in said) is bool(has)
