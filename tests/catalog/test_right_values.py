"""Values of the catalog against sources that it was not made from: `tests/data/right_values.csv`, a row a value."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from accel_scaling.catalog.kubernetes import node_labels
from accel_scaling.catalog.launch_errors import classified
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.model import UnlistedKind
from accel_scaling.catalog.tpu_slices import slice_of_type
from accel_scaling.catalog.unlisted import unlisted
from accel_scaling.cluster.node_needs import boot_disk, images
from accel_scaling.errors import UnknownInstanceTypeError
from accel_scaling.testing import devices

CATALOG = shipped_catalog()

with (Path(__file__).parents[1] / "data" / "right_values.csv").open() as file:
    RIGHT = list(csv.DictReader(file))


def of(table: str) -> pytest.MarkDecorator:
    """Parametrize a test with the right values of a table."""
    rows = [row for row in RIGHT if row["table"] == table]
    assert rows
    return pytest.mark.parametrize("row", rows, ids=lambda row: f"{row['key']} {row['message'] or row['field']}")


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_a_launch_error_means_what_others_take_it_for(cloud: str) -> None:
    for row in RIGHT:
        if row["table"] == f"{cloud}_launch_errors.csv":
            found = classified(cloud, [row["key"]], f"Before. {row['message']} after.").category.value
            assert found == row["value"], row


@of("gcp_boot_disks.csv")
def test_a_series_boots_from_a_disk_that_it_takes(row: dict[str, str]) -> None:
    machine_type = row["key"].replace("*", "standard-192") if "*" in row["key"] else f"{row['key']}-standard-4"
    assert boot_disk("gcp", machine_type).disk_type == row["value"]


@of("node_images.csv")
def test_a_default_image_is_still_published(row: dict[str, str]) -> None:
    family, cloud, arch = row["key"].split()
    (image,) = (
        image for image in images() if (image.family, image.cloud, image.arch, image.chips) == (family, cloud, arch, ())
    )
    assert image.name == row["value"]


@of("aws.csv")
def test_an_ec2_type_that_exists_has_its_row_or_is_known_by_name(row: dict[str, str]) -> None:
    if row["field"] == "row":
        machine = CATALOG.machine_type("aws", row["key"])
        assert [str(machine.vcpus), str(machine.memory_mib), machine.arch] == row["value"].split(",")[:3]
        assert machine.chip is None
        assert CATALOG.where(machine).regions == ()  # no listing has it, whatever is listed of its family
        return
    with pytest.raises(UnknownInstanceTypeError) as error:
        CATALOG.machine_type("aws", row["key"])
    chip, count, arch = row["value"].split(",")
    assert f"it has {count} x {chip} and an {arch} processor" in str(error.value)
    assert "add a row for it to a catalog of your own" in str(error.value)


@of("accelerators.yaml")
def test_an_accelerator_is_as_its_driver_and_its_bus_say(row: dict[str, str]) -> None:
    chip = CATALOG.chips[row["key"]]
    if row["field"] == "memory_mib":
        assert chip.memory_mib == int(row["value"])
    else:
        ids = set(re.findall(r"[0-9a-f]{4}:[0-9a-f]{4}", row["value"]))
        assert ids <= set(chip.pci_ids)
        assert row["field"] != "row" or chip.detected_type == row["key"]


@of("gcp_places.csv")
def test_a_type_is_where_others_have_it_and_is_claimed_for_nothing_else(row: dict[str, str]) -> None:
    names = {"us-south1": "ct6e-standard-4t", "us-central1": "ct6e-standard-4t", "a3-ultragpu": "a3-ultragpu-8g"}
    where = CATALOG.where(CATALOG.machine_type("gcp", names.get(row["key"], row["key"])))
    if row["value"] == "none known":
        assert where.regions == ()
    elif row["key"] == "a3-ultragpu":
        assert {f"{region}-{zone}" for region in where.regions for zone in where.zones(region)} == set(
            row["value"].split()
        )
    else:
        assert where.in_region(row["key"])
        assert any(zone.startswith("ai1") for zone in where.zones(row["key"]))


@of("aws_places.csv")
def test_a_place_of_ec2_is_known(row: dict[str, str]) -> None:
    region, *machine = row["key"].split()
    if machine:
        assert "atl2-az1" in CATALOG.where(CATALOG.machine_type("aws", machine[0])).zones(region)
    else:
        assert region in unlisted("aws", UnlistedKind.REGION)


@of("gcp_tpu.csv")
def test_a_slice_is_known_as_its_users_write_it(row: dict[str, str]) -> None:
    slices = {"tpu7x": "v7x-8", "tpu7": "tpu7-2", "v5litepod": "v5litepod-2"}
    name = slices[row["key"]]
    assert slice_of_type(CATALOG, name).accelerator_type == name
    assert (name in unlisted("gcp", UnlistedKind.SLICE)) is (row["key"] == "v5litepod")  # doubtful, and said to be


@of("gcp.csv")
def test_what_is_doubtful_or_without_a_public_name_is_not_made_up(row: dict[str, str]) -> None:
    if row["key"] == "ct6e-standard-8t":
        assert "180" in (slice_of_type(CATALOG, "v6e-8").chip.because or "")
    else:  # Google's API names commitments for these series, and no list has a type of them
        series = row["key"].removeprefix("(series) ").split()
        assert not [name for name in CATALOG.machine_types("gcp") if name.split("-")[0] in series]


@of("kuberay_selectors.csv")
def test_each_value_of_a_label_says_its_market(row: dict[str, str]) -> None:
    assert dict(pair.split("=") for pair in row["value"].split()) == node_labels()[row["key"]].markets


@of("emulated/hardware.csv")
def test_an_emulated_device_is_on_the_bus_as_a_real_one(row: dict[str, str]) -> None:
    with (Path(devices.__file__).parent / "hardware.csv").open() as file:
        rows = [each for each in csv.DictReader(file) if re.fullmatch(row["key"].replace("*", ".*"), each["instance"])]
    assert rows
    column = {"pci_id": "pci_id", "device class": "pci_class"}[row["field"]]
    assert {each[column] for each in rows} == {row["value"]}
