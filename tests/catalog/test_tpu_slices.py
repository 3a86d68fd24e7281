"""TPU slices by rule, against Google's lists, and against what Ray's own functions make of each slice's host."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray._private.accelerators import tpu as ray_tpu
from ray._private.accelerators.tpu import TPUAcceleratorManager

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.tpu_generations import generations, is_tpu_type
from accel_scaling.catalog.tpu_slices import known_slices, slice_of_topology, slice_of_type, slices_with
from accel_scaling.catalog_lint import machines, tables
from accel_scaling.catalog_lint.check import check_files
from accel_scaling.clouds import SHIPPED_FOLDER
from accel_scaling.errors import UnknownAcceleratorError, UnknownTpuError
from accel_scaling.message_text import shown

CATALOG = shipped_catalog()
SLICES = known_slices(CATALOG)
BY_LAYOUT = {(each.accelerator_type, each.topology): each for each in SLICES}
DATA = Path(__file__).parents[1] / "data"

# Google's documentation of each generation: accelerator type, default topology, hosts, chips of a host, host's vCPUs
# and GiB. Among them what the table in tests/data leaves out.
DOCUMENTED = [
    ("v2-8", "2x2", 1, 4, 96, 334),
    ("v2-256", "8x16", 32, 4, 96, 334),
    ("v3-8", "2x2", 1, 4, 96, 340),
    ("v3-32", "4x4", 4, 4, 48, 340),
    ("v3-512", "16x16", 64, 4, 48, 340),
    ("v4-8", "2x2x1", 1, 4, 240, 407),
    ("v4-16", "2x2x2", 2, 4, 240, 407),
    ("v4-128", "4x4x4", 16, 4, 240, 407),
    ("v4-4096", "8x16x16", 512, 4, 240, 407),
    ("v5litepod-1", "1x1", 1, 1, 24, 48),
    ("v5litepod-4", "2x2", 1, 4, 112, 192),
    ("v5litepod-8", "2x4", 1, 8, 224, 384),
    ("v5litepod-16", "4x4", 4, 4, 112, 192),
    ("v5litepod-64", "8x8", 16, 4, 112, 192),
    ("v5p-8", "2x2x1", 1, 4, 208, 448),
    ("v5p-512", "4x8x8", 64, 4, 208, 448),
    ("v5p-12288", "16x16x24", 1536, 4, 208, 448),
    ("v6e-1", "1x1", 1, 1, 44, 176),
    ("v6e-8", "2x4", 1, 8, 360, 1440),
    ("v6e-32", "4x8", 8, 4, 180, 720),
    ("v6e-256", "16x16", 64, 4, 180, 720),
    ("tpu7x-2", "1x1x1", 1, 1, 56, 240),
    ("tpu7x-8", "2x2x1", 1, 4, 224, 960),
    ("tpu7x-4096", "8x16x16", 512, 4, 224, 960),
]


def listed():
    with (DATA / "gcp_tpu_slices.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_slice_that_google_lists_follows_from_its_generation():
    wrong = []
    for row in listed():
        found = BY_LAYOUT.get((row["accelerator_type"], row["topology"]))
        told = (int(row["chips"]), int(row["hosts"]), int(row["chips_per_host"]), row["config_type"])
        if found is None or told != (found.chips, found.hosts, found.chips_per_host, found.config_type):
            wrong.append((row, found))
        elif row["machine_type"] and row["machine_type"] != found.machine.name:
            wrong.append((row, found.machine))
    assert (len(listed()), wrong) == (1273, [])


def test_a_type_without_a_topology_is_the_one_that_google_makes_by_default():
    for row in listed():
        found = slice_of_type(CATALOG, row["accelerator_type"]).topology
        assert (found == row["topology"]) == (row["default"] == "yes"), row


@pytest.mark.parametrize("documented", DOCUMENTED, ids=[each[0] for each in DOCUMENTED])
def test_a_slice_is_what_google_documents(documented):
    name, topology, hosts, chips, vcpus, gib = documented
    found = slice_of_type(CATALOG, name)
    assert (found.accelerator_type, found.topology, found.hosts, found.chips_per_host) == (name, topology, hosts, chips)
    assert found.chips == hosts * chips
    assert (found.machine.vcpus, found.machine.memory_mib, found.machine.arch) == (vcpus, gib * 1024, "x86_64")
    assert (found.machine.chip, found.machine.count, found.machine.cloud) == (found.chip, chips, "gcp")


def test_no_two_slices_are_the_same_and_each_is_found_by_its_topology():
    assert len(BY_LAYOUT) == len(SLICES) == 1687
    for each in SLICES:
        assert each.hosts * each.chips_per_host == each.chips
        if each.config_type not in ("", "V2", "V3"):
            assert slice_of_topology(CATALOG, each.config_type, each.topology) == each


# --- Ray ---


@pytest.fixture
def host(monkeypatch):
    """Put this process on host 0 of a slice, as Ray's detection sees it through the environment."""

    def at(found):
        for key, value in (
            ("TPU_ACCELERATOR_TYPE", found.accelerator_type),
            ("TPU_TOPOLOGY", found.topology),
            ("TPU_NAME", "a-slice"),
            ("TPU_WORKER_ID", "0"),
        ):
            monkeypatch.setenv(key, value)

    return at


