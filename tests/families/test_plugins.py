"""Plug-in families are found, loaded and checked; a broken one is named once, left out, and stops nobody else.

Entry points are those that `importlib.metadata` finds, at a tenth of its time.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling.boot.compare import compare
from accel_scaling.boot.verdicts import VerdictWord
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cluster.docker import run_options
from accel_scaling.errors import UnknownInstanceTypeError
from accel_scaling.families import broken, families
from accel_scaling.families.catalog import chips_here, load_catalog
from accel_scaling.families.inventory import detect
from accel_scaling.families.plugins import GROUP, EntryPoint, entry_points, hush, normalized
from tests.support.plugins import (
    CHIPS,
    EXAMPLE,
    FAMILY,
    install_example,
    write_metadata,
    write_package,
)

ENTRY = "FERRUM = ferrum:FAMILY"


@pytest.fixture(name="site")
def site_fixture(tmp_path, plugged):
    """Write a package with a family, its fields and files as given, and see it."""

    def write(text: str = FAMILY, *, entry: str = ENTRY, **files: str) -> None:
        write_package(tmp_path / "site", text=text, **files)
        plugged(write_metadata(tmp_path / "site", "ferrum-x", entry))

    return write


def test_the_families_chips_and_machine_types_are_there_like_those_that_ship(ferrum):
    assert families()["FERRUM"].name == "ferrum"
    assert chips_here()["Ferrum-N1"].resource == "FERRUM"
    found = load_catalog().find("Ferrum-N1", min_count=4)
    assert [(machine.name, machine.count, machine.layer) for machine in found] == [
        ("fe1.4xlarge", 4, "ferrum-n1: aws.csv")
    ]
    assert run_options("ferrum", 2) == ("--device=/dev/ferrum0", "--device=/dev/ferrum1")
    assert broken() == {}


def test_its_rows_override_those_that_ship_and_not_the_users(site, tmp_path):
    columns = "instance_type,vcpus,memory_mib,arch,accelerator,count\n"
    site(aws_dot_csv=f"{columns}fe9.large,2,1024,x86_64,Ferrum-N1,1\nm5.large,2,8192,x86_64,Ferrum-N1,2\n")
    own = tmp_path / "own.csv"
    own.write_text(f"{columns}fe9.large,2,1024,x86_64,Ferrum-N1,8\n", encoding="utf-8")
    catalog = load_catalog([own])
    assert catalog.machine_type("aws", "fe9.large").count == 8
    assert catalog.machine_type("aws", "m5.large").count == 2
    assert shipped_catalog().machine_type("aws", "m5.large").count == 0


def test_the_catalogs_version_tells_of_the_plug_in(ferrum):
    with_it = load_catalog().version
    assert with_it != shipped_catalog().version
    assert load_catalog().version == with_it


BROKEN = {
    "import": ("import nothing_of_that_name\n", "cannot be imported (ModuleNotFoundError: No module named"),
    "raises": ("raise RuntimeError('no licence')\n", "cannot be imported (RuntimeError: no licence)"),
    "exits": ("raise SystemExit(1)\n", "cannot be imported (SystemExit: 1)"),
    "syntax": ("def\n", "cannot be imported (SyntaxError: "),
    "attribute": ("OTHER = 1\n", "cannot be imported (AttributeError: module 'ferrum' has no attribute 'FAMILY')"),
    "type": ("FAMILY = {'name': 'ferrum'}\n", "ferrum:FAMILY is dict; expected an accel_scaling.families.Family"),
    "arguments": (FAMILY.replace("{more}", ", colour='red'"), "unexpected keyword argument 'colour'"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_plug_in_that_cannot_be_imported_is_named_and_left_out(site, capsys, kind):
    text, reason = BROKEN[kind]
    site(text)
    assert families() == {}
    assert reason in broken()["FERRUM"].reason
    families()
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"accel_scaling: the plug-in ferrum-x (entry point {ENTRY}) is left out: ")
    assert said.endswith("; repair it or uninstall the package")
    assert load_catalog().find("T4"), "the others continue"


WRONG_FIELDS = [
    ("name='Ferrum Inc'", "name is 'Ferrum Inc'; expected a word in lower case"),
    ("name='nvidia'", "name is nvidia, a family that accel_scaling already has"),
    ("resource='GPU'", "resource is GPU, which Ray or accel_scaling already has"),
    ("resource='QAIC'", "resource is QAIC, which Ray or accel_scaling already has"),
    ("resource='FER RUM'", "resource is 'FER RUM'; expected a word, such as FERRUM"),
    ("resource='IRON'", "its resource is IRON; the entry point must have that name"),
    ("visible_devices='ferrum-devices'", "visible_devices is 'ferrum-devices'; expected an environment variable"),
    ("visible_devices='CUDA_VISIBLE_DEVICES'", "visible_devices is CUDA_VISIBLE_DEVICES, which Ray sets for another"),
    ("visible_devices=None", "visible_devices is None; expected an environment variable"),
    ("nodes='/dev/ferrum[0-9]*'", "nodes is '/dev/ferrum[0-9]*'; expected a pattern of names below /dev"),
    ("nodes='../etc/[0-9]*'", "nodes is '../etc/[0-9]*'; expected a pattern of names below /dev"),
    ("nodes='ferrum*'", "nodes is 'ferrum*'; expected [0-9] where the device's number begins"),
    ("driver=' '", "driver is ' '; expected what an image must have"),
    ("shared='no'", "shared is 'no'; expected True or False"),
    ("probe='ferrum-smi'", "probe is 'ferrum-smi'; expected a function, or None"),
    ("emulate=3", "emulate is 3; expected a function, or None"),
    ("ray_since=(2, 61)", "ray_since is (2, 61); expected None: it is for built-in families"),
    ("detect=print", "detect is <built-in function print>; expected None: it is for built-in families"),
    ("vendors='fe00'", "vendors is 'fe00'; expected a list, such as ['1200']"),
    ("run_options='--device=/dev/ferrum0'", "run_options is '--device=/dev/ferrum0'; expected a list"),
    ("run_options=['--device /dev/ferrum']", "run_options has '--device /dev/ferrum'; expected options without"),
    ("run_options=['--device=$(id)']", "run_options has '--device=$(id)'; expected options without spaces"),
    ("each_device='--device=/dev/ferrum'", "each_device is '--device=/dev/ferrum'; expected an option with {n}"),
    ("each_device=None", "each_device is None; expected an option with {n}"),
    ("folder='data'", "folder is 'data'; expected a pathlib.Path"),
    ("folder=__import__('pathlib').Path('/etc')", "its folder /etc is not in the package ferrum"),
]


@pytest.mark.parametrize(("field", "reason"), WRONG_FIELDS)
def test_a_wrong_field_is_said_with_what_is_expected(site, field, reason):
    site(f"{FAMILY.replace('{more}', '')}\nimport dataclasses\nFAMILY = dataclasses.replace(FAMILY, {field})\n")
    assert reason in broken()["FERRUM"].reason


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("chips_dot_yaml", "Ferrum-N1: [", "chips.yaml:1: is not YAML"),
        ("chips_dot_yaml", CHIPS.replace("family: ferrum", "family: nvidia"), "yaml:1: Ferrum-N1 has family nvidia"),
        ("chips_dot_yaml", CHIPS.replace("resource: FERRUM", "resource: GPU"), "expected family ferrum, resource FERR"),
        ("chips_dot_yaml", CHIPS.replace("Ferrum-N1:", "T4:", 1), "chips.yaml:1: T4 ships with accel_scaling"),
        ("chips_dot_yaml", "{}", "has no chip of the family ferrum"),
        ("aws_dot_csv", "instance_type,vcpus\nfe1.xlarge,4\n", "aws.csv:1: column memory_mib"),
        (
            "aws_dot_csv",
            "instance_type,vcpus,memory_mib,arch,accelerator,count\nfe1.xlarge,4,1,x86_64,Ferrum-N2,1\n",
            "aws.csv:2: accelerator 'Ferrum-N2' is not in accelerators.yaml; nearest: Ferrum-N1",
        ),
    ],
)  # fmt: skip
def test_a_wrong_file_leaves_the_plug_in_out_with_file_and_line(site, name, content, reason):
    site(**{name: content})
    assert reason in broken()["FERRUM"].reason
    assert "Ferrum-N1" not in chips_here()


def test_the_fields_of_a_package_keep_their_order(site):
    fields = (
        "'ferrum', 'FERRUM', 'FERRUM_VISIBLE_DEVICES', 'ferrum[0-9]*', 'the ferrum kernel driver', True, None, None"
    )
    options = "['--device=/dev/ferrum'], '--device=/dev/ferrum{n}', None"
    site(f"from accel_scaling.families import Family\nFAMILY = Family({fields}, {options})\n")
    family = families()["FERRUM"]
    assert (family.shared, family.node(3), family.each_device) == (True, "ferrum3", "--device=/dev/ferrum{n}")


def test_a_single_module_has_no_folder_of_data_and_is_told_so(tmp_path, plugged):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "ferrum.py").write_text(FAMILY.replace("{more}", ""))
    plugged(write_metadata(tmp_path / "site", "ferrum-x", ENTRY))
    assert "it has no folder of data: make the module a package" in broken()["FERRUM"].reason


def test_two_packages_for_one_resource_are_both_left_out_as_nobody_knows_which_to_ask(tmp_path, plugged, capsys):
    site = install_example(tmp_path / "site")
    write_package(site, "other_ferrum")
    plugged(write_metadata(site, "other-ferrum", "FERRUM = other_ferrum:FAMILY"))
    assert families() == {}
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all("ferrum-n1 and other-ferrum both define the resource FERRUM" in line for line in said)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "ferrum-n1 has the family ferrum, too"),
        ({"ferrum": "iron"}, "ferrum-n1 has the variable FERRUM_VISIBLE_DEVICES, too"),
        ({"ferrum": "iron", "FERRUM_VISIBLE": "IRON_VISIBLE"}, "ferrum-n1 has the chip Ferrum-N1, too"),
    ],
)
def test_a_second_family_may_not_have_names_of_the_first(tmp_path, plugged, change, reason):
    site = install_example(tmp_path / "site")
    text, chips = FAMILY.replace('resource="FERRUM"', 'resource="IRON"'), CHIPS.replace("FERRUM", "IRON")
    for old, new in change.items():
        text, chips = text.replace(f'"{old}', f'"{new}'), chips.replace(f"family: {old}", f"family: {new}")
    write_package(site, "other_iron", text, chips_dot_yaml=chips)
    plugged(write_metadata(site, "other-iron", "IRON = other_iron:FAMILY"))
    assert set(families()) == {"FERRUM"}
    assert reason in broken()["IRON"].reason


def test_a_package_may_have_several_families_each_with_a_folder_of_its_own(tmp_path, plugged):
    def of(name: str) -> str:
        text = FAMILY.replace("ferrum", name).replace("FERRUM", name.upper()).replace("FAMILY =", f"{name.upper()} =")
        return text.replace("{more}", f", folder=Path(__file__).parent / '{name}'")

    site = write_package(tmp_path / "site", text=f"from pathlib import Path\n{of('ferrum')}{of('iron')}")
    for name in ("ferrum", "iron"):
        (site / "ferrum" / name).mkdir()
        chips = CHIPS.replace("ferrum", name).replace("FERRUM", name.upper()).replace("Ferrum", name.title())
        (site / "ferrum" / name / "chips.yaml").write_text(chips)
    plugged(write_metadata(site, "ferrum-x", "FERRUM = ferrum:FERRUM", "IRON = ferrum:IRON"))
    assert set(families()) == {"FERRUM", "IRON"}, broken()
    assert {"Ferrum-N1", "Iron-N1"} <= set(chips_here())


def test_a_broken_plug_in_stops_no_command_and_none_of_the_others(tmp_path, plugged):
    site = install_example(tmp_path / "site")
    write_package(site, "other_iron", "raise RuntimeError('no licence')")
    plugged(write_metadata(site, "other-iron", "IRON = other_iron:FAMILY"))
    done = subprocess.run(
        [sys.executable, "-m", "accel_scaling", "catalog", "show", "fe1.xlarge", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["resources"]["FERRUM"] == 1
    assert done.stderr.count("the plug-in other-iron (entry point IRON = other_iron:FAMILY) is left out") == 1


def test_a_node_that_is_promised_a_broken_plug_ins_resource_is_refused(site, boot):
    site("raise RuntimeError('no licence')")
    boot("m5.large")
    verdict = compare({"CPU": 4, "FERRUM": 4, "accelerator_type:Ferrum-N1": 1}, detect())
    assert verdict.word is VerdictWord.DRIVER_MISSING
    assert "promised 4 FERRUM; the plug-in ferrum-x (entry point FERRUM = ferrum:FAMILY) is left out" in verdict.message
    assert "no licence" in verdict.message
    assert compare({"CPU": 4, "GPU": 0}, detect()).confirmed, "a node that does not need it joins"


def test_workers_do_not_repeat_what_the_node_has_said(site, monkeypatch, capsys):
    site("raise RuntimeError('no licence')")
    monkeypatch.setattr("accel_scaling.families.plugins._Teller.hushed", False)
    hush()
    assert set(broken()) == {"FERRUM"}
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("accel_scaling.families.plugins._Teller.hushed", False)


def test_without_the_package_its_machine_type_is_refused_with_the_way_out():
    with pytest.raises(
        UnknownInstanceTypeError, match=r"or install the package that brings it \(docs/families-of-your"
    ):
        load_catalog().machine_type("aws", "fe1.xlarge")


def theirs(*folders: Path) -> list[tuple[str, str, str, str]]:
    """Return what the standard library finds."""
    found = importlib.metadata.MetadataPathFinder().find_distributions(
        importlib.metadata.DistributionFinder.Context(path=list(map(str, folders)))
    )
    return sorted(
        (point.name, point.value, distribution.metadata["Name"], distribution.version)
        for distribution in found
        for point in distribution.entry_points
        if point.group == GROUP
    )


def ours(*folders: Path) -> list[tuple[str, str, str, str]]:
    found = entry_points(map(str, folders))
    return sorted((point.resource, point.value, point.package, point.version) for point in found)


def test_a_package_is_found_as_the_standard_library_finds_it(tmp_path):
    site = install_example(tmp_path)
    assert ours(site) == theirs(site) == [("FERRUM", "ferrum_n1:FAMILY", "ferrum-n1", "1.0")]


@pytest.mark.parametrize(
    "text",
    [
        "[console_scripts]\na = b:c\n\n[accel_scaling.families]\nFERRUM=one.two:THREE\n  ZED = four:FIVE.six \n",
        "[accel_scaling.families]\n# not = this:one\nFERRUM = one:A [extra]\n[other]\nX = y:z\n",
        "[accel_scaling.families_of_others]\nFERRUM = one:A\n",
        "[console_scripts]\naccel_scaling.families = one:A\n",
        "",
    ],
)
def test_a_file_of_entry_points_is_read_as_the_standard_library_reads_it(tmp_path, text):
    write_metadata(tmp_path, "one")
    (tmp_path / "one-1.0.dist-info" / "entry_points.txt").write_text(text)
    assert ours(tmp_path) == theirs(tmp_path)


def test_of_a_package_that_is_there_twice_the_first_counts(tmp_path):
    first = write_metadata(tmp_path / "bundle", "ferrum-n1", "FERRUM = new:FAMILY", version="2.0")
    second = write_metadata(tmp_path / "site", "Ferrum.N1", "FERRUM = old:FAMILY")
    assert ours(first, second) == [("FERRUM", "new:FAMILY", "ferrum-n1", "2.0")]


def test_an_egg_and_what_is_no_folder_are_looked_at_too(tmp_path):
    egg = tmp_path / "ferrum_n1.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: ferrum-n1\nVersion: 3.0\n")
    (egg / "entry_points.txt").write_text(f"[{GROUP}]\nFERRUM = ferrum_n1:FAMILY\n")
    (tmp_path / "archive.zip").touch()
    (tmp_path / "odd-1.0.dist-info").mkdir()
    (tmp_path / "odd-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe accel_scaling.families")
    found = entry_points([str(tmp_path / "archive.zip"), str(tmp_path / "nowhere"), str(tmp_path)])
    assert found == [EntryPoint("FERRUM", "ferrum_n1:FAMILY", "ferrum-n1", "3.0")]


def test_an_entry_point_knows_its_module_its_attribute_and_what_travels():
    entry = EntryPoint("FERRUM", "makers.ferrum:FAMILY [extra]", "Ferrum-N1")
    assert (entry.module, entry.attribute, entry.root) == ("makers.ferrum", "FAMILY", "makers")
    assert normalized(entry.package) == "ferrum_n1"


def test_where_there_is_no_plug_in_neither_ray_nor_importlib_metadata_is_imported():
    code = (
        "import sys; from accel_scaling.families import register; register(); "
        "print([name for name in ('ray', 'importlib.metadata', 'configparser') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_has_fewer_than_a_hundred_lines_all_in():
    files = [file for file in EXAMPLE.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert {file.name for file in files} >= {"pyproject.toml", "__init__.py", "aws.csv", "hardware.csv"}
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) < 100
