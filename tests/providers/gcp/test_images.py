"""Default images on Google Cloud: what the fill writes, and that the local Compute Engine boots from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import pytest
from googleapiclient.errors import HttpError

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.fill.fill import fill
from accel_scaling.providers.gcp.client import client
from tests.support.gcp_provider import DISKS, PROJECT, Google, config_of, google, provider_of, tags
from tests.support.resolved import resolved

CPU = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2204-lts"
GPU = "projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2204-nvidia-580"


@pytest.fixture
def gce() -> Iterator[Google]:
    with google() as at:
        yield at


def with_types(gce: Google, **node_configs: dict[str, Any]) -> dict[str, Any]:
    config = config_of(gce.url)
    config["available_node_types"] = {
        name: {"node_config": one, "max_workers": 2}
        for name, one in {"head": {"machineType": "n2-standard-2"}, **node_configs}.items()
    }
    return config


def of(config: dict[str, Any], name: str) -> dict[str, Any]:
    node_config: dict[str, Any] = config["available_node_types"][name]["node_config"]
    return node_config


def boot_image(node_config: dict[str, Any]) -> str:
    (disk,) = node_config["disks"]
    return str(disk["initializeParams"]["sourceImage"])


def test_a_node_type_without_disks_boots_from_its_familys_image(gce: Google) -> None:
    config = resolved(with_types(gce, l4={"machineType": "g2-standard-4"}, c4={"machineType": "c4-standard-4"}))
    assert (boot_image(of(config, "head")), boot_image(of(config, "l4"))) == (CPU, GPU)
    (disk,) = of(config, "l4")["disks"]
    assert disk["boot"]
    assert disk["autoDelete"]
    assert disk["initializeParams"]["diskType"] == "pd-balanced"
    assert of(config, "c4")["disks"][0]["initializeParams"]["diskType"] == "hyperdisk-balanced"
    assert of(config, "l4")["metadata"]["items"] == [{"key": "install-nvidia-driver", "value": "True"}]
    for count in (1, 2):  # one creation, and a bulk creation
        made = provider_of(config).create_node(of(config, "l4"), tags("l4"), count)
        assert len(made) == count
    assert all(boot_image(gce.machines()[name]) == GPU for name in made)


def test_what_the_user_writes_of_disks_and_metadata_stays(gce: Google) -> None:
    own_disk = {"boot": True, "autoDelete": False, "initializeParams": {"diskSizeGb": 500, "diskType": "pd-ssd"}}
    data = {"initializeParams": {"diskSizeGb": 10}}
    items = [{"key": "install-nvidia-driver", "value": "False"}, {"key": "a", "value": "b"}]
    l4 = {"machineType": "g2-standard-4", "disks": [own_disk, data], "metadata": {"items": items}}
    config = resolved(with_types(gce, l4=l4, own={"machineType": "g2-standard-4", "disks": DISKS}))
    boot, second = of(config, "l4")["disks"]
    assert boot == {**own_disk, "initializeParams": {**own_disk["initializeParams"], "sourceImage": GPU}}
    assert second == data
    assert of(config, "l4")["metadata"] == {"items": items}
    assert of(config, "own")["disks"] == DISKS
    assert "metadata" not in of(config, "own")


@pytest.mark.parametrize(
    "disk",
    [
        {"boot": True, "source": "projects/p/zones/z/disks/d"},
        {"boot": True, "initializeParams": {"sourceSnapshot": "global/snapshots/s"}},
        {"boot": True, "initializeParams": {"sourceImage": "projects/p/global/images/i"}},
    ],
)
def test_a_disk_that_has_its_content_from_somewhere_gets_no_image(disk: dict[str, Any]) -> None:
    config = {
        "provider": {"type": "gcp", "project_id": "p", "availability_zone": "us-central1-a"},
        "head_node_type": "head",
        "available_node_types": {"head": {"node_config": {"machineType": "n2-standard-2", "disks": [disk]}}},
    }
    filled, _ = fill(config, shipped_catalog())
    assert of(filled, "head")["disks"] == [disk]


def test_a_templates_disks_are_not_overridden(gce: Google) -> None:
    gce.add_template("gpu", {"machineType": "g2-standard-4", "disks": DISKS})
    config = resolved(with_types(gce, l4={"sourceInstanceTemplate": "global/instanceTemplates/gpu"}))
    assert "disks" not in of(config, "l4")
    assert "metadata" not in of(config, "l4")


def test_a_slice_gets_the_software_version_of_its_generation(gce: Google) -> None:
    config = resolved(with_types(gce, v5e={"acceleratorType": "v5litepod-8"}))
    assert of(config, "v5e")["runtimeVersion"] == "v2-alpha-tpuv5-lite"
    assert "disks" not in of(config, "v5e")


def test_a_machine_whose_driver_is_in_no_image_is_refused_before_anything_is_made(gce: Google) -> None:
    with pytest.raises(click.ClickException) as error:
        resolved(with_types(gce, part={"machineType": "g4-standard-6"}))
    text = error.value.message
    assert text.startswith("available_node_types.part (g4-standard-6): there is no default image for RTX-PRO-6000-12Q")
    assert "write node_config.disks[0].initializeParams.sourceImage" in text
    assert "GRID driver" in text
    assert gce.count("iam.projects.serviceAccounts.create") == 0


def test_the_local_compute_engine_knows_googles_families_as_google_does(gce: Google) -> None:
    images = client(config_of(gce.url)["provider"], "compute").images()
    found = images.getFromFamily(project="ubuntu-os-cloud", family="ubuntu-2204-lts").execute()
    assert found["family"] == "ubuntu-2204-lts"
    with pytest.raises(HttpError, match="was not found"):
        images.getFromFamily(project="ubuntu-os-cloud", family="ubuntu-1004-lts").execute()
    disks = [{"boot": True, "initializeParams": {"sourceImage": CPU.replace("2204", "1004")}}]
    config = resolved(with_types(gce, cpu={"machineType": "n1-standard-4", "disks": disks}))
    with pytest.raises(Exception, match="family/ubuntu-1004-lts' was not found"):
        provider_of(config).create_node(of(config, "cpu"), tags("cpu"), 1)
    assert images.getFromFamily(project=PROJECT, family="mine").execute()["family"] == "mine"
