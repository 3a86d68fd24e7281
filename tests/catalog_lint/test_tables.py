"""Every table of the schema: each column of each shipped file is checked, read and documented."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from pathlib import Path

import pytest
import yaml

from accel_scaling.catalog import schema
from accel_scaling.catalog.columns import ALWAYS, LEFT_OUT, ByCloud, Column, ListOf, Number, Table, Text, documented
from accel_scaling.catalog.files import read, table_of
from accel_scaling.catalog.launch_errors import Category, parse_launch_errors
from accel_scaling.catalog.table import csv_text, read_table
from accel_scaling.catalog_lint.check import check_files
from accel_scaling.clouds import SHIPPED_FOLDER, known_clouds
from accel_scaling.families.catalog import load_catalog
from tests.support.catalog import HEADER

DOCUMENT = Path(__file__).parents[2] / "docs" / "catalogs.md"
SHIPPED = sorted(path.name for path in SHIPPED_FOLDER.glob("*.csv"))
KEPT = 12  # rows of a file of thousands that a test keeps


def is_free(column: Column) -> bool:
    """Return whether any text is right."""
    value = column.value.of if isinstance(column.value, ListOf) else column.value
    return isinstance(value, Text) and not value.pattern


def columns_of(name: str) -> list[Column]:
    table = table_of(SHIPPED_FOLDER / name)
    return [column for column in table.columns if column.name in header_of(name)]


def header_of(name: str) -> list[str]:
    return next(csv.reader(io.StringIO((SHIPPED_FOLDER / name).read_text())))


def with_cell(name: str, column: str, cell: str) -> tuple[str, int]:
    """Return a shipped file's text with one cell replaced, and the line; the first row where it is filled."""
    header, *rows = csv.reader(io.StringIO((SHIPPED_FOLDER / name).read_text()))
    at = header.index(column)
    chosen = next((row for row in rows if row[at]), rows[0])
    kept = [row for row in rows if row is chosen or len(rows) < 1000 or rows.index(row) < KEPT]
    line = kept.index(chosen) + 2
    chosen[at] = cell
    return csv_text(header, kept), line


def mistakes(folder: Path, name: str, text: str) -> list[tuple[str, int | None, str]]:
    (folder / name).write_text(text)
    return [(each.file.name, each.line, each.column) for each in check_files([folder / name]).mistakes]


@pytest.mark.parametrize(
    ("name", "column"),
    [(name, column.name) for name in SHIPPED for column in columns_of(name) if not is_free(column)],
)
def test_a_word_that_is_not_allowed_is_named_with_its_file_line_and_column(tmp_path, name, column) -> None:
    text, line = with_cell(name, column, "~ ~")
    assert (name, line, column) in mistakes(tmp_path, name, text)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        (name, column.name)
        for name in SHIPPED
        for column in columns_of(name)
        if isinstance(column.value, Number) or column.name in {"min_gib", "max_gib_extended", "min_gib_per_vcpu"}
    ],
)
@pytest.mark.parametrize("cell", ["none", "-1", "1.5.2", "1e400", "٣" * 14])
def test_a_number_that_is_not_one_is_named_with_its_file_line_and_column(tmp_path, name, column, cell) -> None:
    text, line = with_cell(name, column, cell)
    assert (name, line, column) in mistakes(tmp_path, name, text)


@pytest.mark.parametrize(
    ("name", "column"),
    [(name, column.name) for name in SHIPPED for column in columns_of(name) if column.needed == ALWAYS],
)
def test_a_missing_cell_is_named_with_its_file_line_and_column(tmp_path, name, column) -> None:
    text, line = with_cell(name, column, "")
    assert (name, line, column) in mistakes(tmp_path, name, text)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_row_that_is_too_short_and_a_column_too_many_are_named(tmp_path, name) -> None:
    header, *rows = csv.reader(io.StringIO((SHIPPED_FOLDER / name).read_text()))
    rows[0].pop()
    assert mistakes(tmp_path, name, csv_text(header, rows[:KEPT]))[0] == (name, 2, "")
    assert mistakes(tmp_path, name, csv_text([*header[:-1], "colour"], rows[:KEPT])) == [(name, 1, "")]


@pytest.mark.parametrize("field", schema.CHIPS.names)
def test_a_wrong_and_a_missing_field_of_an_accelerator_are_named(tmp_path, field) -> None:
    every = yaml.safe_load((SHIPPED_FOLDER / schema.CHIPS.files).read_text())
    name, entry = next((name, entry) for name, entry in every.items() if entry.get(field))
    column = schema.CHIPS.column(field)
    wrong: list[object] = [{"~": "~"}, 1.5]
    wrong += [] if is_free(column) and not isinstance(column.value, ListOf) else ["~ ~"]
    wrong += [["~ ~"]] if isinstance(column.value, ListOf) and not is_free(column) else []
    wrong += [{"aws": "text"}, {"a b": ["text"]}] if isinstance(column.value, ByCloud) else []
    for value in wrong:
        others = {key: entry[key] for key in entry if key != field}
        text = yaml.safe_dump({name: {field: value} | others}, sort_keys=False)
        assert (schema.CHIPS.files, 2, field) in [
            (file, min(line or 0, 2), column) for file, line, column in mistakes(tmp_path, schema.CHIPS.files, text)
        ], value
    if column.needed != LEFT_OUT:
        text = yaml.safe_dump({name: {key: entry[key] for key in entry if key != field}})
        assert mistakes(tmp_path, schema.CHIPS.files, text) == [(schema.CHIPS.files, 1, field)]


# --- a new column ---


