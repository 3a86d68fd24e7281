"""What a plan for a manifest takes for granted of Ray's autoscaler on KubeRay; each failure says what breaks there."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from ray.autoscaler._private.kuberay.node_provider import IKubernetesHttpApiClient
from ray.autoscaler.v2.instance_manager.cloud_providers.kuberay.cloud_provider import KubeRayProvider

from accel_scaling import _ray

POD = {"spec": {"containers": [{"resources": {"limits": {"cpu": "7500m", "memory": "1Gi", "nvidia.com/gpu": "2"}}}]}}
GROUP = {"groupName": "gpu", "replicas": 0, "minReplicas": 0, "maxReplicas": 3, "numOfHosts": 4, "template": POD}


def spec(**keys: Any) -> dict[str, Any]:
    return {"headGroupSpec": {"template": POD}, "workerGroupSpecs": [{**GROUP, **keys}]}


@pytest.mark.since(2, 51)
def test_groups_are_node_types_of_pods_and_the_head_has_its_own() -> None:
    config = _ray.kuberay_config(spec(resources={"CPU": "6", "NPU": "1"}, labels={"a": "b"}))
    types, most = _ray.node_type_configs(config)
    assert set(types) == {_ray.HEAD_GROUP, "gpu"}
    assert (types["gpu"].max_worker_nodes, most) == (12, 13), "a replica of four hosts is not four nodes any more"
    assert types["gpu"].resources == {"CPU": 6, "GPU": 2, "NPU": 1, "memory": 2**30}
    assert types["gpu"].labels == {"a": "b"}
    assert types[_ray.HEAD_GROUP].resources == {"CPU": 8, "GPU": 2, "memory": 2**30}


@pytest.mark.parametrize(
    ("mode", "speed"), [("Conservative", 1), ("Default", 1000), ("Aggressive", 1000), (None, 1000)]
)
def test_the_upscaling_mode_is_a_speed(mode: str | None, speed: int) -> None:
    options = {"autoscalerOptions": {"upscalingMode": mode}} if mode else {}
    assert _ray.kuberay_config({**spec(), **options})["upscaling_speed"] == speed


def test_a_group_that_ray_cannot_read_is_named() -> None:
    for keys in (
        {"template": {"spec": {"containers": [{"resources": {}}]}}},
        {"rayStartParams": {"resources": "{efa: 1}", "num-cpus": "1"}},
        {"rayStartParams": {"num-cpus": "1.5"}},
    ):
        with pytest.raises(_ray.UnreadableGroupError) as raised:
            _ray.kuberay_config(spec(**keys))
        assert raised.value.group == "gpu"
        assert "\n" not in str(raised.value)


class Api(IKubernetesHttpApiClient):
    """The API server, as far as Ray's provider uses it: one RayCluster, no pods; remembers the patches."""

    def __init__(self) -> None:
        self.patches: list[Any] = []

    def get(self, path: str) -> dict[str, Any]:
        pods: dict[str, Any] = {"items": [], "metadata": {"resourceVersion": "1"}}
        return pods if path.startswith("pods") else {"metadata": {"name": "demo"}, "spec": spec(), "items": []}

    def patch(self, _path: str, payload: Any, **_options: Any) -> dict[str, Any]:
        self.patches.append(payload)
        return {}

    def delete(self, path: str, **_options: Any) -> dict[str, Any]:
        raise AssertionError(path)


@pytest.mark.since(2, 51)
@pytest.mark.parametrize(("pods", "replicas"), [(1, None), (4, 1), (7, 1), (8, 2)])
def test_ray_asks_for_whole_replicas_and_drops_the_other_pods(pods: int, replicas: int | None) -> None:
    api = Api()
    # A client of the GCS since 2.56; nothing is asked of it here.
    gcs = {"gcs_client": None} if "gcs_client" in inspect.signature(KubeRayProvider).parameters else {}
    provider = KubeRayProvider("demo", {"namespace": "default"}, **gcs, k8s_api_client=api)
    provider.launch({"gpu": pods}, "1")
    patched = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": replicas}]
    assert api.patches == ([] if replicas is None else [patched]), "PartOfAReplica of a plan is not what happens"
