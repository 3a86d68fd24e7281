"""Wrong catalog files are refused whole, with file, line and reason; never with a traceback."""

import random
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from accel_scaling.catalog import chips
from accel_scaling.catalog.chips import parse_chips
from accel_scaling.catalog.files import CHIPS_FILE, Source
from accel_scaling.catalog.load import parse_rows, shipped_catalog
from accel_scaling.clouds import SHIPPED_FOLDER
from accel_scaling.errors import CatalogFileError
from accel_scaling.families.catalog import load_catalog
from accel_scaling.inputs import yaml_nodes
from tests.support.catalog import CHIP, GOOD, HEADER


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x1.l,2,8192,x86_64,L4,-1", "count is -1; expected a whole number of 0 or more"),
        ("x1.l,2,8192,x86_64,L4,1.5", "count is 1.5; expected a whole number of 0 or more"),
        ("x1.l,two,8192,x86_64,,", "vcpus is two; expected a whole number of 1 or more"),
        ("x1.l,2,,x86_64,,", "memory_mib is empty; expected a whole number of 1 or more"),
        ("x1.l,٣,8192,x86_64,,", "vcpus is ٣; expected a whole number of 1 or more"),
        ("x1.l," + "9" * 5000 + ",8192,x86_64,,", "expected a whole number of 1 or more"),
        ("x1.l,2,8192,x86_64,A100-80,1", "accelerator 'A100-80' is not in accelerators.yaml; nearest: A100-80G"),
        (
            "x1.l,2,8192,x86_64,A100,1",
            "'A100' is not in accelerators.yaml; the catalog has A100-40G and A100-80G: write the name of the one in",
        ),
        ("x1.l,2,8192,x86_64,a10g,1", "accelerator 'a10g' is not in accelerators.yaml; write A10G"),
        ("x1.l,2,8192,x86_64,,1", "count is 1 but accelerator is empty"),
        ("x1.l,2,8192,x86_64,L4,", "accelerator is L4 but count is empty"),
        ("x1.l,2,8192,x86_64,L4,0", "accelerator is L4 but count is 0"),
        ("x1.l,2,8192,amd64,,", "arch is amd64; expected x86_64, arm64, i386"),
        (",2,8192,x86_64,,", "instance_type is empty"),
        ("x1 l,2,8192,x86_64,,", "instance_type is x1 l; expected letters"),
        ("x1.l,2,8192,x86_64", "has 4 cells; expected 6"),
        ("x1.l,2,8192,x86_64,,,", "has 7 cells; expected 6"),
        ("x1.large,2,8192,x86_64,,", "x1.large is already in line 2; keep one of the two"),
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
        (GOOD.replace("vcpus", "arch"), "1: column arch appears 2 times"),
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
        ("[" * 5000, "1: it is nested too deeply"),
        ("a: " + "{b: " * 5000, "1: it is nested too deeply"),
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
        (f"N9: {{{CHIP}, family: x}}", "1: N9: field family appears twice"),
        ("N9: {family: a b, resource: NPU, detected_type: N9}", "1: N9: family is 'a b'; expected letters"),
        ("N9: &n {family: *n}", "1: an anchor contains itself; write it in full"),
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


def test_chips_read_the_same_without_libyaml(monkeypatch):
    text = (SHIPPED_FOLDER / CHIPS_FILE).read_text()
    with_c = parse_chips(text, {})
    monkeypatch.setattr(yaml_nodes, "FAST", yaml.SafeLoader)
    assert parse_chips(text, {}) == with_c
    assert chips.parse_chips("[" * 5000, {})[1][0].text == "it is nested too deeply"
