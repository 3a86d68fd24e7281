"""Look-ups by every name: of machine types, of accelerators, and of a driver's products, by Ray's own rule, copied.

A slice never answers for a whole; where nothing answers, the text names the way out.
"""

from __future__ import annotations

import csv

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accel_scaling.catalog import product_names
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import UnknownAcceleratorError, UnknownInstanceTypeError
from accel_scaling.testing.devices import ec2_machines

CHIPS = shipped_catalog().chips.values()
NVIDIA_NAMES = sorted({name for chip in CHIPS if chip.family == "nvidia" for name in chip.driver_names})

WORDS = ("NVIDIA", "Tesla", "GRID", "GeForce", "RTX", "PRO", "Pro", "6000", "A100-SXM4-40GB", "L4-3Q", "T4", "H100", "")


def names(machines):
    return {machine.name for machine in machines}


def test_an_unknown_type_names_itself_the_version_near_names_and_the_way_out():
    catalog = shipped_catalog()
    with pytest.raises(UnknownInstanceTypeError) as error:
        catalog.machine_type("aws", "p4d.24xlrage")
    for part in ("p4d.24xlrage", catalog.version, "p4d.24xlarge", "provider.catalog", "~/.accel_scaling"):
        assert part in str(error.value)


def test_an_unknown_cloud_names_the_clouds():
    with pytest.raises(UnknownInstanceTypeError, match=r"cloud 'azure' .* aws"):
        shipped_catalog().machine_type("azure", "p4d.24xlarge")


def test_a_chip_answers_to_every_name_in_any_case():
    for name in ("a100-80g", "A100-80G", "NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB", "nvidia-a100-80gb"):
        assert shipped_catalog().chip(name).name == "A100-80G"


def test_a_name_of_several_chips_is_asked_back():
    with pytest.raises(UnknownAcceleratorError, match="may be any of A100-40G, A100-80G"):
        shipped_catalog().chip("A100")


def test_a_misspelt_accelerator_gets_the_nearest_names():
    with pytest.raises(UnknownAcceleratorError, match=r"'Tranium2' .*nearest: Trainium2"):
        shipped_catalog().find("Tranium2")


def test_find_by_a_detected_type_finds_every_variant():
    assert names(shipped_catalog().find("a100", cloud="aws")) == {"p4d.24xlarge", "p4de.24xlarge"}
    assert names(shipped_catalog().find("A100-80G", cloud="aws")) == {"p4de.24xlarge"}


def test_find_by_the_whole_chip_never_finds_a_slice():
    found = names(shipped_catalog().find("L4", cloud="aws"))
    assert {"g6.xlarge", "gr6.4xlarge"} <= found
    assert not any(name.startswith(("g6f", "gr6f")) for name in found)
    assert names(shipped_catalog().find("NVIDIA L4-3Q")) == {"g6f.large", "g6f.xlarge"}


def test_find_b200_does_not_find_what_ec2_merely_calls_b200():
    assert names(shipped_catalog().find("B200", cloud="aws")) == {"p6-b200.48xlarge"}
    assert names(shipped_catalog().find("RTX PRO Server 6000", 8, "aws")) == {"g7e.48xlarge"}


def test_find_counts_devices_and_without_a_name_finds_every_type():
    catalog = shipped_catalog()
    assert names(catalog.find("A10G", 8, "aws")) == {"g5.48xlarge"}
    assert len(catalog.find(cloud="aws")) == len(catalog.machine_types("aws"))
    assert all(machine.count >= 8 for machine in catalog.find(min_count=8))


def test_find_sorts_a_family_by_size():
    found = [machine.name for machine in shipped_catalog().find("Inferentia2", cloud="aws")]
    assert found == ["inf2.xlarge", "inf2.8xlarge", "inf2.24xlarge", "inf2.48xlarge"]


@pytest.fixture(scope="module")
def ray_rule():
    from ray._private.accelerators import NvidiaGPUAcceleratorManager

    return NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)))
@example("")
@example("NVIDIA")
@example("A100-SXM4-40GB")
@example("NVIDIA GeForce RTX 5090")
@example("NVIDIA X 5")
@example("NVIDIA 5 Ti")
def test_any_product_name_becomes_the_type_that_rays_own_function_makes_of_it(ray_rule, name):
    assert product_names.ray_nvidia_type(name) == ray_rule(name)


def test_every_name_in_the_catalog_and_in_the_hardware_table_is_read_as_ray_reads_it(ray_rule):
    with ec2_machines.TABLE.open(newline="", encoding="utf-8") as file:
        emulated = {row["driver_name"] for row in csv.DictReader(file) if row["kind"] == "nvml"}
    assert len(emulated) > 15
    for name in {*NVIDIA_NAMES, *emulated}:
        assert product_names.ray_nvidia_type(name) == ray_rule(name)


def test_the_catalogs_detected_type_of_each_whole_gpu_is_what_its_driver_name_becomes():
    for chip in CHIPS:
        if chip.family == "nvidia" and not chip.partition_of:
            assert {product_names.ray_nvidia_type(name) for name in chip.driver_names} == {chip.detected_type}, (
                chip.name
            )


@pytest.mark.parametrize(
    ("driver_name", "partition"),
    [
        ("NVIDIA L4-3Q", "L4-3Q"),
        ("GRID T4-8Q", "T4-8Q"),
        ("NVIDIA A100-4-20C", "A100-4-20C"),
        ("NVIDIA A100-SXM4-40GB", None),
        ("Tesla V100-SXM2-16GB", None),
        ("NVIDIA H100 80GB HBM3", None),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", None),
    ],
)
def test_a_slice_is_told_from_a_whole_gpu_by_its_name(driver_name, partition):
    assert product_names.partition_name(driver_name) == partition


@pytest.mark.parametrize("name", [name for name in NVIDIA_NAMES if name.startswith("NVIDIA ")])
def test_an_old_driver_without_the_makers_name_is_understood(name):
    assert (
        product_names.chips_named(name.removeprefix("NVIDIA "), CHIPS) == product_names.chips_named(name, CHIPS) != []
    )


def test_a_slice_answers_to_its_own_name_only():
    slices = [chip for chip in CHIPS if chip.partition_of]
    assert slices
    for chip in slices:
        assert product_names.types_of([chip]) == (chip.variant,)
