"""``accel-scaling catalog show | find | check`` with Google Cloud: machine types, TPU slices, what N1 machines take."""

import json

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.clouds import SHIPPED_FOLDER
from tests.cli.test_catalog import KEYS

SLICE_KEYS = {"machine_type", "hosts", "chips", "topology", "pod_type"}


@pytest.fixture
def catalog(capsys):
    """Run ``accel-scaling catalog ARGS``; return exit code, stdout and stderr."""

    def running(*args):
        code = main(["catalog", *map(str, args)])
        out, err = capsys.readouterr()
        return code, out, err

    return running


# --- show ---


def test_show_of_a_gcp_type_needs_no_cloud(catalog):
    _, out, _ = catalog("show", "a2-highgpu-8g", "--json")
    shown = json.loads(out)
    assert (shown["cloud"], shown["accelerator"], shown["accelerator_count"]) == ("gcp", "A100-40G", 8)
    _, out, _ = catalog("show", "n2-custom-8-65536-ext", "--json")
    assert (json.loads(out)["vcpus"], json.loads(out)["layer"]) == (8, "gcp_custom.csv")


def test_show_of_a_fraction_of_a_gpu_says_so_and_promises_its_variant_only(catalog):
    _, out, _ = catalog("show", "g4-standard-6")
    assert "1 x RTX-PRO-6000-12Q (a slice of one RTX-PRO-6000)" in out
    assert "accelerator_type:RTX-PRO-6000-12Q" in out
    assert "accelerator_type:RTX-PRO-6000 " not in out


def test_show_of_an_unknown_gcp_type_names_near_ones_and_of_a_wrong_custom_one_its_rule(catalog):
    code, _, err = catalog("show", "a2-highgpu-9g")
    assert (code, err.count("\n")) == (2, 1)
    assert "'a2-highgpu-9g' of gcp" in err
    assert "nearest: a2-highgpu-" in err
    code, _, err = catalog("show", "n2-custom-3-4096")
    assert (code, err.count("\n")) == (2, 1)
    assert "2 to 32 in steps of 2" in err


def test_show_json_of_a_tpu_slice_has_a_machines_keys_for_one_host_and_its_own(catalog):
    _, out, _ = catalog("show", "v4-16", "--json")
    shown = json.loads(out)
    assert set(shown) == KEYS | SLICE_KEYS
    assert {key: shown[key] for key in SLICE_KEYS} == {
        "machine_type": "ct4p-hightpu-4t",
        "hosts": 2,
        "chips": 8,
        "topology": "2x2x2",
        "pod_type": "v4-16",
    }
    assert (shown["instance_type"], shown["vcpus"], shown["accelerator_count"]) == ("v4-16", 240, 4)
    promised = {"CPU": 240, "TPU": 4, "accelerator_type:TPU-V4": 1, "TPU-v4-16-head": 1}
    assert promised.items() <= shown["resources"].items()
    assert {"ray.io/tpu-topology": "2x2x2", "ray.io/tpu-pod-type": "v4-16"}.items() <= shown["labels"].items()


def test_show_of_a_slice_for_people_says_what_is_one_hosts_and_what_is_host_0s(catalog):
    _, out, _ = catalog("show", "v4-16")
    has, promised, detected, needs = out.split("\n\n")
    assert "runtimeVersion tpu-ubuntu2204-base" in needs
    for words in ("2, each a Ray node", "2x2x2, 8 chips", "ct4p-hightpu-4t", "4 x TPU-V4 a host"):
        assert words in has
    assert "1 (host 0 only)" in promised
    assert "0 (on each host its own)" in promised
    assert detected.startswith("each host will detect")
    _, out, _ = catalog("show", "v5litepod-8")
    assert "8 x TPU-V5LITEPOD\n" in out
    assert "host 0" not in out


def test_show_of_a_slice_that_rays_table_lacks_says_so(catalog):
    assert "Ray's own table lacks this topology" in catalog("show", "v2-8")[1]
    assert "Ray's own table" not in catalog("show", "v2-32")[1]


