"""What the rows say of Compute Engine's machine types, against a table of Google's own figures."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from accel_scaling.catalog import load as loading
from accel_scaling.catalog.load import parse_rows, shipped_catalog
from accel_scaling.clouds import SHIPPED_FOLDER
from accel_scaling.errors import UnknownInstanceTypeError
from accel_scaling.families.catalog import load_catalog
from accel_scaling.testing.devices.gcp_machines import hardware_of_gcp
from tests.support.catalog import HEADER

CATALOG = shipped_catalog()
GCP = CATALOG.machine_types("gcp")
DATA = Path(__file__).parents[1] / "data"

# The API's name, and the fraction of it: the catalog's chip (written by hand).
CHIPS = {
    ("nvidia-tesla-a100", ""): "A100-40G",
    ("nvidia-a100-80gb", ""): "A100-80G",
    ("nvidia-h100-80gb", ""): "H100",
    ("nvidia-h100-mega-80gb", ""): "H100",
    ("nvidia-h200-141gb", ""): "H200",
    ("nvidia-b200", ""): "B200",
    ("nvidia-gb200", ""): "GB200",
    ("nvidia-gb300", ""): "GB300",
    ("nvidia-l4", ""): "L4",
    ("nvidia-rtx-pro-6000", "1"): "RTX-PRO-6000",
    ("nvidia-rtx-pro-6000", "0.5"): "RTX-PRO-6000-48Q",
    ("nvidia-rtx-pro-6000", "0.25"): "RTX-PRO-6000-24Q",
    ("nvidia-rtx-pro-6000", "0.125"): "RTX-PRO-6000-12Q",
    ("ct3", ""): "TPU-V3",
    ("ct3p", ""): "TPU-V3",
    ("ct4l", ""): "TPU-V4-LITE",
    ("ct4p", ""): "TPU-V4",
    ("ct5l", ""): "TPU-V5LITEPOD",
    ("ct5lp", ""): "TPU-V5LITEPOD",
    ("ct5p", ""): "TPU-V5P",
    ("ct6e", ""): "TPU-V6E",
    ("tpu7x", ""): "TPU-V7X",
    ("tpu7", ""): "TPU7",
}
NAME_ONLY = ("a4-highgpu-8g-lowmem", "a4x-maxgpu-4g-metal-nolssd", "tpu7x-standard-4t-tpu", "tpu7x-ultranet-4t-tpu")


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_machine_type_whose_size_is_known_is_there_and_right_and_no_other():
    told = {
        row["machine_type"]: (
            int(row["vcpus"]),
            int(row["memory_mib"]),
            row["arch"],
            CHIPS[row["accelerator"], row["fraction"]] if row["accelerator"] else None,
            int(row["count"] or 0),
        )
        for row in rows(DATA / "gcp_machine_types.csv")
    }
    held = {
        name: (each.vcpus, each.memory_mib, each.arch, each.chip.name if each.chip else None, each.count)
        for name, each in GCP.items()
    }
    assert len(told) == 699
    assert {name: held.get(name) for name in told} == told  # rows may have been added since
    kinds = Counter(GCP[name].chip.family for name in told if GCP[name].chip)
    assert kinds == {"nvidia": 47, "tpu": 21}


def test_each_accelerated_machine_type_is_known_to_rehearsals_by_a_table_of_its_own():
    for name, machine in GCP.items():
        if machine.chip and machine.chip.family != "tpu":
            assert hardware_of_gcp(name).count == machine.count, name


@pytest.mark.parametrize("name", NAME_ONLY)
def test_a_type_that_is_only_a_name_is_unknown_and_its_neighbour_is_named(name):
    with pytest.raises(UnknownInstanceTypeError, match=f"{name!r} of gcp is not in the catalog .*; nearest: ") as error:
        CATALOG.machine_type("gcp", name)
    assert name.removesuffix("-lowmem").removesuffix("-nolssd").removesuffix("-tpu") in str(error.value)


def test_what_the_api_calls_a_whole_gpu_and_is_a_fraction_is_in_the_corrections():
    plain = {row["instance_type"]: row for row in rows(SHIPPED_FOLDER / "gcp.csv")}
    corrections = {row["instance_type"]: row for row in rows(SHIPPED_FOLDER / "gcp_corrections.csv")}
    assert set(corrections) == {"g4-standard-6", "g4-standard-12", "g4-standard-24"}
    for name, row in corrections.items():
        assert (plain[name]["accelerator"], plain[name]["count"]) == ("RTX-PRO-6000", "1")
        assert GCP[name].chip.partition_of == "RTX-PRO-6000"
        assert GCP[name].layer == "gcp_corrections.csv"
        assert row["because"]
        assert row["source"]
    assert not {each.name for each in CATALOG.find("RTX-PRO-6000", cloud="gcp")} & set(corrections)


def test_rows_are_sorted_so_that_a_change_is_a_line():
    for name in ("gcp.csv", "gcp_corrections.csv"):
        types = [row["instance_type"] for row in rows(SHIPPED_FOLDER / name)]
        assert types == sorted(types)


# --- two clouds in one catalog ---


def test_no_name_is_a_type_of_both_clouds():
    assert CATALOG.clouds == ("aws", "gcp")
    assert not set(GCP) & set(CATALOG.machine_types("aws"))


def test_find_without_a_cloud_finds_in_both():
    assert {each.cloud for each in CATALOG.find("A100")} == {"aws", "gcp"}
    assert {each.name for each in CATALOG.find("A100-80G", 8)} == {
        "p4de.24xlarge",
        "a2-ultragpu-8g",
        "a2-ultragpu-8g-nolssd",
    }


def test_asking_one_cloud_reads_no_row_of_the_other(monkeypatch, home):
    asked = []

    def recorded(source, *rest, **options):
        asked.append(source.label)
        return parse_rows(source, *rest, **options)

    monkeypatch.setattr(loading, "parse_rows", recorded)
    catalog = load_catalog(home=home)
    catalog.machine_type("gcp", "g2-standard-4")
    assert asked == ["gcp.csv", "gcp_corrections.csv"]


def test_a_users_file_holds_gcp_rows_by_its_name_or_by_a_column(load):
    row = "q9-standard-4,4,16384,x86_64,L4,1\n"
    assert load(HEADER + row, "gcp_mine.csv").machine_type("gcp", "q9-standard-4").count == 1
    assert load("cloud," + HEADER + "gcp," + row).machine_type("gcp", "q9-standard-4").chip.name == "L4"


def test_a_gcp_row_in_a_file_that_names_no_cloud_is_found_and_the_error_says_what_is_missing(load, tmp_path):
    with pytest.raises(UnknownInstanceTypeError) as error:
        load(HEADER + "q9-standard-4,4,16384,x86_64,L4,1\n").machine_type("gcp", "q9-standard-4")
    assert f"{tmp_path / 'mine.csv'} has it as a type of aws: write gcp in a column `cloud`" in str(error.value)


@pytest.mark.parametrize(
    ("cloud", "name", "meant"),
    [
        ("gcp", "p4d.24xlarge", "; it is a type of aws$"),
        ("gcp", "g6f.large", "; it is a type of aws$"),
        ("aws", "a2-highgpu-8g", "; it is a type of gcp$"),
        ("gcp", "v4-16", "; it is written as a TPU slice, which is asked for by `acceleratorType`$"),
        (
            "aws",
            "v4-16",
            "; correct the name, run `accel-scaling catalog refresh aws` if it is newer",
        ),
    ],
)
def test_a_name_of_something_else_is_told_what_it_is(cloud, name, meant):
    with pytest.raises(UnknownInstanceTypeError, match=meant):
        CATALOG.machine_type(cloud, name)


def test_a_users_row_has_precedence_over_a_rule(load):
    catalog = load(HEADER + "n2-custom-3-4096,3,4096,x86_64,,\n", "gcp_mine.csv")
    assert catalog.machine_type("gcp", "n2-custom-3-4096").vcpus == 3