@pytest.fixture(name="with_column")
def with_column_fixture(monkeypatch):
    """Add a column to a table of the schema, in place."""

    def adding(table: Table, column: Column) -> None:
        more = Table(table.files, table.holds, (*table.columns, column), key=table.key, order=table.order)
        monkeypatch.setattr(table, "__dict__", vars(more))

    return adding


def test_a_column_that_is_added_to_the_schema_is_read_checked_and_documented(tmp_path, with_column) -> None:
    table = schema.LAUNCH_ERRORS
    with_column(table, Column("wait_s", Number(), "how long to wait", unit="s"))
    path = tmp_path / "aws_launch_errors.csv"
    path.write_text("code,message,category,source,wait_s\nA,,quota,who,30\nB,,quota,who,soon\n")
    rows, problems = read_table(read(path), table, lambda row, _: row["wait_s"])
    assert (rows, [(each.line, each.column) for each in problems]) == ([30], [(3, "wait_s")])
    (mistake,) = check_files([path]).mistakes
    assert str(mistake) == f"{path}:3: wait_s is soon; expected a whole number of 1 or more"
    path.write_text("code,message,category,source\nA,,quota,who\n")
    assert "column wait_s is missing" in check_files([path]).problems[0]
    assert "| `wait_s` | how long to wait | a whole number of 1 or more, in s | always |" in documented(table)


@pytest.mark.parametrize("table", [table for table in schema.TABLES if table is not schema.CHIPS])
def test_a_column_that_is_added_to_any_table_is_asked_of_its_files(tmp_path, with_column, table) -> None:
    with_column(table, Column("colour", Number(), "a new one"))
    name = table.file_of("aws" if (SHIPPED_FOLDER / table.file_of("aws")).exists() else "gcp")
    text = (SHIPPED_FOLDER / name).read_text()
    (tmp_path / name).write_text(text)
    assert "column colour is missing" in check_files([tmp_path / name]).problems[0]


@pytest.mark.parametrize("table", schema.TABLES, ids=lambda table: table.files)
def test_the_document_shows_every_column_as_the_schema_has_it(table) -> None:
    document = DOCUMENT.read_text()
    assert documented(table) in document
    assert all(f"`{table.file_of(cloud)}`" in document for cloud in ("aws", "gcp") if ships(table, cloud))


def ships(table: Table, cloud: str) -> bool:
    return (SHIPPED_FOLDER / table.file_of(cloud)).exists()


def test_every_shipped_file_is_of_a_table_of_its_own_name() -> None:
    of_clouds = {table.file_of(cloud) for table in schema.TABLES for cloud in known_clouds()}
    assert {path.name for path in SHIPPED_FOLDER.iterdir() if path.suffix in {".csv", ".yaml"}} <= of_clouds


def test_columns_of_any_table_may_be_in_any_order(tmp_path) -> None:
    for name in SHIPPED:
        header, *rows = csv.reader(io.StringIO((SHIPPED_FOLDER / name).read_text()))
        text = csv_text(header[::-1], [row[::-1] for row in rows])
        (tmp_path / name).write_text(text)
    assert check_files([tmp_path / name for name in SHIPPED]).problems == []


# --- a cloud from another folder ---


@pytest.fixture(name="nimbus")
def nimbus_fixture(monkeypatch, tmp_path):
    """Register a cloud whose tables are in a folder of its own; return the folder."""
    cloud = dataclasses.replace(
        known_clouds()["gcp"],
        name="nimbus",
        region_form=re.compile("cloud[0-9]+"),
        region_example="cloud9",
        has_tpus=False,
        data=tmp_path,
    )
    (tmp_path / "nimbus.csv").write_text(HEADER + "n9-large-1,4,16384,x86_64,L4,1\n")
    (tmp_path / "nimbus_places.csv").write_text("region,types,zones,source\ncloud9,*,a b,who\ncloud9,n9-large-1,a,\n")
    (tmp_path / "nimbus_launch_errors.csv").write_text("code,message,category,source\nNoRoom,,capacity,who\n")
    clouds = {**known_clouds(), "nimbus": cloud}
    monkeypatch.setattr("accel_scaling.clouds._found", lambda _folders: clouds)
    return tmp_path


def test_a_cloud_from_another_folder_is_looked_up_by_its_own_tables(nimbus, tmp_path) -> None:
    catalog = load_catalog(home=tmp_path / "home")
    machine = catalog.machine_type("nimbus", "n9-large-1")
    assert (machine.chip.name, catalog.where(machine).zones("cloud9")) == ("L4", ("a",))
    assert catalog.find("L4", cloud="nimbus") == [machine]


@pytest.mark.parametrize(
    ("name", "old", "new", "where"),
    [
        ("nimbus.csv", "4,16384", "4,none", (2, "memory_mib")),
        ("nimbus_places.csv", "cloud9,n9", "us-west-2,n9", (3, "region")),
        ("nimbus_places.csv", "n9-large-1", "n9-larg-1", (3, "types")),
        ("nimbus_launch_errors.csv", "capacity", "capacitty", (2, "category")),
    ],
)
def test_a_wrong_cell_of_a_cloud_from_another_folder_is_named(nimbus, name, old, new, where) -> None:
    assert check_files().problems == []
    (nimbus / name).write_text((nimbus / name).read_text().replace(old, new))
    (mistake,) = check_files().mistakes
    assert (mistake.file, (mistake.line, mistake.column)) == (nimbus / name, where)


def test_a_category_is_a_word_that_launches_understand() -> None:
    source = read(SHIPPED_FOLDER / "aws_launch_errors.csv")
    assert all(isinstance(category, Category) for _, _, category in source.accept(parse_launch_errors(source)))
