"""docs/commands.md has every command, option, exit code and JSON key; every `--help` has an example that is right."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from accel_scaling.boot.verdicts import Verdict, VerdictWord
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.tpu_slices import slice_of_type
from accel_scaling.cli import main as cli
from accel_scaling.cli.catalog_text import describe, describe_slice
from accel_scaling.cli.status import as_json
from accel_scaling.detect.model import Detection
from accel_scaling.errors import INTERRUPTED_CODE, AccelScalingError
from accel_scaling.quarantine.ledger import Ledger
from tests.support.commands_page import PAGE, commands, rewritten, sections

TEXT = PAGE.read_text(encoding="utf-8")
EVERY = commands()


def examples(command: argparse.ArgumentParser) -> list[str]:
    """The command's examples as they are typed: without remarks, and without what follows `&&`, `|` or `>`."""
    lines = [line.strip() for line in (command.epilog or "").splitlines()]
    return [
        re.split(r"\s{2,}|\s#\s|\s(?:&&|[<>|])\s", line)[0] for line in lines if line.startswith(f"{command.prog} ")
    ]  # fmt: skip


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_an_example_in_its_help_and_the_parser_takes_each(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, _ = EVERY[name]
    shown = examples(command)
    assert shown, f"`{name} --help` has no example: add one to the command's EXAMPLES"
    for example in shown:
        words = shlex.split(example)[1:]
        words = words[: words.index("--")] if "--" in words else words
        assert cli.parser(None).parse_args(words).run
    with pytest.raises(SystemExit):
        cli.main([*name.split()[1:], "--help"])
    assert shown[0] in capsys.readouterr().out


def test_the_page_has_every_command_with_each_of_its_options_in_the_words_of_its_help() -> None:
    assert list(sections(TEXT)) == list(EVERY)
    assert rewritten(TEXT) == TEXT, "run `python -m tests.support.commands_page`"


def returned_codes(module: object) -> set[int]:
    """The whole numbers that a command's functions return as exit codes, literal or by name."""
    found: set[int] = set()
    for function in ast.walk(ast.parse(Path(str(getattr(module, "__file__", ""))).read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef) and ast.unparse(function.returns or ast.Constant(None)) == "int":
            for value in (node.value for node in ast.walk(function) if isinstance(node, ast.Return)):
                for leaf in [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]:
                    if isinstance(leaf, ast.Constant) and isinstance(leaf.value, int):
                        found.add(leaf.value)
                    elif isinstance(leaf, ast.Name) and leaf.id.isupper():
                        found.add(getattr(module, leaf.id))
    return found


@pytest.mark.parametrize("name", EVERY)
def test_every_exit_code_of_a_command_is_in_its_section(name: str) -> None:
    module = importlib.import_module(f"accel_scaling.cli.{name.split()[1]}")
    (line,) = re.findall(r"^Exit codes: (.*)$", sections(TEXT)[name], re.MULTILINE)
    documented = {int(code) for code in re.findall(r"\b\d+\b", line)}
    leaves = [other for other in EVERY if other.split()[1] == name.split()[1]]
    codes = returned_codes(module)
    if len(leaves) > 1:  # the module has several commands, and does not say which code is whose
        codes &= {0}
    assert codes <= documented
    told = re.search(r"^exit codes.*(?:\n.+)*", EVERY[name][0].epilog or "", re.MULTILINE)
    assert {int(code) for code in re.findall(r"(?<![\w.])\d+(?= |,|$)", told[0] if told else "")} <= documented


def test_the_exit_codes_that_every_command_has_are_in_the_pages_table() -> None:
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    assert {0, AccelScalingError.exit_code, INTERRUPTED_CODE} <= table
    every = [importlib.import_module(f"accel_scaling.cli.{name}") for name in cli.COMMANDS]
    assert set().union(returned_codes(cli), *map(returned_codes, every)) <= table


def test_every_key_of_json_is_in_its_commands_section() -> None:
    catalog = shipped_catalog()
    keys = {
        "catalog show": {
            *describe(catalog.machine_type("aws", "p4d.24xlarge")),
            *describe_slice(slice_of_type(catalog, "v4-16")),
        },
        "detect": set(Detection("nvidia", "GPU").to_json()),
        "confirm": set(Verdict(VerdictWord.CONFIRMED, "").to_json()),
        "status": set(as_json(Ledger(), 0.0)),
    }
    for name, wanted in keys.items():
        section = sections(TEXT)[f"accel-scaling {name}"]
        assert {key for key in wanted if f"`{key}`" not in section} == set(), name
