"""Mistakes that `kuberay check` finds, as a fill meets them: refused or noted, with the same line and sentence."""

from __future__ import annotations

import pytest

from accel_scaling.errors import ClusterConfigError
from tests.support.kuberay import GKE, MACHINE, TOPOLOGY, TPU, filled, found, manifest

L4 = f"{GKE}: nvidia-l4"
LIMITS = "limits: {cpu: 8, memory: 32Gi}"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            manifest().replace(LIMITS, "limits: lots"),
            24,
            "the container's limits: lots is not a mapping; write NAME: VALUE",
        ),
        (manifest().replace(LIMITS, "limits: [cpu]"), 24, "the container's limits: a list is not a mapping"),
        (
            manifest().replace(LIMITS, "limits: {cpu: lots}"),
            24,
            "the limit cpu: lots is not a quantity, such as 4, 500m",
        ),
        (manifest(requests="memory: {a: 1}"), 25, "the request memory: a mapping is not a quantity"),
        (
            manifest(limits="nvidia.com/gpu: lots", selector=L4),
            24,
            "the limit nvidia.com/gpu: lots is not a whole number",
        ),
        (manifest(limits="nvidia.com/gpu: -1", selector=L4), 24, "the limit nvidia.com/gpu: -1 is not a whole number"),
        (
            manifest(limits="nvidia.com/gpu: 500m", selector=L4),
            24,
            "the limit nvidia.com/gpu: 500m is not a whole number",
        ),
        (manifest(fields="numOfHosts: two"), 16, "numOfHosts: two is not a whole number of 1 or more"),
        (manifest(fields="numOfHosts: 0"), 16, "numOfHosts: 0 is not a whole number of 1 or more"),
        (manifest(fields="replicas: many"), 16, "replicas: many is not a whole number of 0 or more"),
        (manifest(fields=f"replicas: {'9' * 30}"), 16, "replicas: 999"),
        (
            manifest().replace("minReplicas: 0", "minReplicas: -1"),
            16,
            "minReplicas: -1 is not a whole number of 0 or more",
        ),
        (
            manifest().replace("maxReplicas: 2", 'maxReplicas: "2"'),
            17,
            'maxReplicas: "2" is not a whole number of 0 or more; r',
        ),
        (manifest(fields="labels: lots"), 16, "labels: lots is not a mapping"),
        (manifest(params="lots"), 15, "rayStartParams: lots is not a mapping"),
        (manifest(selector=L4).replace(f"{{{L4}}}", "lots"), 20, "nodeSelector: lots is not a mapping"),
    ],
)
def test_what_kubernetes_would_not_read_is_found_and_a_fill_refuses_it_with_the_same_sentence(
    text: str, line: int, words: str
) -> None:
    ((at, said),) = found(text)
    assert said.startswith(words)
    assert at == line
    with pytest.raises(ClusterConfigError) as refused:
        filled(text)
    assert str(refused.value) == f"demo.yaml:{line}: RayCluster demo, group workers: {said}"


def test_numbers_and_quantities_of_every_kind_are_taken() -> None:
    fields = "numOfHosts: 1\nreplicas: 0\nidleTimeoutSeconds: 60"
    text = manifest(limits="a: 0.5, b: 1e3, c: 100m, d: '2', e: 1.5Gi, f: null", fields=fields)
    assert found(text.replace("maxReplicas: 2", "maxReplicas: 2147483647")) == []


TPUS = f"{TPU}, {TOPOLOGY}"


@pytest.mark.parametrize(
    ("parts", "line", "said"),
    [
        (
            {"limits": "nvidia.com/gpu: 8", "selector": f"{MACHINE}: g5.xlarge"},
            20,
            (
                f"{MACHINE}: g5.xlarge has 1 nvidia device, and the limits ask for nvidia.com/gpu: 8; no node has "
                "both; nothing is promised for its devices"
            ),
        ),
        (
            {"limits": "nvidia.com/gpu: 1", "selector": f"{GKE}: nvidia-l44"},
            20,
            (
                f"{GKE}: nvidia-l44 is not an accelerator of the catalog; nearest: nvidia-l4, nvidia-l4-vws, "
                "nvidia-tesla-t4; nothing is promised for its devices"
            ),
        ),
        (
            {"limits": "google.com/tpu: 4", "selector": TOPOLOGY},
            20,
            (
                "it selects by cloud.google.com/gke-tpu-topology and not by cloud.google.com/gke-tpu-accelerator; GKE "
                "and Ray need both"
            ),
        ),
        ({"selector": TPUS}, 20, "it selects TPU nodes, but the container's limits have no google.com/tpu"),
        (
            {"params": "{labels: 'a'}"},
            15,
            "not filled: rayStartParams.labels is a, but Ray reads KEY=VALUE,KEY=VALUE there",
        ),
        (
            {"limits": "nvidia.com/gpu: 1, google.com/tpu: 4", "selector": TPUS},
            14,
            (
                "its limits have nvidia.com/gpu and google.com/tpu; a Ray node has accelerators of one family, so "
                "nothing is promised for them"
            ),
        ),
    ],
)
def test_a_fill_says_each_mistake_once_and_where_it_is(parts: dict[str, str], line: int, said: str) -> None:
    assert filled(manifest(**parts)).notes == (f"demo.yaml:{line}: RayCluster demo, group workers: {said}",)
