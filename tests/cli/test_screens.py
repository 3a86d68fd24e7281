"""What stands on a terminal of 40, 80 and 120 columns: nothing is wider, no word is broken, nothing is lost."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time

import pytest

from accel_scaling import tables, terminal
from accel_scaling.cli import status
from accel_scaling.cli.main import main
from accel_scaling.quarantine.ledger import Ledger
from accel_scaling.quarantine.record import Cause, Quarantine, Record
from accel_scaling.testing.rehearse.timeline import Timeline
from tests.support.commands_page import commands
from tests.support.terminals import ROOT, on_terminal

LONG = "the cloud has no capacity for g5.xlarge in us-west-2a, us-west-2b and us-west-2c; add zones or another type"
LONGEST_WORD = 26  # of the tables below: `TPU-v5litepod-256-head: 1` is kept whole


@pytest.mark.parametrize(
    ("words", "columns"),
    [("A100", 40), ("A100", 80), ("A100", 120), ("v5e", 40), ("v5e", 80), ("v5e", 120), ("T4", 60), ("", 80)],
)
def test_no_line_of_catalog_find_is_wider_than_the_terminal(
    words: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["catalog", "find", *words.split()]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= max(columns, LONGEST_WORD)


def test_a_table_says_which_columns_it_left_out_and_what_shows_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main(["catalog", "find", "A100"])
    first, *_, left_out, _ = capsys.readouterr().out.splitlines()
    assert first.split() == ["TYPE", "CLOUD", "VCPUS", "ACCELERATOR", "COUNT", "RAY", "IS", "PROMISED"]
    assert left_out == "(GIB and ARCH left out: a wider terminal or --json shows them)"


def test_a_file_or_a_pipe_gets_every_column_and_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    main(["catalog", "find", "v5e"])
    text = capsys.readouterr().out
    assert "left out" not in text
    assert "v5litepod-256  16x16       256     64    112  192  TPU: 4, TPU-V5LITEPOD; host 0 also TPU-v5" in text


def test_clouds_have_a_column_where_they_are_mixed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["catalog", "find", "T4", "--cloud", "aws"])
    assert "CLOUD" not in capsys.readouterr().out
    main(["catalog", "find", "L4"])
    assert re.search(r"^g6\.xlarge +aws ", capsys.readouterr().out, re.MULTILINE)


def test_wrapped_cells_stand_below_their_own_column_and_numbers_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "44")
    text = tables.render(
        ("node type", "reason", "times"), [("p4d", "the cloud has no capacity: 12", "1,000")], right={2}
    )
    assert text.splitlines() == [
        "node type  reason                      times",
        "p4d        the cloud has no            1,000",
        "           capacity: 12",
    ]


def test_a_table_that_fits_in_no_way_becomes_lines_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    text = tables.render(("node type", "machine"), [("a", "a2-ultragpu-8g-nolssd"), ("b", "-")])
    assert text == "node type: a\nmachine:\n  a2-ultragpu-8g-nolssd\n\nnode type: b"


def test_a_sentence_is_wrapped_at_spaces_with_a_hanging_indent_and_commands_stay_whole() -> None:
    text = terminal.fill("  H100:8: give it to `accel-scaling kuberay fill` or write us-west-2 instead", 40)
    assert text == "  H100:8: give it to\n    `accel-scaling kuberay fill` or\n    write us-west-2 instead"


@pytest.mark.parametrize("columns", [40, 80])
def test_status_plan_and_the_lines_of_a_rehearsal_stay_within_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    now_s = time.time()
    quarantine = Quarantine("us-west-2a", Cause.SOLD_OUT, "Sold", LONG, now_s, now_s + 300, 2)
    ledger = Ledger(types={"a10g-on-demand": Record(quarantines=(quarantine,))}, kept={"i-0123456789abcdef0": LONG})
    assert max(map(len, status.as_text(ledger, now_s).splitlines())) <= columns
    out = io.StringIO()
    Timeline(0.0, out).say(118.3, "pending", LONG)
    first, *others = out.getvalue().splitlines()
    assert first.startswith("  118.3 s  pending    the cloud")
    assert max(map(len, [first, *others])) <= columns
    assert all(line.startswith(" " * 22 + line.strip()[:1]) for line in others)


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_every_help_is_within_the_terminal_and_its_examples_can_be_copied(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for name, (command, _) in commands().items():
        shown = command.format_help()
        wide = [line for line in shown.splitlines() if len(line) > columns and not _is_one_word(line)]
        assert wide == [], name
        examples = [line for line in (command.epilog or "").splitlines() if line.startswith("  accel-scaling ")]
        joined = " ".join(shown.replace(" \\\n", " ").split())
        for example in examples:
            typed = re.split(r"\s{2,}", example.strip())[0]
            assert " ".join(typed.split()) in joined, name


def _is_one_word(line: str) -> bool:
    """Return whether a line cannot be shorter: an option with its value, a word of the text, a path."""
    return len(line.strip(" \\[]#").split()) <= 2 or "'" in line


def test_every_help_has_its_exit_codes_and_an_example() -> None:
    for name, (command, _) in commands().items():
        assert re.search(r"\nexit codes[^$]*\b0\b", command.epilog or ""), name
        assert f"\n  {name} " in (command.epilog or ""), name


def test_a_real_terminal_has_its_own_width_and_colours_end_with_the_command() -> None:
    screen = on_terminal(["plan", "--demand", "A10G", "H100:8", "example_clusters/aws-gpu.yaml"])
    assert screen.code == 3
    assert max(map(len, screen.lines)) <= 80
    assert "\\x1b" not in screen.text  # Ray's library of colours sets them back at the end
    assert "  H100:8: asks accelerator_type:H100, GPU 8; " in screen.text
    assert on_terminal(["catalog", "show", "g5.xlarge"], environment={"NO_COLOR": "1"}).written.count("\033") == 0


def test_no_colour_is_yellow_which_nobody_reads_on_white() -> None:
    assert {paint.value for paint in terminal.Paint} & {"33", "93", "37", "97"} == set()


def test_no_command_needs_a_utf_8_locale() -> None:
    locale = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    screen = on_terminal(["init", "gcp", "L4"], environment=locale)
    assert (screen.code, screen.text.isascii()) == (0, True)


def test_a_closed_pipe_is_no_traceback_and_no_error() -> None:
    command = f"set -o pipefail; {sys.executable} -m accel_scaling catalog find 2>&1 | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("TYPE")