@pytest.mark.parametrize("generation", generations())
def test_ray_detects_the_pod_type_the_chip_and_the_head_of_every_slice(generation, host):
    for found in (each for each in SLICES if each.generation == generation):
        host(found)
        assert TPUAcceleratorManager.get_current_node_tpu_pod_type() == found.pod_type
        assert TPUAcceleratorManager.get_current_node_tpu_topology() == found.topology
        resources = TPUAcceleratorManager.get_current_node_additional_resources()
        assert resources == {"a-slice": 1, f"TPU-{found.pod_type}-head": 1}
        if generation != "tpu7":
            assert TPUAcceleratorManager.get_current_node_accelerator_type() == found.chip.detected_type


def test_ray_infers_the_pod_type_and_the_hosts_chips_from_the_topology():
    unlike = []
    for found in SLICES:
        if found.chip.detected_type is None:
            continue
        assert ray_tpu.infer_tpu_pod_type_from_topology(found.topology, found.chip.detected_type) == found.pod_type
        version = found.pod_type.partition("-")[0]
        if ray_tpu.get_chips_per_host(found.topology, version) != found.chips_per_host:
            unlike.append(found.accelerator_type)
    assert unlike == ["v5litepod-2", "tpu7x-2"]  # Ray says four chips of both; their hosts have two and one


def test_a_slice_says_whether_rays_table_has_its_topology():
    for found in SLICES:
        known = TPUAcceleratorManager.is_valid_tpu_accelerator_topology(found.generation, found.topology)
        assert found.in_ray == known, found
    assert not slice_of_type(CATALOG, "v2-8").in_ray
    assert slice_of_type(CATALOG, "v4-16").in_ray


def test_a_slice_may_be_asked_for_as_cloud_tpus_clients_do() -> None:
    asked, listed_as = slice_of_type(CATALOG, "v7x-8"), slice_of_type(CATALOG, "tpu7x-8")
    assert (asked.accelerator_type, asked.pod_type, asked.topology) == ("v7x-8", "v7x-8", "2x2x1")
    assert (asked.machine, asked.chips, asked.hosts) == (listed_as.machine, listed_as.chips, listed_as.hosts)
    assert [slice_of_type(CATALOG, f"v7x-{number}").chips for number in (2, 16)] == [1, 8]


def test_each_tpu_machine_of_gkes_table_is_a_host_of_a_slice() -> None:
    alone = slice_of_type(CATALOG, "tpu7-2")
    assert (alone.topology, alone.machine.name, alone.chips_per_host) == ("1x1x1", "tpu7-standard-1t", 1)


