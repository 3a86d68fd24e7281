"""Manifests of the kinds people write: their demand launched nothing, and does once they are filled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _node_type_from_group_spec

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.fill.fill import fill as fill_cluster
from accel_scaling.kuberay.check import findings
from accel_scaling.kuberay.fill import fill
from accel_scaling.kuberay.manifest import groups
from tests.fill.test_from_zero import demand, scheduled
from tests.providers.gcp.test_node_config import OURS
from tests.support.kuberay_operator import CLUSTER_OF, groups_of, refusals

DATA = Path(__file__).parents[1] / "data" / "kuberay"
MANIFESTS = sorted(path.stem for path in DATA.glob("*.yaml"))
TYPE = "accelerator_type:"

# For each manifest a demand that Ray makes pending from its own reading, and the group that has what it asks for.
DEMANDS: dict[str, tuple[dict[str, float], str]] = {
    "gpu": ({"GPU": 8, f"{TYPE}A100-80G": 0.001}, "a100"),
    "tpu-single-host": ({"TPU": 8, f"{TYPE}TPU-V6E": 0.001}, "v6e"),
    "tpu-multi-host": ({"TPU": 4, f"{TYPE}TPU-V4": 0.001}, "v4-16"),
    "neuron": ({"neuron_cores": 32}, "trn1"),
    "mig": ({"GPU": 1}, "slices"),
    "rayservice": ({"GPU": 1, f"{TYPE}L4": 0.001}, "l4"),
    "autoscaler-from-zero": ({"GPU": 1, f"{TYPE}T4": 0.001}, "t4"),
    "gaudi": ({"HPU": 8}, "dl1"),
    "intel": ({"GPU": 2, f"{TYPE}Intel-GPU-Max-1550": 0.001}, "max1550"),
    "karpenter": ({"GPU": 8, f"{TYPE}A100-40G": 0.001}, "p4d"),
    "rayjob": ({"GPU": 8, f"{TYPE}H100": 0.001}, "h100"),
    "raycronjob": ({"GPU": 8, f"{TYPE}H100": 0.001}, "h100"),
}
SELECTORS = {
    "gpu": ({"ray.io/market-type": "spot", "ray.io/accelerator-type": "A100"}, "a100"),
    "tpu-single-host": ({"ray.io/tpu-worker-id": "0", "ray.io/tpu-pod-type": "v6e-8"}, "v6e"),
    "tpu-multi-host": ({"ray.io/tpu-topology": "2x2x2"}, "v4-16"),
    "neuron": ({"ray.io/availability-zone": "us-west-2d"}, "trn1"),
    "rayservice": ({"team": "search", "ray.io/availability-region": "us-central1"}, "l4"),
    "autoscaler-from-zero": ({"ray.io/accelerator-type": "H100"}, "h100"),
    "karpenter": ({"accel-scaling.io/accelerator-variant": "A100-40G"}, "p4d"),
    "rayjob": ({"ray.io/market-type": "on-demand"}, "h100"),
}
# The lines that leave a file, because the operator refuses them beside what is filled.
MOVED = {
    "neuron": ["    rayStartParams:", r"""      resources: '"{\"efa\": 8}"'"""],
    "rayservice": [
        '          num-gpus: "1"   # as the limit below',
        '          num-cpus: "7"',
        '          labels: "team=search"',
    ],
}


def text_of(name: str) -> str:
    return (DATA / f"{name}.yaml").read_text(encoding="utf-8")


def filled(name: str, version: str | None = None) -> str:
    done = fill(text_of(name), name, shipped_catalog(), version)
    assert done.notes == ()
    return done.text


def clusters(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document["kind"] in CLUSTER_OF]


def node_types(text: str) -> dict[str, Any]:
    """What Ray's autoscaler makes of the manifest, by group."""
    (document,) = clusters(text)
    found = {
        name: _node_type_from_group_spec({"minReplicas": 0, "maxReplicas": 1, **spec}, is_head=name == "headgroup")
        for name, spec in groups_of(document).items()
    }
    return {name: (each["resources"], each["labels"]) for name, each in found.items() if name != "headgroup"}


