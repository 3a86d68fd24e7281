"""The tables of options in docs/commands.md; `python -m tests.support.commands_page` writes them from the parser.

What stands around a table is written by hand: what the command is for, its exit codes, the keys of its JSON. A command
that has no section yet gets one at the end of the page, to be completed.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from accel_scaling.cli.common import sub_commands
from accel_scaling.cli.main import parser

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
SECTION = re.compile(r"^## `(?P<name>accel-scaling [^`]+)`\n(?P<body>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"^\| option \| does \|\n(?:\|.*\n)+", re.MULTILINE)


def leaves(of: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Yield every command that can be run, with the sentence about it."""
    for command, about in sub_commands(of).values():
        if sub_commands(command):
            yield from leaves(command)
        else:
            yield command, about


def commands() -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Return them by their full names, as `accel-scaling catalog show`."""
    return {command.prog: (command, about) for command, about in leaves(parser(None))}


def table(command: argparse.ArgumentParser) -> str:
    """Return the table of a command's arguments and options."""
    rows = [row(command, action) for action in command._actions if not isinstance(action, argparse._HelpAction)]
    return "".join(["| option | does |\n|---|---|\n", *rows])


def row(command: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return an argument's line."""
    metavar = "" if action.nargs == 0 else f" {action.metavar or '|'.join(action.choices or ())}"
    names = [f"`{name}`" for name in action.option_strings] or [f"`{metavar.strip()}`"]
    if action.option_strings and metavar:
        names[-1] = f"`{action.option_strings[-1]}{metavar}`"
    does = (action.help or "") % {**vars(action), "prog": command.prog}
    cells = (text.replace("|", "\\|") for text in (", ".join(names), does))
    return f"| {' | '.join(cells)} |\n"


def sections(text: str) -> dict[str, str]:
    """Return the page's sections by command."""
    return {match["name"]: match["body"] for match in SECTION.finditer(text)}


def rewritten(text: str) -> str:
    """Return the page with every table as it should be."""
    for name, (command, about) in commands().items():
        body, made = sections(text).get(name), table(command)
        if body is None:
            begin = f"{text.rstrip()}\n\n## `{name}`\n\n{about[:1].upper()}{about[1:]}."
            text = f"{begin}\n\n{made}\nExit codes: 0, 2.\n"
        elif TABLE.search(body):
            text = text.replace(body, made.join(TABLE.split(body, maxsplit=1)))
        else:
            text = text.replace(body, f"{body.rstrip()}\n\n{made}\n")
    return text


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
