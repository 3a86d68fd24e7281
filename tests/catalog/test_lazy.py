"""What ships is read row by row, when it is asked for: with the same answers and refusals as when it is read whole."""

import re
from pathlib import Path

import pytest

from accel_scaling.catalog.chips import chips_on_demand, parse_chips
from accel_scaling.catalog.files import CHIPS_FILE, Source, read
from accel_scaling.catalog.load import parse_rows, shipped_catalog
from accel_scaling.catalog.table import OnDemand
from accel_scaling.clouds import SHIPPED_FOLDER, known_clouds
from accel_scaling.errors import CatalogFileError
from tests.support.catalog import CHIP, GOOD

CHIPS = shipped_catalog().chips


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
