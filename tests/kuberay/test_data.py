"""What the catalog knows of Kubernetes: resource names and node labels, compared with Ray's words and the clouds'."""

from __future__ import annotations

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _get_ray_resources_from_group_spec
from ray.autoscaler._private.kuberay.utils import gke_tpu_accelerator_to_generation

from accel_scaling.catalog.guest_accelerators import api_names
from accel_scaling.catalog.kubernetes import device_resources, node_labels
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.kuberay.selectors import chips_of
from tests.support.kuberay import GKE, GPU, manifest, types_of


@pytest.mark.parametrize("entry", device_resources(), ids=lambda entry: entry.name)
def test_ray_derives_a_device_by_itself_where_the_row_says_so(entry) -> None:
    name = entry.name.replace("*", "1g.5gb")
    spec = yaml.safe_load(manifest(limits=f"{name}: 2"))["spec"]["workerGroupSpecs"][0]
    derived = _get_ray_resources_from_group_spec(spec, is_head=False)
    assert (entry.resource in derived) == entry.ray_derives


def test_each_device_is_of_a_family_and_a_resource_that_the_catalog_has() -> None:
    known = {(chip.family, chip.resource) for chip in shipped_catalog().chips.values()}
    assert [entry.name for entry in device_resources() if (entry.family, entry.resource) not in known] == []


def test_what_is_proposed_as_a_selector_names_an_accelerator() -> None:
    for entry in device_resources():
        for proposed in entry.select_by:
            key, _, value = proposed.partition(": ")
            label = node_labels()[key]
            assert label.says.value == "machine" or chips_of(label.names, value, shipped_catalog()), proposed


@pytest.mark.parametrize("accelerator", gke_tpu_accelerator_to_generation)
def test_each_tpu_selector_that_ray_knows_is_known(accelerator: str) -> None:
    (chip,) = chips_of("api:gke", accelerator, shipped_catalog())
    assert chip.family == "tpu"


@pytest.mark.parametrize(
    "name", sorted(name for name in api_names(shipped_catalog().chips.values(), "gcp") if "nvidia" in name)
)
def test_each_gpu_of_google_cloud_has_a_type_on_gke(name: str) -> None:
    assert types_of(manifest(limits=GPU, selector=f"{GKE}: {name}"))
