"""``accel-scaling catalog show | find | check`` as people and scripts use it."""

import json
import subprocess
import sys

import pytest

from accel_scaling import tables, terminal
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main

KEYS = {
    "instance_type",
    "cloud",
    "vcpus",
    "memory_mib",
    "arch",
    "accelerator",
    "accelerator_count",
    "accelerator_variant",
    "family",
    "resources",
    "labels",
    "layer",
    "dependencies",
    "sold_as",
}
MINE = "instance_type,vcpus,memory_mib,arch,accelerator,count\nx1.gpu,8,32768,arm64,L4,2\n"


@pytest.fixture
def catalog(capsys):
    """Run ``accel-scaling catalog ARGS``; return exit code, stdout and stderr."""

    def running(*args):
        code = main(["catalog", *map(str, args)])
        out, err = capsys.readouterr()
        return code, out, err

    return running


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(MINE)
    return path


# --- show ---


def test_show_json_is_one_object_with_the_documented_keys(catalog):
    code, out, _ = catalog("show", "p4d.24xlarge", "--json")
    shown = json.loads(out)
    assert code == 0
    assert set(shown) >= KEYS
    assert (shown["vcpus"], shown["memory_mib"], shown["arch"]) == (96, 1179648, "x86_64")
    assert (shown["accelerator"], shown["accelerator_count"]) == ("A100-40G", 8)
    assert (shown["accelerator_variant"], shown["family"]) == ("A100-40G", "nvidia")
    promised = {"CPU": 96, "GPU": 8, "accelerator_type:A100": 1, "accelerator_type:A100-40G": 1}
    assert promised.items() <= shown["resources"].items()
    assert shown["labels"]["ray.io/accelerator-type"] == "A100"


def test_show_json_of_a_plain_machine_has_nulls(catalog):
    _, out, _ = catalog("show", "m5.large", "--json")
    shown = json.loads(out)
    assert (shown["accelerator"], shown["accelerator_variant"], shown["family"]) == (None, None, None)
    assert shown["accelerator_count"] == 0
    assert "GPU" not in shown["resources"]


def test_show_for_people_has_what_it_has_what_is_promised_and_what_is_detected(catalog):
    _, out, _ = catalog("show", "g6f.large")
    has, promised, detected, needs = out.split("\n\n")
    assert has.startswith("g6f.large has")
    assert "1 x L4-3Q (a slice of one L4)" in has
    assert "aws_corrections.csv" in has
    assert "accelerator_type:L4-3Q" in promised
    assert "accelerator_type:L4 " not in promised
    assert "NVIDIA L4-3Q" in detected
    assert "10de:27b8" in detected
    assert "GRID driver" in needs


def test_show_says_what_the_image_must_have_and_what_the_container_gets(catalog):
    _, out, _ = catalog("show", "trn1.32xlarge")
    _, shown = out.split("on the node\n")
    assert "AWS Neuron driver" in shown
    assert "--device=/dev/neuron0 ... --device=/dev/neuron15" in shown
    assert "/aws/service/neuron/dlami/" in shown
    _, out, _ = catalog("show", "trn1.32xlarge", "--json")
    needs = json.loads(out)["dependencies"]
    assert needs["docker_options"] == [f"--device=/dev/neuron{number}" for number in range(16)]
    assert (needs["image_kind"], needs["image_note"]) == ("ssm", None)
    assert needs["default_image"] in shown
    _, out, _ = catalog("show", "m5.large")
    assert "docker options   none needed" in out


def test_show_says_how_many_units_a_neuron_machine_has(catalog):
    _, out, _ = catalog("show", "trn2.48xlarge")
    assert "16 x Trainium2" in out
    assert "64 neuron_cores" in out


def test_show_of_an_unknown_type_exits_2_with_one_sentence(catalog):
    code, out, err = catalog("show", "p4d.24xlrage")
    assert (code, out) == (2, "")
    assert err.startswith("accel-scaling: instance type 'p4d.24xlrage' of aws ")
    assert "p4d.24xlarge" in err
    assert err.count("\n") == 1


def test_show_looks_in_the_given_cloud_only(catalog):
    code, _, err = catalog("show", "p4d.24xlarge", "--cloud", "mars")
    assert code == 2
    assert "cloud 'mars'" in err


def test_show_knows_the_types_of_a_user_catalog_and_of_the_home(catalog, mine, tmp_path):
    assert catalog("show", "x1.gpu", "--json")[0] == 2
    _, out, _ = catalog("show", "x1.gpu", "--json", "--catalog", mine)
    assert json.loads(out)["layer"] == str(mine)
    user_file = tmp_path / "home" / ".accel_scaling" / "own.csv"
    user_file.parent.mkdir()
    user_file.write_text(MINE)
    _, out, _ = catalog("show", "x1.gpu", "--json")
    assert json.loads(out)["layer"] == str(user_file)


# --- find ---


def test_find_json_is_a_list_of_what_show_prints(catalog):
    _, out, _ = catalog("find", "--accelerator", "A100", "--cloud", "aws", "--json")
    entries = json.loads(out)
    assert [entry["instance_type"] for entry in entries] == ["p4d.24xlarge", "p4de.24xlarge"]
    _, shown, _ = catalog("show", "p4d.24xlarge", "--json")
    assert entries[0] == json.loads(shown)