# --- what does not exist ---


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v4-17", "nearest: v4-8, v4-16, v4-32$"),
        ("v5p-99999", "nearest: .*v5p-17920$"),
        ("v5litepod-12", "nearest: .*v5litepod-8.*v5litepod-16"),
        ("v7x-7", "nearest: "),
        ("v7-8", "Cloud TPU writes tpu7-8$"),
        ("v5e-8", "Cloud TPU writes v5litepod-8$"),
        ("v44-8", "nearest: v4-8"),
        ("v4-08", "nearest: v4-8"),
        ("v4-", "nearest: "),
        ("v4-²", "'v4-²'"),
        ("a2-highgpu-8g", "it is a machine type, which is asked for by `machineType`$"),
        ("v4-" + "9" * 5000, "does not exist on Google Cloud$"),
        ("", "''"),
    ],
)
def test_an_unknown_type_is_refused_with_the_nearest_names(name, message):
    with pytest.raises(UnknownTpuError, match=message) as error:
        slice_of_type(CATALOG, name)
    assert shown(name) in str(error.value)


@given(name=st.text(max_size=20) | st.builds("{}-{}".format, st.sampled_from([*generations()]), st.integers()))
def test_any_name_is_a_slice_of_that_name_or_refused(name):
    try:
        assert slice_of_type(CATALOG, name).accelerator_type == name
    except UnknownTpuError as error:
        assert repr(name) in str(error)


@given(topology=st.text(max_size=12) | st.from_regex(r"[0-9]{1,3}x[0-9]{1,3}(x[0-9]{1,3})?", fullmatch=True))
def test_any_topology_is_a_slice_of_that_topology_or_refused(topology):
    try:
        assert slice_of_topology(CATALOG, "V4", topology).topology == topology
    except UnknownTpuError as error:
        assert repr(topology) in str(error)


@pytest.mark.parametrize(
    ("config_type", "topology", "message"),
    [
        ("V4", "3x3x3", "it has 2x2x1, 2x2x2, 2x2x4, 2x4x4, 4x4x4, .* and 792 more, up to 256x4x4$"),
        ("V5P", "8x4x4", "with 128 chips there is 4x4x8$"),
        ("V6E", "2x2x1", "with 4 chips there is 2x2$"),
        ("V5LITE_POD", "junk", "it has 1x1, 1x2, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16, 16x16$"),
        ("V6E", "9999999999x9", "it has 1x1, 2x2, "),
        ("v4", "2x2x2", "'v4' is not in the TPU API; write V4$"),
        ("V5E", "2x2", "write V5LITE_POD$"),
        ("v5litepod", "2x2", "write V5LITE_POD$"),
        ("V6", "2x2", "nearest: V6E, V4; it has V4, V5LITE_POD, V5P, V6E$"),
        ("V2", "2x2", "'V2' names no slice: chip-based .* are for v4 and later, .*; write acceleratorType: v2-8$"),
        ("v3", "4x4", "'v3' names no slice: chip-based .* and Ray refuses it; write acceleratorType: v3-32$"),
        ("V3", "2x2x1", "'V3' names no slice: .*; write acceleratorType, such as v3-8$"),
        ("TPU7X", "2x2x1", "'TPU7X' names no slice: it is not in the TPU API; write acceleratorType: tpu7x-8$"),
    ],
)
def test_an_unknown_topology_is_refused_with_those_that_exist(config_type, topology, message):
    with pytest.raises(UnknownTpuError, match=message):
        slice_of_topology(CATALOG, config_type, topology)


# --- find ---


def test_slices_are_found_by_their_accelerator_from_the_smallest_on_and_by_the_chips_of_the_whole_slice():
    found = slices_with(CATALOG, "TPU-V6E")
    assert [each.chips for each in found] == [1, 4, 8, 16, 32, 64, 128, 256]
    assert [each.accelerator_type for each in slices_with(CATALOG, "v5e", 64)] == [
        "v5litepod-64",
        "v5litepod-128",
        "v5litepod-256",
    ]
    assert slices_with(CATALOG, "A100") == []
    with pytest.raises(UnknownAcceleratorError, match="nearest: TPU-V"):
        slices_with(CATALOG, "TPU-V44")


def test_a_name_is_a_slices_by_its_form_and_no_machine_type_has_that_form():
    assert all(is_tpu_type(each.accelerator_type) for each in SLICES)
    for cloud in CATALOG.clouds:
        assert not any(is_tpu_type(name) for name in CATALOG.machine_types(cloud))


