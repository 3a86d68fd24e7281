"""What the shipped rows say, against expectations written down here, EC2's recorded API, and Ray's own functions.

Rows that were added since are checked against everything but the recording: their hardware table is the other source.
"""

import csv
import gzip
import json
import re
from collections import Counter
from pathlib import Path

import moto
import pytest
from ray._private.accelerators.amd_gpu import amd_product_dict
from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager
from ray.util import accelerators as ray_accelerators

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.clouds import SHIPPED_FOLDER
from accel_scaling.testing.devices.ec2_machines import hardware_of

CATALOG = shipped_catalog()
AWS = CATALOG.machine_types("aws")
CHIPS = CATALOG.chips
RAY_TYPES = {value for name, value in vars(ray_accelerators.accelerators).items() if name[0].isupper()}

# instance type: accelerator, devices, units that Ray schedules (written by hand, not derived from the rows)
EXPECTED = {
    "g2.8xlarge": ("K520", 4, 4),
    "g3.16xlarge": ("M60", 4, 4),
    "p2.16xlarge": ("K80", 16, 16),
    "p3.2xlarge": ("V100-16G", 1, 1),
    "p3.16xlarge": ("V100-16G", 8, 8),
    "p3dn.24xlarge": ("V100-32G", 8, 8),
    "p4d.24xlarge": ("A100-40G", 8, 8),
    "p4de.24xlarge": ("A100-80G", 8, 8),
    "p5.4xlarge": ("H100", 1, 1),
    "p5.48xlarge": ("H100", 8, 8),
    "p5en.48xlarge": ("H200", 8, 8),
    "p6-b200.48xlarge": ("B200", 8, 8),
    "p6-b300.48xlarge": ("B300", 8, 8),
    "p6e-gb200.36xlarge": ("GB200", 4, 4),
    "g4dn.metal": ("T4", 8, 8),
    "g4ad.16xlarge": ("Radeon-Pro-V520", 4, 4),
    "g5.12xlarge": ("A10G", 4, 4),
    "g5.16xlarge": ("A10G", 1, 1),
    "g5g.metal": ("T4G", 2, 2),
    "g6.48xlarge": ("L4", 8, 8),
    "gr6.4xlarge": ("L4", 1, 1),
    "g6f.large": ("L4-3Q", 1, 1),
    "g6f.xlarge": ("L4-3Q", 1, 1),
    "g6f.2xlarge": ("L4-6Q", 1, 1),
    "g6f.4xlarge": ("L4-12Q", 1, 1),
    "gr6f.4xlarge": ("L4-12Q", 1, 1),
    "g6e.xlarge": ("L40S", 1, 1),
    "g7.12xlarge": ("RTX-PRO-4500", 2, 2),
    "g7e.48xlarge": ("RTX-PRO-6000", 8, 8),
    "dl1.24xlarge": ("Gaudi-HL-205", 8, 8),
    "dl2q.24xlarge": ("AI100", 8, 8),
    "inf1.xlarge": ("Inferentia", 1, 4),
    "inf1.24xlarge": ("Inferentia", 16, 64),
    "inf2.24xlarge": ("Inferentia2", 6, 12),
    "trn1.2xlarge": ("Trainium", 1, 2),
    "trn1n.32xlarge": ("Trainium", 16, 32),
    "trn2.3xlarge": ("Trainium2", 1, 4),
    "trn2.48xlarge": ("Trainium2", 16, 64),
    "trn2u.48xlarge": ("Trainium2", 16, 64),
    "f1.4xlarge": ("VU9P", 2, 2),
    "f2.48xlarge": ("VU47P", 8, 8),
    "vt1.24xlarge": ("U30", 8, 8),
}
RETIRED = {  # EC2 no longer lists them in us-east-1; accounts elsewhere still have them
    *(f"p2.{size}" for size in ("xlarge", "8xlarge", "16xlarge")),
    *(f"p3.{size}" for size in ("2xlarge", "8xlarge", "16xlarge")),
    *(f"g2.{size}" for size in ("2xlarge", "8xlarge")),
    *(f"g3.{size}" for size in ("4xlarge", "8xlarge", "16xlarge")),
    *(f"g4ad.{size}" for size in ("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")),
    *(f"f1.{size}" for size in ("2xlarge", "4xlarge", "16xlarge")),
    *("g3s.xlarge", "dl1.24xlarge", "p6e-gb200.36xlarge"),
}
KINDS = {"nvidia": 78, "neuron": 14, "fpga": 6, "amd": 5, "media": 3, "gaudi": 1, "qaic": 1}
API_WRONG = {"g6f.large", "g6f.xlarge", "g6f.2xlarge", "g6f.4xlarge", "gr6f.4xlarge", "trn2u.48xlarge"}
LISTS = {
    "GpuInfo": "Gpus",
    "NeuronInfo": "NeuronDevices",
    "FpgaInfo": "Fpgas",
    "MediaAcceleratorInfo": "Accelerators",
    "InferenceAcceleratorInfo": "Accelerators",
}


