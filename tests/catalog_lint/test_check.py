"""`catalog check`: what must be true of every catalog file, against files with one thing wrong, and 200 mutated."""

import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel_scaling import _ray
from accel_scaling.catalog import schema
from accel_scaling.catalog.files import CHIPS_FILE
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.product_names import ray_nvidia_type
from accel_scaling.catalog_lint import chips as chip_invariants
from accel_scaling.catalog_lint import machines
from accel_scaling.catalog_lint.check import check_files
from accel_scaling.cli.main import main
from accel_scaling.clouds import SHIPPED_FOLDER, known_clouds
from accel_scaling.errors import CatalogFileError
from accel_scaling.families.catalog import load_catalog
from tests.support.catalog import HEADER

DOCUMENT = Path(__file__).parents[2] / "docs" / "catalogs.md"
REASONS = HEADER.replace("\n", ",because,source\n")
NVIDIA = "family: nvidia, resource: GPU, memory_mib: 1000"


@pytest.fixture(name="check")
def check_fixture(tmp_path):
    """Write files and return what is wrong with them: (line, column, text)."""

    folder = tmp_path / "catalogs"
    folder.mkdir()

    def checking(**files):
        paths = []
        for name, text in files.items():
            paths.append(folder / name.replace("__", "."))
            paths[-1].write_text(text)
        found = check_files(paths).mistakes
        assert all(each.file in paths for each in found)
        return [(each.line, each.column, each.text) for each in found]

    return checking


# --- the schema ---


def test_the_columns_that_ship_are_those_of_the_schema():
    for cloud in known_clouds():
        for table in schema.TABLES:
            path = SHIPPED_FOLDER / table.file_of(cloud)
            if table is not schema.CHIPS and path.exists():
                header = next(csv.reader(io.StringIO(path.read_text())))
                assert header == [name for name in table.names if name in header]
                assert set(header) >= set(table.required)


def test_every_wrong_cell_of_a_row_and_every_wrong_field_of_an_accelerator_is_named(check):
    assert [
        (line, column) for line, column, _ in check(a__csv=HEADER + "x 1,two,-3,amd64,L44,1.5\n,1,1,arm64,,\n")
    ] == [
        *((2, column) for column in ("accelerator", "arch", "count", "instance_type", "memory_mib", "vcpus")),
        (3, "instance_type"),
    ]
    found = check(b__yaml="N9: {family: a b, memory_mib: many, colour: red}\nM9: 3\n")
    columns = ("detected_type", "colour", "family", "memory_mib", "resource")
    assert {(line, column) for line, column, _ in found} == {*((1, column) for column in columns), (2, "")}


# --- invariants of rows ---


def test_what_ships_keeps_every_invariant():
    report = check_files()
    assert (report.problems, report.machine_types, report.accelerators) == ([], 2135, 112)


@pytest.mark.parametrize(
    "invariant", [*machines.MACHINE_RULES, *chip_invariants.CHIP_RULES], ids=lambda each: each.__name__
)
def test_an_invariant_says_in_a_sentence_what_it_is(invariant):
    assert re.fullmatch(r"[A-Z].*\.", invariant.__doc__)


