"""From a driver's product name to accelerator types: Ray's own rule, copied, and the catalog's."""

from __future__ import annotations

import csv

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accel_scaling.catalog import product_names
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.testing.devices import ec2_machines

CHIPS = shipped_catalog().chips.values()
NVIDIA_NAMES = sorted({name for chip in CHIPS if chip.family == "nvidia" for name in chip.driver_names})

WORDS = ("NVIDIA", "Tesla", "GRID", "GeForce", "RTX", "PRO", "Pro", "6000", "A100-SXM4-40GB", "L4-3Q", "T4", "H100", "")


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