@pytest.fixture(scope="module")
def recorded():
    path = Path(moto.__file__).parent / "ec2" / "resources" / "instance_types.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))


def shipped_rows(name):
    with (SHIPPED_FOLDER / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("name", "expected"), EXPECTED.items())
def test_a_machine_has_the_accelerators_that_its_makers_say(name, expected):
    machine = AWS[name]
    assert (machine.chip.name, machine.count, machine.count * machine.chip.units_per_device) == expected


def test_every_family_with_an_accelerator_is_among_the_expectations_or_has_none(recorded):
    families = {name.partition(".")[0] for name in {*recorded, *RETIRED} if AWS[name].chip}
    assert families - {name.partition(".")[0] for name in EXPECTED} == {"g3s", "p5e"}


def test_108_of_the_recorded_and_retired_ec2_types_have_an_accelerator(recorded):
    kinds = Counter(AWS[name].chip.family for name in {*recorded, *RETIRED} if AWS[name].chip)
    assert sum(kinds.values()) == 108
    assert kinds == KINDS


def test_every_type_of_the_recorded_api_is_there_and_the_retired_ones_too(recorded):
    assert set(AWS) >= set(recorded) | RETIRED
    assert len(recorded) == 1395


def test_each_accelerated_type_that_was_added_since_has_hardware_from_a_source_of_its_own(recorded):
    for name in set(AWS) - set(recorded) - RETIRED:
        if AWS[name].chip:
            assert hardware_of(name).source


def test_vcpus_and_memory_are_the_apis(recorded):
    api = {name: (each["VCpuInfo"]["DefaultVCpus"], each["MemoryInfo"]["SizeInMiB"]) for name, each in recorded.items()}
    assert {name: (AWS[name].vcpus, AWS[name].memory_mib) for name in api} == api


def test_architectures_are_the_apis(recorded):
    for name, each in recorded.items():
        offered = {arch.removesuffix("_mac") for arch in each["ProcessorInfo"]["SupportedArchitectures"]}
        assert AWS[name].arch == ("x86_64" if "x86_64" in offered else offered.pop()), name


def test_accelerators_are_the_apis_where_the_api_is_right(recorded):
    for name, each in recorded.items():
        if name in API_WRONG:
            continue
        told = [device for info, devices in LISTS.items() for device in each.get(info, {}).get(devices, [])]
        machine = AWS[name]
        assert bool(told) == bool(machine.chip), name
        for device in told:
            assert device["Count"] == machine.count, name
            assert device["Name"] in machine.chip.api_names["aws"], name


def test_the_size_of_a_gpu_tells_the_products_with_one_name_apart(recorded):
    for name, each in recorded.items():
        chip = AWS[name].chip
        if chip and chip.variant and chip.family == "nvidia" and name not in API_WRONG:
            (gpu,) = each["GpuInfo"]["Gpus"]
            assert gpu["MemoryInfo"]["SizeInMiB"] == chip.memory_mib, name


def test_what_the_api_says_wrong_is_not_in_the_plain_rows_but_in_the_corrections():
    plain = {row["instance_type"]: row for row in shipped_rows("aws.csv")}
    corrections = shipped_rows("aws_corrections.csv")
    assert {row["instance_type"] for row in corrections} == API_WRONG | {"p6e-gb200.36xlarge"}
    for row in corrections:
        assert plain[row["instance_type"]]["accelerator"] == ""
        assert AWS[row["instance_type"]].layer == "aws_corrections.csv"
        assert row["because"]
        assert row["source"]


def test_rows_are_sorted_so_that_a_change_is_a_line():
    for name in ("aws.csv", "aws_corrections.csv"):
        types = [row["instance_type"] for row in shipped_rows(name)]
        assert types == sorted(types)


