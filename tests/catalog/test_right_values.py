"""Values of the catalog against sources that it was not made from: `tests/data/right_values.csv`, a row a value."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from accel_scaling.catalog.launch_errors import classified
from accel_scaling.cluster.node_needs import boot_disk, images

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
