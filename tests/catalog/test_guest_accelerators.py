"""Which accelerators fit which Compute Engine machines; every other combination is refused with the rule."""

import pytest

from accel_scaling.catalog.guest_accelerators import attach, attach_rules
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import AttachError, UnknownAcceleratorError

CATALOG = shipped_catalog()

# The largest N1 machine for each count: Google Cloud documentation, GPU machine types; for K80 SkyPilot's catalog.
LARGEST = {
    "nvidia-tesla-t4": {1: (48, 312), 2: (48, 312), 4: (96, 624)},
    "nvidia-tesla-p4": {1: (24, 156), 2: (48, 312), 4: (96, 624)},
    "nvidia-tesla-v100": {1: (12, 78), 2: (24, 156), 4: (48, 312), 8: (96, 624)},
    "nvidia-tesla-p100": {1: (16, 104), 2: (32, 208), 4: (96, 624)},
    "nvidia-tesla-k80": {1: (8, 52), 2: (16, 104), 4: (32, 208), 8: (64, 208)},
}
CHIPS = {"t4": "T4", "p4": "P4", "v100": "V100-16G", "p100": "P100", "k80": "K80"}


def attached(machine_type, accelerator, count):
    return attach(CATALOG, CATALOG.machine_type("gcp", machine_type), accelerator, count)


@pytest.mark.parametrize(
    ("accelerator", "count", "vcpus", "gib"),
    [(name, count, *size) for name, sizes in LARGEST.items() for count, size in sizes.items()],
)
def test_a_count_fits_the_largest_machine_of_its_rule_and_with_no_larger_one(accelerator, count, vcpus, gib):
    machine = attached(f"n1-custom-{vcpus}-{gib * 1024}-ext", accelerator, count)
    assert (machine.chip.name, machine.count) == (CHIPS[accelerator.rpartition("-")[2]], count)
    assert (machine.vcpus, machine.memory_mib) == (vcpus, gib * 1024)
    if vcpus < 96:
        with pytest.raises(AttachError, match=f"this count needs .* to {vcpus} vCPUs and 1 to {gib} GiB"):
            attached(f"n1-custom-{vcpus + 2}-{gib * 1024}-ext", accelerator, count)
    if gib < 624:
        with pytest.raises(AttachError, match=f"to {gib} GiB"):
            attached(f"n1-custom-{vcpus}-{(gib + 1) * 1024}-ext", accelerator, count)


def test_no_other_count_is_ever_taken():
    counts = {name: {rule.count for rule in rules} for name, rules in attach_rules("gcp").items() if "vws" not in name}
    assert counts == {name: set(sizes) for name, sizes in LARGEST.items()}


def test_a_virtual_workstation_is_the_same_gpu_by_the_same_rule():
    assert attached("n1-standard-8", "nvidia-tesla-t4-vws", 2).chip.name == "T4"
    rules = attach_rules("gcp")
    for name in [name for name in rules if name.endswith("-vws")]:
        sizes = [[(each.count, each.max_vcpus) for each in rules[key]] for key in (name, name.removesuffix("-vws"))]
        assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    ("machine_type", "accelerator", "count", "message"),
    [
        ("n1-standard-1", "nvidia-tesla-k80", 8, "this count needs 8 to 64 vCPUs .*; this machine takes 1, 2, 4$"),
        ("n1-standard-8", "nvidia-tesla-t4", 3, "it comes in counts of 1, 2, 4$"),
        ("n1-standard-8", "nvidia-tesla-t4", 0, "it comes in counts of 1, 2, 4$"),
        ("n1-standard-96", "nvidia-tesla-p4", 1, "; this machine takes 4$"),
        ("n1-highmem-96", "nvidia-tesla-k80", 8, "; this machine takes none$"),
        ("n2-standard-4", "nvidia-tesla-t4", 1, "it can be attached to N1 machines only"),
        ("f1-micro", "nvidia-tesla-t4", 1, "it can be attached to N1 machines only"),
        ("g1-small", "nvidia-tesla-t4", 1, "it can be attached to N1 machines only"),
        ("e2-medium", "nvidia-tesla-t4", 1, "it can be attached to N1 machines only"),
        ("n1-standard-4", "nvidia-l4", 1, r"comes with machine types of its own \(g2-standard-"),
        ("a2-highgpu-8g", "nvidia-tesla-a100", 4, "comes with 8 x nvidia-tesla-a100 and takes no other"),
        ("a2-highgpu-8g", "nvidia-a100-80gb", 8, "comes with 8 x nvidia-tesla-a100 and takes no other"),
        ("g2-standard-4", "nvidia-tesla-t4", 1, "comes with 1 x nvidia-l4 and takes no other"),
    ],
)
def test_a_wrong_combination_is_refused_with_what_goes(machine_type, accelerator, count, message):
    with pytest.raises(AttachError, match=message) as error:
        attached(machine_type, accelerator, count)
    assert machine_type in str(error.value)


def test_a_bundled_accelerator_may_be_spelt_out_in_the_right_count():
    for machine_type, accelerator, count in (
        ("a2-highgpu-8g", "nvidia-tesla-a100", 8),
        ("a3-megagpu-8g", "nvidia-h100-mega-80gb", 8),
        ("g2-standard-24", "nvidia-l4-vws", 2),
        ("g2-custom-16-55296", "nvidia-l4", 1),
        ("g4-standard-6", "nvidia-rtx-pro-6000", 1),
    ):
        machine = CATALOG.machine_type("gcp", machine_type)
        assert attach(CATALOG, machine, accelerator, count) == machine


@pytest.mark.parametrize(
    ("accelerator", "message"),
    [
        ("nvidia-tesla-t5", "nearest: nvidia-tesla-"),
        ("T4", "the API calls it nvidia-tesla-t4 or nvidia-tesla-t4-vws$"),
        ("a100", "the API calls it nvidia-a100-80gb or nvidia-tesla-a100$"),
        ("", "''"),
    ],
)
def test_a_name_that_the_api_does_not_have_is_refused_with_the_names_that_it_has(accelerator, message):
    with pytest.raises(UnknownAcceleratorError, match=message):
        attached("n1-standard-4", accelerator, 1)


def test_the_rules_name_only_accelerators_of_the_api():
    names = {name for chip in CATALOG.chips.values() for name in chip.api_names.get("gcp", ())}
    assert set(attach_rules("gcp")) <= names