@pytest.mark.parametrize("key", [chip.name for chip in CHIPS.values() if chip.family == "nvidia"])
def test_nvidia_types_are_what_ray_makes_of_the_drivers_name(key):
    chip = CHIPS[key]
    detected = {NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type(name) for name in chip.driver_names}
    assert chip.driver_names
    if chip.partition_of is None:
        assert detected == {chip.detected_type}
    else:
        assert chip.detected_type is None
        assert chip.variant not in detected


def test_an_l4_slice_would_be_read_as_a_whole_l4_which_is_why_its_type_is_none():
    assert NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type("NVIDIA L4-3Q") == "L4"
    assert CHIPS["L4-3Q"].detected_type is None


def test_detected_types_are_names_that_ray_has_but_for_the_newest_and_oldest_gpus():
    # What Intel GPUs, Ascend, Gaudi and Rebellions are called comes from their drivers: Ray has names for a few.
    named_by_drivers = ("intel", "ascend", "gaudi", "rbln")
    chips = [chip for chip in CHIPS.values() if chip.family not in named_by_drivers]
    detected = {chip.detected_type for chip in chips if chip.detected_type}
    unnamed = {
        *("K520", "M60", "T4G", "RTX-PRO-4500"),
        *("AMD-Instinct-MI50", "AMD-Instinct-MI308X-OAM"),  # what Ray's manager announces; its names lack the one
    }
    assert detected - RAY_TYPES >= unnamed
    newer = {chip.family for chip in chips if chip.detected_type in detected - RAY_TYPES - unnamed}
    assert newer <= {"nvidia", "furiosa"}  # Ray makes those of the driver's name, whatever it is


def test_every_amd_product_that_ray_knows_is_there_under_rays_name():
    ours = {i: chip.detected_type for chip in CHIPS.values() if chip.family == "amd" for i in chip.pci_ids}
    for device, name in amd_product_dict.items():
        if device == hex(int(device, 16)):  # Ray looks for lower-case ids: its two upper-case entries are never found
            assert ours[f"1002:{device.removeprefix('0x')}"] == name


def test_variants_that_ray_has_a_constant_for_are_written_like_it():
    assert CHIPS["A100-40G"].variant == ray_accelerators.accelerators.NVIDIA_A100_40G
    assert CHIPS["A100-80G"].variant == ray_accelerators.accelerators.NVIDIA_A100_80G


def test_the_v520_has_no_type_as_long_as_rays_table_lacks_it():
    assert "0x7362" not in amd_product_dict
    assert CHIPS["Radeon-Pro-V520"].detected_type is None


def test_every_chip_announces_some_type_and_one_resource_per_family():
    resources = {}
    for chip in CHIPS.values():
        assert chip.detected_type or chip.variant, chip.name
        assert resources.setdefault(chip.family, chip.resource) == chip.resource
    assert resources == {
        "nvidia": "GPU",
        "amd": "GPU",
        "neuron": "neuron_cores",
        "gaudi": "HPU",
        "fpga": "FPGA",
        "media": "MEDIA",
        "qaic": "QAIC",
        "tpu": "TPU",
        "intel": "GPU",
        "metax": "GPU",
        "apple": "GPU",
        "ascend": "NPU",
        "rbln": "RBLN",
        "furiosa": "FURIOSA",
        "mobilint": "MBLT",
        "tenstorrent": "TTNPU",
    }


def test_one_name_of_the_driver_means_one_chip():
    names = Counter(name for chip in CHIPS.values() for name in chip.driver_names)
    assert [name for name, times in names.items() if times > 1] == []


def test_a_surprising_value_says_why_and_who_says_so():
    for chip in CHIPS.values():
        assert chip.source or not chip.because, chip.name
        if chip.partition_of or not chip.detected_type:
            assert chip.because, chip.name


def test_every_tpu_generation_of_ray_is_there():
    ray_tpus = {name for name in RAY_TYPES if re.fullmatch(r"TPU-V\w+", name)}
    assert ray_tpus == {chip.detected_type for chip in CHIPS.values() if chip.family == "tpu" and chip.detected_type}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("nvidia-tesla-a100", "A100-40G"),
        ("nvidia-a100-80gb", "A100-80G"),
        ("nvidia-h100-mega-80gb", "H100"),
        ("nvidia-rtx-pro-6000", "RTX-PRO-6000"),
        ("nvidia-gb300", "GB300"),
        ("ct5lp", "TPU-V5LITEPOD"),
        ("tpu7x", "TPU-V7X"),
    ],
)
def test_googles_names_lead_to_the_chip(name, key):
    assert CATALOG.chip(name).name == key
