"""How layers become one catalog, how files are refused, and how look-ups answer."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from accel_scaling import __version__
from accel_scaling.catalog.chips import parse_chips
from accel_scaling.catalog.files import Source
from accel_scaling.catalog.load import load_catalog, shipped_catalog
from accel_scaling.catalog.rows import parse_rows
from accel_scaling.errors import CatalogFileError, UnknownAcceleratorError, UnknownInstanceTypeError

HEADER = "instance_type,vcpus,memory_mib,arch,accelerator,count\n"
GOOD = HEADER + "x1.large,2,8192,x86_64,,\nx1.gpu,8,32768,arm64,L4,2\n"
CHIP = "family: npu, resource: NPU, detected_type: null, variant: N9"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home" / ".accel_scaling" / "refresh").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def load(tmp_path, home):
    """Write a file and load the catalog with it."""

    def loading(text, name="mine.csv", **more):
        for each, content in {name: text, **more}.items():
            file = tmp_path / each.replace("__", ".")
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_catalog([tmp_path / name], home=home)

    return loading


# --- layers ---


def test_a_users_row_is_stronger_than_everything_that_ships(load, tmp_path):
    machine = load(HEADER + "g6f.large,2,8192,x86_64,L4,1\n").machine_type("aws", "g6f.large")
    assert (machine.chip.name, machine.layer) == ("L4", str(tmp_path / "mine.csv"))


def test_the_first_of_two_user_files_wins(tmp_path, home):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(HEADER + "x1.gpu,8,32768,arm64,L4,1\n")
    second.write_text(HEADER + "x1.gpu,8,32768,arm64,L4,2\nx2.gpu,8,32768,arm64,T4,2\n")
    catalog = load_catalog([first, second], home=home)
    assert catalog.machine_type("aws", "x1.gpu").count == 1
    assert catalog.machine_type("aws", "x2.gpu").count == 2


def test_home_is_weaker_than_a_given_file_and_stronger_than_corrections(load, home):
    own = home / ".accel_scaling" / "aws_own.csv"
    own.write_text(HEADER + "x1.gpu,1,1,arm64,T4,1\ng6f.large,2,8192,x86_64,T4,1\n")
    catalog = load(GOOD)
    assert catalog.machine_type("aws", "x1.gpu").chip.name == "L4"
    assert catalog.machine_type("aws", "g6f.large").chip.name == "T4"


def test_corrections_are_stronger_than_a_refresh_which_is_stronger_than_the_rows(home):
    refresh = home / ".accel_scaling" / "refresh" / "aws.csv"
    refresh.write_text(HEADER + "g6f.large,2,8192,x86_64,,\ng6.xlarge,4,16384,x86_64,L4,2\nnew1.large,2,8192,arm64,,\n")
    catalog = load_catalog(home=home)
    assert catalog.machine_type("aws", "g6f.large").chip.name == "L4-3Q"
    assert catalog.machine_type("aws", "g6.xlarge").count == 2
    assert catalog.machine_type("aws", "g6.xlarge").layer == str(refresh)
    assert catalog.machine_type("aws", "new1.large").chip is None


def test_the_shipped_catalog_knows_nothing_of_the_user(monkeypatch, home):
    monkeypatch.setenv("HOME", str(home))
    (home / ".accel_scaling" / "own.csv").write_text(GOOD)
    assert load_catalog().machine_type("aws", "x1.gpu").count == 2
    assert "x1.gpu" not in shipped_catalog().machine_types("aws")


def test_accelerators_beside_a_users_file_add_to_ours(load):
    half = "N9-half: {family: npu, resource: NPU, detected_type: null, variant: H, partition_of: N9}"
    beside = f"N9: {{{CHIP}}}\n{half}"
    catalog = load(HEADER + "x9.large,8,1024,arm64,N9,4\n", mine__yaml=beside)
    assert catalog.machine_type("aws", "x9.large").chip.resource == "NPU"
    assert catalog.chip("n9-half").partition_of == "N9"


def test_accelerators_in_the_users_folder_or_given_override_ours(load, home):
    (home / ".accel_scaling" / "chips.yaml").write_text("L4: {family: f, resource: HOME, detected_type: L4}")
    assert load(GOOD).machine_type("aws", "g6.xlarge").chip.resource == "HOME"
    given = "L4: {family: f, resource: GIVEN, detected_type: L4}"
    assert load(given, "given.yaml").machine_type("aws", "g6.xlarge").chip.resource == "GIVEN"


def test_another_yaml_file_beside_a_users_file_is_none_of_our_business(load):
    assert load(GOOD, cluster__yaml="cluster_name: mine").machine_type("aws", "x1.gpu").count == 2


def test_the_cloud_is_the_cells_then_the_file_names_then_aws(tmp_path):
    text = "cloud," + HEADER + "gcp,a,1,1,arm64,,\n,b,1,1,arm64,,\n"
    for name, second in (("mine.csv", "aws"), ("aws_mine.csv", "aws"), ("gcp-mine.csv", "gcp")):
        rows, problems = parse_rows(Source(Path(name), name, text), {}, ("aws", "gcp"))
        assert (set(rows), problems) == ({("gcp", "a"), (second, "b")}, [])


def test_columns_may_stand_in_any_order_with_spaces_quotes_crlf_and_a_bom(load):
    text = '\ufeffcount,accelerator, arch,memory_mib,vcpus,instance_type\r\n\r\n2, L4 ,arm64,32768,8,"x1.gpu"\r\n'
    assert load(text).machine_type("aws", "x1.gpu").chip.name == "L4"


# --- version ---


def test_the_version_names_the_package_and_changes_with_any_layers_content(load, home):
    plain = load_catalog(home=home).version
    assert re.fullmatch(re.escape(__version__) + r"\+[0-9a-f]{8}", plain)
    assert plain == load_catalog(home=home).version == shipped_catalog().version
    versions = {plain, load(GOOD).version, load(GOOD.replace("8192", "8193")).version}
    (home / ".accel_scaling" / "refresh" / "aws.csv").write_text(GOOD)
    versions.add(load_catalog(home=home).version)
    versions.add(load(f"N9: {{{CHIP}}}", "chips.yaml").version)
    assert len(versions) == 5


# --- files that are refused ---


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x1.l,2,8192,x86_64,L4,-1", "count is -1; expected a whole number of 0 or more"),
        ("x1.l,2,8192,x86_64,L4,1.5", "count is 1.5; expected a whole number of 0 or more"),
        ("x1.l,two,8192,x86_64,,", "vcpus is two; expected a whole number of 1 or more"),
        ("x1.l,2,,x86_64,,", "memory_mib is empty; expected a whole number of 1 or more"),
        ("x1.l,٣,8192,x86_64,,", "vcpus is ٣; expected a whole number of 1 or more"),
        ("x1.l," + "9" * 5000 + ",8192,x86_64,,", "expected a whole number of 1 or more"),
        ("x1.l,2,8192,x86_64,A100-80,1", "accelerator 'A100-80' is in no accelerators.yaml; nearest: A100-80G"),
        ("x1.l,2,8192,x86_64,,1", "count is 1 but accelerator is empty"),
        ("x1.l,2,8192,x86_64,L4,", "accelerator is L4 but count is empty"),
        ("x1.l,2,8192,x86_64,L4,0", "accelerator is L4 but count is 0"),
        ("x1.l,2,8192,amd64,,", "arch is amd64; expected x86_64, arm64, i386"),
        (",2,8192,x86_64,,", "instance_type is empty"),
        ("x1 l,2,8192,x86_64,,", "instance_type is 'x1 l'; expected letters"),
        ("x1.l,2,8192,x86_64", "has 4 cells; expected 6"),
        ("x1.l,2,8192,x86_64,,,", "has 7 cells; expected 6"),
        ("x1.large,2,8192,x86_64,,", "instance type x1.large is already in line 2; keep one of the two"),
        ('"x1.l,2,8192,x86_64,,', "is not CSV: "),
    ],
)
def test_a_wrong_row_is_refused_with_file_line_and_reason(load, tmp_path, row, message):
    with pytest.raises(CatalogFileError) as error:
        load(GOOD + row + "\n")
    assert str(error.value).startswith(f"{tmp_path / 'mine.csv'}:4: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: column instance_type, vcpus, memory_mib, arch, accelerator, count is missing"),
        (GOOD.replace("arch,", ""), "1: column arch is missing; expected instance_type"),
        (GOOD.replace("arch", "arhc"), "1: column 'arhc' is not known; nearest: arch"),
        (GOOD.replace("vcpus", "arch"), "1: column arch is there 2 times"),
        (b"instance_type\n\n\xff\xfe", "3: is not UTF-8"),
        (GOOD.replace("type,", "type,cloud,").replace("x1.large,", "x1.large,azure,"), "2: cloud is azure; expected"),
    ],
)
def test_a_wrong_file_is_refused_with_file_line_and_reason(load, tmp_path, text, message):
    with pytest.raises(CatalogFileError, match=re.escape(f"{tmp_path / 'mine.csv'}:{message}")):
        load(text)


def test_a_correction_that_does_not_say_why_is_refused(load):
    with pytest.raises(CatalogFileError, match="1: column because, source is missing"):
        load(GOOD, "aws_corrections.csv")
    text = HEADER.replace("\n", ",because,source\n") + "x1.large,2,8192,x86_64,,,  ,the driver\n"
    with pytest.raises(CatalogFileError, match="2: because is empty"):
        load(text, "aws_corrections.csv")


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path, home):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(CatalogFileError, match=re.escape(f"{path}: cannot be read")):
            load_catalog([path], home=home)


def test_the_error_counts_the_problems_that_it_does_not_print(load):
    with pytest.raises(CatalogFileError, match=r":4: .* \(and 2 more: `accel-scaling catalog check .*mine\.csv`\)"):
        load(GOOD + "a,b\na,b\na,b\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- L4", "1: is not a mapping"),
        ("", "1: is not a mapping"),
        ("a: [", "is not YAML: "),
        ("a: \x00", "is not YAML: "),
        ("[" * 5000, ": is n"),
        ("a: " + "{b: " * 5000, ": is n"),
        ("\nN9: L4", "2: N9 is 'L4'; expected a mapping"),
        (f"N9: {{{CHIP}, colour: red}}", "1: N9: field 'colour' is not known"),
        (
            f"N9:\n  {{{CHIP}, unit_per_device: 3}}",
            "2: N9: field 'unit_per_device' is not known; nearest: units_per_device",
        ),
        ("N9: {family: npu, detected_type: N9}", "1: N9: field resource is missing"),
        ("N9: {family: npu, resource: NPU}", "1: N9: field detected_type is missing"),
        ("N9: {family: npu, resource: NPU, detected_type: null}", "1: N9: detected_type is null, so variant is"),
        (f"N9: {{{CHIP}, memory_mib: many}}", "1: N9: memory_mib is 'many'; expected a whole number of 1 or more"),
        (f"N9: {{{CHIP}, units_per_device: 0}}", "1: N9: units_per_device is '0'; expected a whole number"),
        (f"N9: {{{CHIP}, driver_names: N9}}", "1: N9: driver_names is 'N9'; expected a list of names"),
        (f"N9: {{{CHIP}, driver_names: [9]}}", "1: N9: driver_names is '9'; expected text"),
        (f"N9: {{{CHIP}, pci_ids: ['10DE:1']}}", "1: N9: pci_ids is '10DE:1'; expected vendor:device"),
        (f"N9: {{{CHIP}, api_names: [L4]}}", "1: N9: api_names is a list; expected a mapping"),
        (f"N9: {{{CHIP}, api_names: {{[a]: b}}}}", "1: N9: api_names has a key that is a list; expected a word"),
        (f"N9: {{{CHIP}, partition_of: N8}}", "1: N9: partition_of is N8; expected a whole accelerator's name"),
        (
            "N9: {family: npu, resource: NPU, detected_type: N9, partition_of: L4}",
            "1: N9: detected_type is N9; expected null, as for every partition",
        ),
        (f"N9: {{{CHIP}}}\nN9: {{{CHIP}}}", "2: N9 is already in line 1"),
        (f"N9: {{{CHIP}, family: x}}", "1: N9: field family is there twice"),
        ("N9: {family: a b, resource: NPU, detected_type: N9}", "1: N9: family is 'a b'; expected letters"),
        ("N9: &n {family: *n}", "1: N9: family is a mapping; expected text"),
    ],
)
def test_wrong_accelerators_are_refused_with_file_line_and_reason(load, tmp_path, text, message):
    with pytest.raises(CatalogFileError) as error:
        load(text, "chips.yaml")
    where, _, what = str(error.value).removeprefix(f"{tmp_path / 'chips.yaml'}:").partition(":")
    assert where.isdigit()
    assert message in f"{where}:{what}"


SLIPS = ["", "", ",", '"', "\n", "\r", "\0", "-", "é", "1" * 30, "{", ": ", "&a ", "*a "]


def mutated(text, seed):
    """A text with a few slips of the finger."""
    slips, letters = random.Random(seed), list(text)
    for _ in range(slips.randint(1, 6)):
        at = slips.randrange(len(letters) + 1)
        cut = slips.choice((0, 0, 1, 5, 40))
        letters[at : at + cut] = slips.choice(SLIPS)
    return "".join(letters)


def either_loads_or_names_the_line(load, text, name):
    said = "loaded"
    try:
        load(text, name)
    except CatalogFileError as error:
        said = str(error)
    assert said == "loaded" or re.search(rf"{re.escape(name)}:\d+: .+", said, re.DOTALL)


SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(seed=st.integers(), junk=st.none() | st.text(max_size=60))
@example(seed=0, junk="\r")
def test_any_csv_is_either_loaded_or_refused_with_its_line(load, seed, junk):
    either_loads_or_names_the_line(load, mutated(GOOD, seed) if junk is None else HEADER + junk, "mine.csv")


@SETTINGS
@given(seed=st.integers(), junk=st.none() | st.text(max_size=60))
@example(seed=0, junk="\x85")
def test_any_yaml_is_either_loaded_or_refused_with_its_line(load, seed, junk):
    text = f"N9: {{{CHIP}, api_names: {{aws: [N]}}, memory_mib: 3}}\nM8:\n  {{{CHIP}, partition_of: N9}}\n"
    either_loads_or_names_the_line(load, mutated(text, seed) if junk is None else junk, "chips.yaml")


def test_the_mutations_of_the_property_tests_reach_both_ends():
    outcomes = set()
    for seed in range(200):
        _, problems = parse_rows(Source(Path("a.csv"), "a", mutated(GOOD, seed)), shipped_catalog().chips, ("aws",))
        outcomes.add(bool(problems))
    assert outcomes == {True, False}


# --- look-ups ---


def names(machines):
    return {machine.name for machine in machines}


def test_an_unknown_type_names_itself_the_version_near_names_and_the_way_out():
    catalog = shipped_catalog()
    with pytest.raises(UnknownInstanceTypeError) as error:
        catalog.machine_type("aws", "p4d.24xlrage")
    for part in ("p4d.24xlrage", catalog.version, "p4d.24xlarge", "provider.catalog", "catalog refresh aws"):
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


def test_a_clouds_rows_are_read_when_somebody_asks_for_them(monkeypatch, home):
    from accel_scaling.catalog import load

    asked = []

    def recorded(source, *rest):
        asked.append(source.label)
        return parse_rows(source, *rest)

    monkeypatch.setattr(load, "parse_rows", recorded)
    catalog = load_catalog(home=home)
    catalog.chip("L4")
    assert asked == []
    assert catalog.machine_types("aws") is catalog.machine_types("aws")
    assert asked == ["aws.csv", "aws_corrections.csv"]


def test_chips_read_the_same_without_libyaml(monkeypatch):
    import yaml

    from accel_scaling.catalog import chips
    from accel_scaling.catalog.files import CHIPS_FILE, SHIPPED_FOLDER

    text = (SHIPPED_FOLDER / CHIPS_FILE).read_text()
    with_c = parse_chips(text, {})
    monkeypatch.setattr(chips, "_LOADER", yaml.SafeLoader)
    assert parse_chips(text, {}) == with_c
    assert chips.parse_chips("[" * 5000, {})[1][0].text.startswith("is n")