def test_there_is_a_demand_for_each_manifest() -> None:
    assert sorted(DEMANDS) == MANIFESTS
    assert len(MANIFESTS) >= 10


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_demand_that_launched_nothing_launches_its_group(name: str) -> None:
    wanted, group = DEMANDS[name]
    assert scheduled(node_types(text_of(name)), [demand(wanted)]) == {}
    assert scheduled(node_types(filled(name)), [demand(wanted)]) == {group: 1}


@pytest.mark.parametrize("name", MANIFESTS)
def test_so_it_does_in_the_form_of_a_kuberay_before_1_5(name: str) -> None:
    wanted, group = DEMANDS[name]
    assert scheduled(node_types(filled(name, "1.4")), [demand(wanted)]) == {group: 1}


@pytest.mark.parametrize("name", SELECTORS)
def test_a_demand_that_selects_by_label_launches_its_group(name: str) -> None:
    labels, group = SELECTORS[name]
    assert scheduled(node_types(text_of(name)), [demand({"CPU": 1}, labels)]) == {}
    assert scheduled(node_types(filled(name)), [demand({"CPU": 1}, labels)]) == {group: 1}


@pytest.mark.parametrize("name", MANIFESTS)
def test_nothing_else_in_the_file_changes(name: str) -> None:
    left = [line for line in text_of(name).splitlines() if line not in MOVED.get(name, [])]
    lines = iter(filled(name).splitlines())
    assert [line for line in left if line not in lines] == [], "each line is still there, in its order"
    before, after = (list(yaml.safe_load_all(text)) for text in (text_of(name), filled(name)))
    for document in (each for each in (*before, *after) if each["kind"] in CLUSTER_OF):
        for group in groups_of(document).values():
            for key in ("resources", "labels", "rayStartParams"):
                group.pop(key, None)
    assert before == after


@pytest.mark.parametrize("version", [None, "1.4"])
@pytest.mark.parametrize("name", MANIFESTS)
def test_filling_a_filled_file_changes_nothing(name: str, version: str | None) -> None:
    once = filled(name, version)
    again = fill(once, name, shipped_catalog(), version)
    assert (again.text, again.added, again.notes) == (once, (), ())


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_filled_file_is_taken_by_the_operator_and_nothing_contradicts_itself_in_it(name: str) -> None:
    text = filled(name)
    assert [
        said for document in clusters(text) for group in groups_of(document).values() for said in refusals(group)
    ] == []
    assert [each for group in groups(text, name) for each in findings(group, shipped_catalog())] == []


def test_a_group_of_several_hosts_gets_nothing_that_is_true_of_host_0_only() -> None:
    (document,) = clusters(filled("tpu-multi-host"))
    group = groups_of(document)["v4-16"]
    assert group["resources"] == {"accelerator_type:TPU-V4": "1"}
    assert "ray.io/tpu-worker-id" not in group["labels"]


@pytest.mark.parametrize(
    ("name", "group", "machine"),
    [("rayservice", "l4", {"machineType": "g2-standard-8"}), ("gpu", "a100", {"machineType": "a2-ultragpu-8g"})],
)
def test_types_and_labels_are_those_of_the_same_machine_in_a_cluster_file(
    name: str, group: str, machine: dict[str, str]
) -> None:
    config = {
        "provider": OURS,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"machineType": "n2-standard-2"}},
            "w": {"node_config": machine},
        },
    }
    promised = fill_cluster(config, shipped_catalog())[0]["available_node_types"]["w"]
    resources, labels = node_types(filled(name))[group]
    of_cluster = {key: value for key, value in promised["resources"].items() if key not in ("CPU", "memory")}
    assert {key: resources.get(key) for key in of_cluster} == of_cluster
    for key in ("ray.io/accelerator-type", "accel-scaling.io/accelerator-variant"):
        assert labels.get(key) == promised["labels"].get(key)