def test_a_users_row_for_a_host_is_the_slices_host(tmp_path):
    from accel_scaling.families.catalog import load_catalog

    mine = tmp_path / "gcp_mine.csv"
    mine.write_text("instance_type,vcpus,memory_mib,arch,accelerator,count\nct4p-hightpu-4t,200,1024,x86_64,TPU-V4,4\n")
    found = slice_of_type(load_catalog([mine], home=tmp_path), "v4-16")
    assert (found.machine.vcpus, found.machine.memory_mib, found.machine.layer) == (200, 1024, str(mine))


# --- the arithmetic of TPU slices ---


@pytest.mark.parametrize(
    ("name", "change", "column", "words"),
    [
        ("gcp_tpu.csv", (",TPU-V4,2,", ",TPU-V4,3,"), "suffix_per_chip", "is 3; expected 2"),
        ("gcp_tpu.csv", (",TPU-V4,2,", ",TPU-V4,1,"), "suffix_per_chip", "of v4 is 1; expected 2"),
        ("gcp_tpu.csv", (",TPU-V6E,1,", ",TPU-V6E,2,"), "suffix_per_chip", "of v6e is 2; expected 1"),
        ("gcp_tpu.csv", (",TPU-V4,2,", ",L4,2,"), "chip", "is L4, no TPU"),
        ("gcp_tpu.csv", (",TPU-V4,2,", ",TPU-V5P,2,"), "chip", "Ray detects as TPU-V5P; expected TPU-V4"),
        ("gcp_tpu.csv", ("1x1 1x2 2x2", "1x1 2x2 1x2"), "topologies", "1x2 after 2x2; expected the smallest first"),
        ("gcp_tpu.csv", ("1x1 1x2 2x2", "1x1 1x2 2x2x1"), "topologies", "2x2x1 after 1x2; expected as many edges"),
        ("gcp_tpu.csv", ("1x1 1x2 2x2", "1x1 1x2 1x2 2x2"), "topologies", "has 1x2 twice"),
        ("gcp_tpu.csv", (",4096,any,", ",4100,any,"), "cubes_to_chips", "expected a multiple of 64"),
        ("gcp_tpu.csv", (",4096,any,320,", ",4096,any,5000,"), "compact_to_chips", "expected at most 4096"),
        ("gcp_tpu.csv", ("8x8x8 8x8x12", "8x8x8 4x8x16"), "default_topologies", "8x8x8 and 4x8x16, each 512 chips"),
        (
            "gcp_tpu_hosts.csv",
            ("v5litepod,one,2,", "v5litepod,one,3,"),
            "chips",
            "expected a number that a topology of",
        ),
        ("gcp_tpu_hosts.csv", ("v2,many,4,", "v2,many,2,"), "chips", "is 2; expected 4, as a host of v2 alone has"),
        ("gcp_tpu.csv", ("2x2x1 2x2x2 2x2x4 2x4x4,4096", "2x1x3,4096"), "topologies", "has 2x1x3, 6 chips"),
        ("gcp_tpu.csv", ("8x8x8 8x8x12", "8x8x9"), "default_topologies", "8x8x9, which is no topology of v4"),
        ("gcp_tpu_hosts.csv", ("v4,many,4,", "v4,many,2,"), "chips", "is 2; expected 4, the count of ct4p-hightpu-4t"),
        ("gcp_tpu_hosts.csv", ("v4,many,4,ct4p", "v4,many,4,ct5p"), "machine_type", "expected one with TPU-V4"),
    ],
)
def test_slices_that_do_not_add_up_are_named(tmp_path, name, change, column, words):
    text = (SHIPPED_FOLDER / name).read_text()
    assert change[0] in text
    file = tmp_path / name
    file.write_text(text.replace(*change, 1))
    found = check_files([file]).mistakes
    line = text.partition(change[0])[0].count("\n") + 1
    assert (line, column) in {(each.line, each.column) for each in found}
    assert any(words in each.text for each in found)


def test_the_number_in_an_accelerator_type_is_checked_against_what_ray_counts():
    for name, cores in tables._CORES_OF.items():
        assert cores == ray_tpu.get_tpu_cores_per_chip(f"{generations()[name].ray_name}-8"), name
    assert machines.TPU_CHIPS == ray_tpu.TPU_VALID_CHIP_OPTIONS