@pytest.mark.parametrize(
    ("name", "rows", "where", "words"),
    [
        ("a", "g5g.3xlarge,12,24576,x86_64,T4G,1", (2, "arch"), "arch of g5g.3xlarge is x86_64; expected arm64"),
        ("a", "q9.large,12,24576,x86_64,GB200,1", (2, "arch"), "expected arm64, as of every machine with GB200"),
        ("a", "m5.huge,128,8192,x86_64,,", (2, "memory_mib"), "expected memory that grows, where m5."),
        ("gcp_a", "q9-highgpu-8g,96,696320,x86_64,L4,4", (2, "count"), "is 4; expected 8, as its name says"),
        ("gcp_a", "ct9-x,4,16384,x86_64,TPU-V4,3", (2, "count"), "is 3; expected 1, 2, 4 or 8 chips of TPU-V4"),
        ("a", "n2-standard-4,4,16384,x86_64,,", (2, "cloud"), "is a row of aws; expected gcp, which has it"),
        ("a", "q9.large,2,8192,x86_64,?L5,4", (2, "accelerator"), "is ?L5, which no accelerator's api_names have"),
        ("a", "q9.large,2,8192,x86_64,?L4 + L5,", (2, "accelerator"), "expected the one accelerator that tasks may"),
        ("aws", "b9.a,2,8,arm64,,\na9.b,2,8,arm64,,", (3, "instance_type"), "expected rows sorted by instance_type"),
        ("aws_corrections", "zz1.a,2,8,arm64,,,why,who", (2, "instance_type"), "zz1.a is no row of aws; expected one"),
        ("aws_corrections", "a1.large,2,4096,arm64,,,why,who", (2, "instance_type"), "says what aws.csv says"),
    ],
)
def test_a_row_that_cannot_be_is_named_with_its_line_and_column(check, name, rows, where, words):
    header = REASONS if "corrections" in name else HEADER
    found = check(**{f"{name}__csv": f"{header}{rows}\n"})
    assert {each[:2] for each in found} == {where}
    assert any(words in each[2] for each in found)


def test_a_new_clouds_file_inherits_every_invariant(check, monkeypatch, tmp_path):
    regions = re.compile("[a-z]+[0-9]*")
    azure = dataclasses.replace(known_clouds()["gcp"], name="azure", region_form=regions, data=tmp_path)
    (tmp_path / "azure.csv").write_text(HEADER)
    with_azure = {**known_clouds(), "azure": azure}
    monkeypatch.setattr("accel_scaling.clouds._found", lambda _folders: with_azure)
    rows = (
        "nd-b-2,8,1000,x86_64,H100,1\nnd-a-1,2,8192,arm64,,\nnd-a-2,4,4096,x86_64,?M9,2\nnd-a-3,8,16384,arm64,,\n"
        "n2-standard-4,4,16384,x86_64,,\n"
    )
    columns = {column for _, column, _ in check(azure__csv=HEADER + rows)}
    assert columns == {"accelerator", "arch", "cloud", "instance_type", "memory_mib"}


# --- invariants of accelerators ---


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        (f"N9:\n  {{{NVIDIA}, detected_type: N8, driver_names: [NVIDIA N9]}}", (2, "detected_type"), "expected N9"),
        (f"S9: {{{NVIDIA}, detected_type: null, variant: L4, partition_of: L4, driver_names: [NVIDIA L4-9Q]}}", (1, "variant"), "expected a name of the slice alone"),  # noqa: E501 - a table
        ("N9: {family: nvidea, resource: GPU, detected_type: N9}", (1, "family"), "tpu, or a plug-in's; nearest: nvidia"),  # noqa: E501 - a table
        ("N9: {family: none, resource: GPU, detected_type: N9}", (1, "family"), "expected amd, apple, ascend, "),
        ("N9: {family: nvidia, resource: NPU, detected_type: N9}", (1, "resource"), "is NPU; expected GPU"),
        ("T9: {family: tpu, resource: TPU, detected_type: T9, units_per_device: 2}", (1, "units_per_device"), "expected 1, as Ray counts the chips"),  # noqa: E501 - a table
        ("S9: {family: nvidia, resource: GPU, detected_type: null, variant: S9, partition_of: L4, memory_mib: 99999}", (1, "memory_mib"), "expected less than 23034, that of L4"),  # noqa: E501 - a table
        (f"N9: {{{NVIDIA}, detected_type: L4, driver_names: [NVIDIA L4]}}", (1, "driver_names"), "which L4 has too"),
        (f"N9: {{{NVIDIA}, detected_type: N9, pci_ids: ['10de:27b8']}}", (1, "pci_ids"), "which L4 has too; expected a `because`"),  # noqa: E501 - a table
        ("N9: {family: nvidia, resource: GPU, detected_type: N9, api_names: {aws: [L4]}}", (1, "api_names"), "expected a memory_mib that tells them apart"),  # noqa: E501 - a table
        (f"N9: {{{NVIDIA}, detected_type: N9, because: new}}", (1, "because"), None),
        (f"N9: {{{NVIDIA}, detected_type: N9, driver_names: ['<by nvidia-smi>']}}", (1, "driver_names"), "is still <by nvidia-smi>"),  # noqa: E501 - a table
    ],
)  # fmt: skip
def test_an_accelerator_that_cannot_be_is_named_with_its_line_and_field(check, text, where, words):
    (found,) = check(new__yaml=text)
    if words is None:
        assert found == (1, "source", "N9: because is there without source; expected who says so")
        return
    assert found[:2] == where
    assert words in found[2]