def test_find_without_an_accelerator_lists_every_type(catalog):
    _, out, _ = catalog("find", "--cloud", "aws", "--json")
    entries = json.loads(out)
    assert {entry["instance_type"] for entry in entries} == set(shipped_catalog().machine_types("aws"))
    assert all(set(entry) >= KEYS for entry in entries)


def test_find_for_people_is_an_aligned_table_with_a_closing_line(catalog):
    _, out, _ = catalog("find", "--accelerator", "Inferentia", "--min-count", "4")
    header, first, second, closing = out.splitlines()
    assert header.startswith("TYPE ")
    assert second.split() == ["inf1.24xlarge", "96", "192", "x86_64", "Inferentia", "16", *second.split()[6:]]
    assert "neuron_cores: 64, aws-neuron-core, Inferentia" in second
    assert first.index("x86_64") == second.index("x86_64") == header.index("ARCH")
    assert closing == f"2 machine types (catalog {shipped_catalog().version})"


def test_find_of_a_misspelt_accelerator_exits_2_with_the_nearest_names(catalog):
    code, _, err = catalog("find", "--accelerator", "A10O-80G")
    assert code == 2
    assert "nearest: A100-80G" in err


def test_find_of_more_than_there_are_is_an_empty_list(catalog):
    assert catalog("find", "--accelerator", "L4", "--min-count", "99", "--json")[:2] == (0, "[]\n")
    _, out, _ = catalog("find", "--accelerator", "L4", "--min-count", "99")
    assert "0 machine types" in out


def test_a_min_count_that_is_no_number_is_bad_usage(catalog):
    with pytest.raises(SystemExit) as exit_:
        catalog("find", "--min-count", "-1")
    assert exit_.value.code == 2


# --- check ---


def test_check_of_our_files_is_ok(catalog):
    code, out, _ = catalog("check")
    rows = sum(len(shipped_catalog().machine_types(cloud)) for cloud in shipped_catalog().clouds)
    assert (code, out) == (0, f"ok: {rows} machine types, {len(shipped_catalog().chips)} accelerators\n")


def test_check_of_a_contributors_file_counts_its_rows(catalog, mine):
    mine.write_text(MINE.replace("x1.", "zz1."))  # x1 is a family of EC2's
    assert catalog("check", mine)[:2] == (0, "ok: 1 machine types, 0 accelerators\n")


def test_check_prints_every_problem_of_every_file(catalog, mine, tmp_path):
    mine.write_text(MINE.replace("x1.", "zz1.") + "zz1.gpu,8,32768,arm64,L4,2\nx2.gpu,8,32768,arm64,L44,-1\n")
    chips = tmp_path / "chips.yaml"
    chips.write_text("N9: {family: npu}\n")
    code, out, _ = catalog("check", mine, chips, tmp_path / "none.csv")
    assert code == 2
    assert sorted(line.removeprefix(f"{tmp_path}/")[:26] for line in out.splitlines()) == [
        "chips.yaml:1: N9: field de",
        "chips.yaml:1: N9: field re",
        "mine.csv:3: zz1.gpu is alr",
        "mine.csv:4: accelerator 'L",
        "mine.csv:4: count is -1; e",
        "none.csv: cannot be read a",
    ]


def test_check_takes_rows_and_the_accelerators_that_they_name_together(catalog, mine, tmp_path):
    mine.write_text(MINE.replace("L4", "N9").replace("x1.", "zz1."))
    assert catalog("check", mine)[0] == 2
    chips = tmp_path / "chips.yaml"
    chips.write_text("N9: {family: ascend, resource: NPU, detected_type: N9}\n")
    assert catalog("check", mine, chips)[:2] == (0, "ok: 1 machine types, 1 accelerators\n")
    chips.rename(tmp_path / "accelerators.yaml")
    assert catalog("check", mine)[:2] == (0, "ok: 1 machine types, 1 accelerators\n")


# --- the terminal ---


def test_headings_are_bold_on_a_terminal_only_and_never_with_no_color(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.bold("TYPE") == "TYPE"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert terminal.bold("TYPE") == "\033[1mTYPE\033[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.bold("TYPE") == "TYPE"


def test_a_table_aligns_text_left_and_numbers_right_and_ends_no_line_with_blanks():
    assert tables.render(("NAME", "N"), [("a", "10"), ("long name", "9")], right={1}) == (
        "NAME        N\na          10\nlong name   9"
    )
    assert tables.render(("NAME", "NOTE"), [("a", "")]) == "NAME  NOTE\na"


def test_the_command_imports_no_ray_no_cloud_sdk_and_nothing_slow():
    script = (
        "import sys; from accel_scaling.cli.main import main; main(['catalog', 'find']);"
        "unwanted = {'ray', 'boto3', 'botocore', 'moto', 'difflib', 'asyncio', 'numpy'};"
        "print(sorted(unwanted & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert done.stdout.count("\n") > 1400
