"""What `num_accs` means where no type is named: which families the cluster has or can launch, and who says so."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling import _ray
from accel_scaling.accs import connected_cluster
from accel_scaling.accs.connected_cluster import families_of
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import AskingError
from accel_scaling.providers.base import cluster_config
from accel_scaling.quarantine import max_workers

CHIPS = shipped_catalog().chips
HEAD = {"CPU": 8.0, "memory": 1e9, "node:10.0.0.1": 1.0}
T4 = {"CPU": 4, "GPU": 1, "accelerator_type:T4": 1}
P4DE = {"CPU": 96, "GPU": 8, "accelerator_type:A100": 1, "accelerator_type:A100-80G": 1}
TRN2 = {"CPU": 192, "neuron_cores": 64, "accelerator_type:aws-neuron-core": 1, "accelerator_type:Trainium2": 1}
MI300X = {"CPU": 96, "GPU": 8, "accelerator_type:AMD-Instinct-MI300X-OAM": 1}
V4 = {"CPU": 240, "TPU": 4, "accelerator_type:TPU-V4": 1, "TPU-v4-16-head": 1}


@pytest.mark.parametrize(
    ("promises", "resource"),
    [
        ([HEAD, T4], "GPU"),
        ([HEAD, T4, P4DE], "GPU"),
        ([HEAD, TRN2, TRN2], "neuron_cores"),
        ([HEAD, V4], "TPU"),
        ([HEAD, {"CPU": 4, "GPU": 2}], "GPU"),
        ([HEAD, {"GPU": 2, "accelerator_type:mine": 1}], "GPU"),
        ([HEAD, {"HPU": 8, "GPU": 0}], "HPU"),
    ],
)
def test_the_one_family_is_meant(promises: list[dict[str, float]], resource: str) -> None:
    assert families_of(promises, CHIPS).only_resource(1) == resource


@pytest.mark.parametrize(
    ("promises", "named"),
    [
        ([T4, P4DE, TRN2], "neuron_cores (Trainium2, aws-neuron-core), GPU (A100, A100-80G, T4)"),
        ([T4, MI300X], "GPU (AMD-Instinct-MI300X-OAM), GPU (T4)"),
        ([{"GPU": 1}, V4], "GPU (GPU), TPU (TPU-V4)"),
    ],
)
def test_several_families_are_named(promises: list[dict[str, float]], named: str) -> None:
    with pytest.raises(AskingError) as refused:
        families_of(promises, CHIPS).only_resource(0.5)
    assert f"num_accs=0.5 can mean several families of accelerators in this cluster: {named}; name an" in str(
        refused.value
    )


def test_none_is_a_sentence_that_says_what_to_do() -> None:
    with pytest.raises(AskingError, match="this cluster has no accelerator, and none of its node types has one; add"):
        families_of([HEAD], CHIPS).only_resource(1)


def config(**types: Any) -> dict[str, Any]:
    return {
        "max_workers": 4,
        "provider": {"type": "external"},
        "available_node_types": {"head": {"resources": HEAD, "max_workers": 0}, **types},
    }


def test_the_provider_tells_what_may_be_launched_whatever_is_quarantined_just_now() -> None:
    own = config(
        t4={"resources": T4, "max_workers": 2}, trn={"resources": TRN2}, v4={"resources": V4, "max_workers": 0}
    )
    published = {"autoscaler": "v2", "node_types": {"t4": T4, "trn": TRN2}}
    assert cluster_config.published(own, "v2") == published
    assert cluster_config.published(max_workers.limited(own, {"t4": 0, "trn": 0}), "v2") == published


def test_it_is_written_by_the_autoscaler_alone_and_read_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store: dict[str, str] = {}
    monkeypatch.setattr(_ray, "autoscaler_kv_put", store.__setitem__)
    monkeypatch.setattr(_ray, "kv_get", store.get)
    monkeypatch.setattr(_ray, "nodes_resources", lambda: [HEAD])
    cluster_config.publish(None)
    assert store == {}
    assert connected_cluster.supports_preferences(), "a cluster that we did not launch may know them"
    path = tmp_path / "ray_bootstrap_config.yaml"
    path.write_text(yaml.safe_dump(config(trn={"resources": TRN2})))
    cluster_config.publish(path)
    assert json.loads(store[connected_cluster.KEY])["autoscaler"] == "v1"
    assert not connected_cluster.supports_preferences()
    assert connected_cluster.families_here(CHIPS).only_resource(1) == "neuron_cores"


def test_a_store_that_does_not_answer_stops_no_autoscaler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(key: str, value: str) -> None:
        raise ConnectionError(key, value)

    monkeypatch.setattr(_ray, "autoscaler_kv_put", broken)
    path = tmp_path / "ray_bootstrap_config.yaml"
    path.write_text(yaml.safe_dump(config()))
    with caplog.at_level(logging.ERROR):
        cluster_config.publish(path)
    assert "tasks must name an accelerator_type" in caplog.text
