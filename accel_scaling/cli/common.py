"""Helpers of all commands: a module as a sub-command, examples below the options of `--help`, output to a file.

A command writes its result to standard output, and all else by `write_note` and `write_beside`; an error is an
AccelScalingError, which `main` writes. Each EXAMPLES ends with a paragraph that begins with ``exit codes``.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from accel_scaling.errors import ClusterConfigError
from accel_scaling.terminal import wrapped, write_as_it_is

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType
    from typing import Any


def add_command(commands: Any, name: str, module: ModuleType) -> argparse.ArgumentParser:
    """Add a module's command (HELP, EXAMPLES, its options) to what ``add_subparsers()`` returned; return its parser."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=module.HELP, description=module.HELP)
    module.add_arguments(command)
    with_examples(command, module.EXAMPLES)
    return command


def with_examples(parser: argparse.ArgumentParser, text: str) -> None:
    """Show a command's examples below its options, and below those of each sub-command its own ones.

    Args:
        parser: the command's, complete.
        text: the command's EXAMPLES: paragraphs, of which the first is ``examples:`` and lines that begin with the
            whole command; a paragraph of exit codes is every sub-command's too.
    """
    parser.epilog = text
    paragraphs = text.strip("\n").split("\n\n")
    exit_codes = [paragraph for paragraph in paragraphs if paragraph.startswith("exit codes")]
    for name, (command, about) in sub_commands(parser).items():
        examples = [line for line in text.splitlines() if line.lstrip().startswith(f"{parser.prog} {name} ")]
        command.description = command.description or about
        if command.epilog is None and examples:
            command.epilog = "\n\n".join(["\n".join(["examples:", *examples]), *exit_codes])


def sub_commands(parser: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Return the sub-commands of a parser by name, each with its parser and its help sentence."""
    commands = {}
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            about = {choice.dest: choice.help or "" for choice in action._get_subactions()}  # noqa: SLF001
            commands.update({name: (command, about.get(name, "")) for name, command in action.choices.items()})
    return commands


def give(text: str, path: Path | None, *, new: bool = False, then: str = "") -> None:
    """Print a text, or write it to a file, its line breaks as they are.

    Args:
        text: the whole file.
        path: the file; None for standard output.
        new: refuse to overwrite an existing file.
        then: the text after ``wrote FILE``.

    Raises:
        FileExistsError: the file exists, and ``new``.
        ClusterConfigError: the file cannot be written.
    """
    if path is None:
        write_as_it_is(text)
        return
    try:
        # Mode x: the file system refuses an existing file in the same step, also one that was just written.
        with path.open("x" if new else "w", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise
    except OSError as error:
        raise ClusterConfigError(f"{path} cannot be written: {error.strerror}") from None
    except ValueError:  # Python's word for a name with a NUL character in it
        raise ClusterConfigError(f"{path} cannot be written: No file has such a name") from None
    write_beside(f"wrote {path}{then}")


def write_note(text: str) -> None:
    """Write a note to standard error, beside the output; wrapped on a terminal."""
    write_beside(f"note: {text}")


def write_beside(text: str) -> None:
    """Write a line to standard error, beside the output; wrapped on a terminal."""
    sys.stderr.write(f"{wrapped(text, stream=sys.stderr)}\n")
