"""One catalog of all layers: which one answers, what its version covers, and what is read only when it is asked for.

What is read row by row gives the same answers and refusals as when it is read whole.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accel_scaling import __version__
from accel_scaling.catalog.chips import chips_on_demand, parse_chips
from accel_scaling.catalog.files import CHIPS_FILE, Source, read
from accel_scaling.catalog.load import parse_rows, shipped_catalog
from accel_scaling.catalog.table import OnDemand
from accel_scaling.clouds import SHIPPED_FOLDER, known_clouds
from accel_scaling.errors import CatalogFileError
from accel_scaling.families.catalog import load_catalog
from tests.support.catalog import CHIP, GOOD, HEADER

CHIPS = shipped_catalog().chips


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


def test_columns_may_be_in_any_order_with_spaces_quotes_crlf_and_a_bom(load):
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


def test_a_clouds_rows_are_read_when_a_user_asks_for_them(monkeypatch, home):
    from accel_scaling.catalog import load

    asked = []

    def recorded(source, *rest, **options):
        asked.append(source.label)
        return parse_rows(source, *rest, **options)

    monkeypatch.setattr(load, "parse_rows", recorded)
    catalog = load_catalog(home=home)
    catalog.chip("L4")
    assert asked == []
    assert catalog.machine_types("aws") is catalog.machine_types("aws")
    assert asked == ["aws.csv", "aws_corrections.csv"]


def test_an_apis_name_in_a_row_means_the_accelerator_that_its_own_cloud_calls_so(load):
    text = (
        "cloud," + HEADER + "gcp,q9-standard-4,4,16384,x86_64,?nvidia-l4,1\naws,q9.large,4,16384,x86_64,?nvidia-l4,1\n"
    )
    catalog = load(text)
    assert catalog.machine_type("gcp", "q9-standard-4").chip.name == "L4"
    assert "q9.large" not in catalog.machine_types("aws")


def on_demand(text, parse=parse_rows, name="aws.csv"):
    source = Source(Path(name), name, text)
    return source.accept(parse(source, CHIPS, known_clouds(), on_demand=True))


@pytest.mark.parametrize("cloud", known_clouds())
def test_rows_read_on_demand_are_those_read_at_once(cloud):
    source = read(SHIPPED_FOLDER / f"{cloud}.csv")
    at_once, problems = parse_rows(source, CHIPS, known_clouds())
    table, _ = parse_rows(source, CHIPS, known_clouds(), on_demand=True)
    assert isinstance(table, OnDemand)
    assert (list(table), problems) == (list(at_once), [])
    assert {key: (row, row.line) for key, row in table.items()} == {
        key: (row, row.line) for key, row in at_once.items()
    }


def test_accelerators_read_on_demand_are_those_read_at_once():
    source = read(SHIPPED_FOLDER / CHIPS_FILE)
    table = chips_on_demand(source)
    assert isinstance(table, OnDemand)
    assert (dict(table), []) == parse_chips(source.text, {})


def test_a_wrong_row_is_refused_with_its_line_when_it_is_asked_for_and_the_others_answer():
    table = on_demand(GOOD + "x1.bad,two,8192,x86_64,,\n")
    assert table["aws", "x1.gpu"].count == 2
    assert ("aws", "x1.none") not in table
    with pytest.raises(CatalogFileError, match=re.escape("aws.csv:4: vcpus is two; expected")):
        table["aws", "x1.bad"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x1.l,2,8192,x86_64", "4: has 4 cells; expected 6"),
        ("x1.large,2,8192,x86_64,,", "4: x1.large is already in line 2"),
        ('"x1.l,2,8192,x86_64,,', "4: is not CSV: "),
    ],
)
def test_a_file_whose_names_cannot_be_told_is_refused_whole_at_once(row, message):
    with pytest.raises(CatalogFileError, match=re.escape(f"aws.csv:{message}")):
        on_demand(GOOD + row + "\n")


def test_a_file_with_an_accelerator_by_the_apis_name_is_read_at_once():
    assert on_demand(GOOD + "x1.new,2,8192,x86_64,?L5,1\n")["aws", "x1.new"].unknown == "1 x L5"
    assert not isinstance(on_demand(GOOD + "x1.new,2,8192,x86_64,?L5,1\n"), OnDemand)


def test_a_wrong_accelerator_is_refused_with_its_line_when_it_is_asked_for_and_the_others_answer():
    source = Source(Path("a.yaml"), "a", f"# two\nN9: {{{CHIP}}}\n\nN8:\n  {{{CHIP}, memory_mib: many}}\n")
    chips = chips_on_demand(source)
    assert chips["N9"].resource == "NPU"
    with pytest.raises(CatalogFileError, match=re.escape("a.yaml:5: N8: memory_mib is 'many'")):
        chips["N8"]


@pytest.mark.parametrize("text", ["N9: {family: x}\nN9: {family: x}", "- N9", "N9: {family:\nx}", "? N9\n: 8"])
def test_accelerators_in_another_form_are_refused_at_once(text):
    with pytest.raises(CatalogFileError, match=r"a\.yaml:\d+: "):
        chips_on_demand(Source(Path("a.yaml"), "a", text))