def test_a_family_that_may_be_a_plug_ins_is_a_note(tmp_path, capsys):
    chips = tmp_path / "chips.yaml"
    chips.write_text("N9: {family: ferrum, resource: FERRUM, detected_type: N9}\n")
    assert main(["catalog", "check", str(chips)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "ok: 0 machine types, 1 accelerators\n"
    assert shown.err.startswith(f"note: {chips}:1: N9: family is ferrum; expected amd, ")
    assert main(["catalog", "check", str(chips), "--json"]) == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert (note["line"], note["column"]) == (1, "family")


def test_sharing_a_bus_id_is_right_where_it_is_declared(check):
    text = f"N9: {{{NVIDIA}, detected_type: N9, pci_ids: ['10de:27b8'], because: as 27b8 of L4, source: pci.ids}}"
    assert check(new__yaml=text) == []


def test_what_is_promised_is_what_ray_detects_by_rays_own_rule_or_by_ours_where_ray_is_not(check, monkeypatch):
    assert chip_invariants._rules()["nvidia"] == _ray.nvidia_type_reader()
    monkeypatch.setattr(chip_invariants.importlib.util, "find_spec", lambda name: None)
    assert chip_invariants._rules()["nvidia"] is ray_nvidia_type
    text = f"N9: {{{NVIDIA}, detected_type: N8, driver_names: [NVIDIA N9]}}"
    assert [found[1] for found in check(new__yaml=text)] == ["detected_type"]


# --- the command ---


def test_the_command_prints_mistakes_for_people_and_for_programs(tmp_path, capsys):
    file = tmp_path / "a.csv"
    file.write_text(HEADER + "x1.large,two,8192,x86_64,,\n")
    assert main(["catalog", "check", str(file)]) == 2
    assert capsys.readouterr().out == f"{file}:2: vcpus is two; expected a whole number of 1 or more\n"
    assert main(["catalog", "check", str(file), "--json"]) == 2
    (mistake,) = json.loads(capsys.readouterr().out)["mistakes"]
    assert (mistake["file"], mistake["line"], mistake["column"]) == (str(file), 2, "vcpus")


def test_the_pre_commit_hook_takes_every_catalog_file_that_ships_and_finds_them_right():
    root = DOCUMENT.parent.parent
    (hook,) = yaml.safe_load((root / ".pre-commit-hooks.yaml").read_text())
    files = [
        path for path in sorted((root / "catalogs").iterdir()) if re.search(hook["files"], f"catalogs/{path.name}")
    ]
    assert {path.suffix for path in files} == {".csv", ".yaml"}
    assert main([*hook["entry"].split()[1:], *map(str, files)]) == 0


def test_places_are_checked_too(check):
    (found,) = check(aws_places__csv="region,types,zones,source\nus-west-2,*,az1,who\nus-west2,m5,,\n")
    assert found[0] == 3
    assert "region is us-west2; expected a region of aws" in found[2]


# --- 200 mutated files ---

SHIPPED = {
    name: (SHIPPED_FOLDER / name).read_bytes().splitlines(keepends=True)
    for name in ("aws.csv", "aws_corrections.csv", "gcp.csv", CHIPS_FILE)
}
CELLS = st.sampled_from(
    ["", "-1", "0", "1e9", "9" * 400, "é", "٣", "\u202e", "null", "L4", "?L5", "x86_64", '"', "a,b", "=1+1", " 8 "]
)
BYTES = st.sampled_from(
    [b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\t", b"&a *a", b"{", b"]", b": ", b"!!python/name:os.system"]
)


@st.composite
def mutated(draw):
    """A shipped file, cut to a few lines, with some slips: cells, columns, bytes, line ends, a BOM."""
    name = draw(st.sampled_from(sorted(SHIPPED)))
    lines = SHIPPED[name]
    begin = draw(st.integers(1, len(lines) - 1))
    while name == CHIPS_FILE and begin > 1 and not lines[begin][:1].isalnum():
        begin -= 1
    kept = [lines[0], *lines[begin : begin + 12]]
    data = b"".join(kept)
    for _ in range(draw(st.integers(0, 3))):
        data = draw(st.sampled_from([_cell, _column, _bytes, _line_ends, _bom, _cut]))(data, draw)
    return name, data


def _cell(data, draw):
    rows = [line.split(b",") for line in data.split(b"\n")]
    row = rows[draw(st.integers(0, len(rows) - 1))]
    row[draw(st.integers(0, len(row) - 1))] = draw(CELLS).encode()
    return b"\n".join(b",".join(row) for row in rows)


def _column(data, draw):
    at = draw(st.integers(0, 7))
    rows = (line.split(b",") for line in data.split(b"\n"))
    return b"\n".join(b",".join(row[:at] + row[at + 1 :]) for row in rows)


def _bytes(data, draw):
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(BYTES) + data[at + draw(st.integers(0, 9)) :]


def _line_ends(data, draw):
    return data.replace(b"\n", b"\r\n")


def _bom(data, draw):
    return b"\xef\xbb\xbf" + data


def _cut(data, draw):
    return data[: draw(st.integers(0, len(data)))]


@settings(max_examples=200, suppress_health_check=list(HealthCheck), derandomize=True)
@given(file=mutated())
def test_200_mutated_files_are_each_valid_or_refused_with_a_line_and_never_half_loaded(tmp_path_factory, file):
    name, data = file
    path = tmp_path_factory.mktemp("mutated") / name
    path.write_bytes(data)
    mistakes = check_files([path]).problems
    assert all(re.match(rf"{re.escape(str(path))}:\d+: \S", each) for each in mistakes)
    assert not any(each.isspace() for each in mistakes)
    if mistakes:
        OUTCOMES.add("refused")
    try:
        catalog = load_catalog([path], home=path.parent)
    except CatalogFileError as error:
        assert error.text.partition(" (and ")[0] in mistakes, "what the loader refuses, the check explains"
        return
    OUTCOMES.add("loaded")
    if name != CHIPS_FILE:
        cloud = name[:3]
        layered = [row for row in catalog.machine_types(cloud).values() if row.layer == str(path)]
        named = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        unknown = sum("?" in line for line in data.decode().splitlines())
        assert len(layered) + unknown >= sum(1 for cells in named if cells) - 1, "all of its rows, or none"
    else:
        assert catalog.chips.keys() >= shipped_catalog().chips.keys()


OUTCOMES = set()


def test_the_mutations_reached_both_ends():
    assert OUTCOMES in (set(), {"loaded", "refused"})  # empty where this test runs alone


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"instance,driver_name,count\nx9.xlarge,NVIDIA Z1,1\n", "ok: 0 machine types, 0 accelerators\n"),
        (
            b"instance,driver_name,count\nx9.xlarge,NVIDIA Z1,none\n",
            "mine_hardware.csv:2: count is none; expected",
        ),
        (b"instance\nx9.xlarge\n", "mine_hardware.csv:1: the columns must be instance, driver_name, count and may be"),
        (b"\xff\x00", "mine_hardware.csv:1: cannot be read as CSV in UTF-8"),
    ],
)
def test_the_hardware_of_rehearsals_of_ones_own_is_checked_too(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine_hardware.csv"
    file.write_bytes(content)
    assert main(["catalog", "check", str(file)]) == (0 if said.startswith("ok") else 2)
    assert capsys.readouterr().out.removeprefix(f"{tmp_path}/").startswith(said)
