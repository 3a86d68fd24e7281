"""``accel-scaling catalog check``: finds every mistake in catalog files, the shipped ones or a contributor's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.cli.common import write_note
from accel_scaling.message_text import sentence
from accel_scaling.terminal import wrapped

if TYPE_CHECKING:
    import argparse

    from accel_scaling.catalog_lint.check import Mistake, Report

HELP = "validate catalog files: each mistake with file, line, column and what is expected"
EXAMPLES = """\
examples:
  accel-scaling catalog check
  accel-scaling catalog check my_machines.csv
  accel-scaling catalog check catalogs/*.csv catalogs/*.yaml --json
  accel-scaling catalog check - < my_machines.csv

exit codes: 0 no mistakes, 2 a mistake
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "files",
        metavar="FILE",
        type=Path,
        nargs="*",
        help="CSV or YAML; - for a CSV of machine types on standard input (default: the shipped files, and yours in "
        "~/.accel_scaling)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON: an object with lists of `mistakes` and `notes`"
    )


def run(args: argparse.Namespace) -> int:
    """Check the files; 2 where one has a mistake."""
    from accel_scaling.catalog.files import is_hardware, user_catalog_files
    from accel_scaling.catalog_lint.check import Report, check_files

    hardware = [path for path in args.files if is_hardware(path)]
    others = [path for path in args.files if path not in hardware]
    report = Report() if hardware and not others else check_files(others)
    report.mistakes += [mistake for path in hardware for mistake in _hardware_mistakes(path)]
    home = [] if args.files else user_catalog_files()
    if home:  # every other command reads them
        of_home = check_files(home)
        report.mistakes += of_home.mistakes
        report.notes += of_home.notes
    if args.json:
        print(json.dumps(described(report), indent=2))
    elif report.mistakes:
        print(wrapped(sentence("\n".join(report.problems))))
    else:
        rules = f", {report.rules} rules" if args.files and report.rules else ""
        of_user = f"; {len(home)} files of yours in ~/.accel_scaling" if home else ""
        print(wrapped(f"ok: {report.machine_types} machine types, {report.accelerators} accelerators{rules}{of_user}"))
    for note in () if args.json else report.notes:
        write_note(str(note))
    return 2 if report.mistakes else 0


def _hardware_mistakes(path: Path) -> list[Mistake]:
    """Return the first mistake of a file with hardware that rehearsals emulate; empty where it has none."""
    # Here, not above: nodes have this command, and their bundle has no `testing`.
    from accel_scaling.catalog_lint.check import Mistake
    from accel_scaling.errors import RehearsalError
    from accel_scaling.testing.devices.hardware import rows_of_file

    try:
        rows_of_file(path)
    except RehearsalError as error:
        line, _, text = error.text.removeprefix(f"{path}:").partition(": ")
        return [Mistake(path, int(line), "", text)]
    return []


def described(report: Report) -> dict[str, object]:
    """Return a report as a value for JSON; the keys stay."""
    return {
        "machine_types": report.machine_types,
        "accelerators": report.accelerators,
        "rules": report.rules,
        "mistakes": _listed(report.mistakes),
        "notes": _listed(report.notes),
    }


def _listed(mistakes: list[Mistake]) -> list[dict[str, object]]:
    return [
        {"file": str(mistake.file), "line": mistake.line, "column": mistake.column, "problem": mistake.text}
        for mistake in mistakes
    ]