def test_show_of_an_unknown_slice_exits_2_with_the_nearest(catalog):
    code, out, err = catalog("show", "v4-17")
    assert (code, out) == (2, "")
    assert (
        err == "accel-scaling: TPU accelerator type 'v4-17' does not exist on Google Cloud; nearest: v4-8, v4-16, "
        "v4-32\n"
    )
    assert "of aws is not in the catalog" in catalog("show", "v4-16", "--cloud", "aws")[2]


# --- find ---


def test_find_of_a_tpu_lists_machine_types_and_slices_the_smallest_of_each_kind(catalog):
    _, out, _ = catalog("find", "--accelerator", "TPU-V4")
    machines, slices = out.split("\n\n")
    assert machines.splitlines()[1].startswith("ct4p-hightpu-4t")
    header, *lines, closing = slices.splitlines()
    assert header.split()[:3] == ["TPU", "SLICE", "TOPOLOGY"]
    assert [line.split()[0] for line in lines][:3] == ["v4-8", "v4-16", "v4-32"]
    assert len(lines) == 12
    assert closing.startswith("12 TPU slices in default topology; 56 larger ones with --all (catalog ")
    _, out, _ = catalog("find", "--accelerator", "TPU-V4", "--all")
    assert out.splitlines()[-1].startswith("68 TPU slices in default topology (catalog ")


def test_find_counts_the_chips_of_the_whole_slice(catalog):
    _, out, _ = catalog("find", "--accelerator", "TPU-V6E", "--min-count", "128")
    assert [line.split()[0] for line in out.splitlines()[1:-1]] == ["v6e-128", "v6e-256"]
    _, out, _ = catalog("find", "--accelerator", "TPU-V6E", "--min-count", "8", "--json")
    entries = json.loads(out)
    assert [entry["instance_type"] for entry in entries][:3] == ["ct6e-standard-8t", "v6e-8", "v6e-16"]
    assert [entry["hosts"] for entry in entries if "hosts" in entry] == [1, 4, 8, 16, 32, 64]


def test_find_lists_slices_where_a_tpu_of_gcp_is_asked_for_only(catalog):
    assert "TPU SLICE" not in catalog("find", "--cloud", "gcp")[1]
    assert "TPU SLICE" not in catalog("find", "--accelerator", "L4")[1]
    _, out, _ = catalog("find", "--accelerator", "TPU-V4", "--cloud", "aws")
    assert out.splitlines()[-1].startswith("0 machine types")


def test_find_of_a_gpu_that_is_attached_says_to_which_machines(catalog):
    _, out, _ = catalog("find", "--accelerator", "T4", "--min-count", "2", "--cloud", "gcp")
    assert [line.split()[:5] for line in out.splitlines()[1:3]] == [
        ["2", "x", "nvidia-tesla-t4", "48", "vCPUs"],
        ["4", "x", "nvidia-tesla-t4", "96", "vCPUs"],
    ]
    assert "any N1 machine" in out
    assert "N1" not in catalog("find", "--accelerator", "T4", "--cloud", "aws")[1]


def test_find_in_one_cloud_lists_its_types_only(catalog):
    _, out, _ = catalog("find", "--accelerator", "L4", "--cloud", "gcp", "--json")
    assert {entry["instance_type"] for entry in json.loads(out)} == {
        f"g2-standard-{size}" for size in (4, 8, 12, 16, 24, 32, 48, 96)
    }
    _, out, _ = catalog("find", "--cloud", "gcp", "--json")
    assert {entry["instance_type"] for entry in json.loads(out)} == set(shipped_catalog().machine_types("gcp"))


# --- check ---


def test_check_of_a_rule_file_counts_its_rules(catalog):
    code, out, _ = catalog("check", SHIPPED_FOLDER / "gcp_tpu.csv", SHIPPED_FOLDER / "gcp_tpu_hosts.csv")
    assert code == 0
    assert out.endswith(", 31 rules\n")


def test_check_prints_what_is_wrong_with_a_rule(catalog, tmp_path):
    mine = tmp_path / "gcp_attach.csv"
    mine.write_text((SHIPPED_FOLDER / "gcp_attach.csv").read_text().replace("nvidia-tesla-t4,1,", "nvidia-t4,1,", 1))
    code, out, _ = catalog("check", mine)
    assert code == 2
    assert out.startswith(f"{mine}:2: accelerator 'nvidia-t4' is not known; nearest: ")
