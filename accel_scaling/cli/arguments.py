"""Arguments of the command line: their order, files and standard input, numbers within bounds, and errors.

A new command declares its arguments as any parser of argparse does, with these types:

* ``Path``: a file that is read; ``-`` is standard input;
* ``output_file``: a file that is written; ``-`` is standard output, for which the value is None;
* ``whole_number`` and ``seconds``: numbers within bounds.

Options may come before or after the other arguments, an option of several values too (``--demand A B cluster.yaml``).
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from accel_scaling.cli.argument_order import Words, ordered
from accel_scaling.cli.help_text import HelpText
from accel_scaling.errors import AccelScalingError
from accel_scaling.message_text import listed, sentence, shown
from accel_scaling.terminal import Paint, painted, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST_DIGITS = 6  # of a count: more devices, CPUs or machines than any cluster has
MOST_SECONDS = 7 * 24 * 3600.0  # a week; Python's own waits fail for numbers of some 300 years
_ALIKE = 0.65  # of an option: all begin with `--`, and many with the same letter
PREFIX = "accel-scaling:"
_CHOICE = re.compile(r"argument (?P<name>[^:]+): invalid choice: (?P<value>.+) \(choose from .+\)", re.DOTALL)
_MISSING = "the following arguments are required: "


class Parser(argparse.ArgumentParser):
    """A parser with one sentence for each mistake, which names the nearest command or option."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"formatter_class": HelpText, **options})

    def format_help(self) -> str:
        """Return the help; its usage names what must stand there, and the options are below it."""
        if self.usage is None and self._subparsers is None:
            places = [_place(action) for action in self._actions if not action.option_strings]
            self.usage = " ".join([self.prog, *places, "[options]"])
        return super().format_help()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the words; an unknown option or a word too many is an error, in this parser's own words."""
        words = list(sys.argv[1:] if args is None else args)
        has_commands = self._subparsers is not None
        of_this = Words(self, words)
        if unknown := of_this.unknown_options(first=has_commands):
            self.error(self._unknown(unknown))
        namespace, extra = super().parse_known_args(words if has_commands else ordered(of_this), namespace)
        if extra:
            self.error(self._unknown(extra))
        return namespace, extra

    def error(self, message: str) -> NoReturn:
        """Print the error as one sentence, and exit with 2."""
        text = self._about_choice(message) or self._about_missing(message) or message.replace("argument ", "", 1)
        command = self.prog.partition(" ")[2]
        write_error(f"{command + ': ' if command else ''}{text}; see `{self.prog} --help`")
        sys.exit(2)

    def _unknown(self, words: Sequence[str]) -> str:
        """Return that words are no options, or too many, with the nearest options."""
        from accel_scaling.catalog.suggest import nearest

        options = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        first = next((word for word in words if word.startswith("-")), None)
        if first is None:
            return f"{shown(words[0])} is one word too many"
        name = first.partition("=")[0]
        meant = f"--{name.lstrip('-')}"
        near = [meant] if meant in options else nearest(meant, options, at_most=2, cutoff=_ALIKE)
        return f"there is no option {_unquoted(name)}{'; nearest: ' + ', '.join(near) if near else ''}"

    def _about_choice(self, message: str) -> str:
        match = _CHOICE.fullmatch(message)
        if match is None:
            return ""
        from accel_scaling.catalog.suggest import hint

        action = next(one for one in self._actions if match["name"] in _names_of(one))
        choices, value = [str(choice) for choice in action.choices or ()], match["value"].strip("'\"")
        if not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no public way to ask
            # The first argument of `init` is a cloud, and people write the accelerator first.
            return f"{match['name']}: {match['value']} is not one of {', '.join(choices)}{hint(value, choices)}"
        near = hint(value, choices)
        return f"there is no command {match['value']}{near or '; the commands are ' + listed(choices)}"

    def _about_missing(self, message: str) -> str:
        if not message.startswith(_MISSING):
            return ""
        names = message.removeprefix(_MISSING).split(", ")
        commands = [", ".join(one.choices) for one in self._actions if one.choices and one.metavar in names]
        form = f" ({'; '.join(commands)})" if commands else ""
        return f"{listed(names)}{form} {'is' if len(names) == 1 else 'are'} missing"


def write_error(text: str) -> None:
    """Write an error to standard error: the prefix of all of them, and the sentence, wrapped on a terminal."""
    lines = wrapped(sentence(text), stream=sys.stderr, used=len(PREFIX) + 1)
    sys.stderr.write(f"{painted(PREFIX, Paint.BAD, sys.stderr)} {lines}\n")


def output_file(text: str) -> Path | None:
    """Return the file that an argument names, None for standard output (``-``); for ``type=`` of an argument."""
    return None if text == "-" else Path(text)


CLUSTER_HELP = "a Ray cluster file; - for standard input"

FILE_TYPES = (Path, output_file)
"""The types of arguments that a shell completes with the names of files."""


def whole_number(text: str, *, least: int) -> int:
    """Return a whole number; for ``type=`` of an argument.

    Raises:
        argparse.ArgumentTypeError: it is none, or is below ``least``, or has more than six digits.
    """
    # isdigit alone accepts signs such as `\u00b2`, for which int() raises.
    if text.isascii() and text.isdigit() and len(text.lstrip("0")) <= _MOST_DIGITS and int(text) >= least:
        return int(text)
    most = "" if len(text) <= _MOST_DIGITS else f", at most {10**_MOST_DIGITS - 1:,}"
    raise argparse.ArgumentTypeError(f"{shown(text)} is not a whole number of {least} or more{most}")


def seconds(text: str) -> float:
    """Return a duration in seconds; for ``type=`` of an argument.

    Raises:
        argparse.ArgumentTypeError: it is no number, is negative, or is more than a week.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan  # in no range, and so refused below
    if not 0 <= number <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number of seconds, as 60")
    return number


def one_of_both(word: str | None, option: str | None, name: str) -> str | None:
    """Return what may stand as a plain word or behind an option.

    Args:
        word: the plain word; None where there is none.
        option: the option's value; None where there is none.
        name: the option's name.

    Raises:
        AccelScalingError: both are given, and they differ.
    """
    if word is not None and option not in {None, word}:
        raise AccelScalingError(f"{shown(word)} and {name} {shown(option)} are given; write one of them")
    return option if word is None else word


def _place(action: argparse.Action) -> str:
    name = str(action.metavar or "|".join(action.choices or ()))
    return {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} ..."}.get(str(action.nargs), name)


def _names_of(action: argparse.Action) -> Iterable[str]:
    return ("/".join(action.option_strings), str(action.metavar), action.dest)


def _unquoted(text: str) -> str:
    return shown(text)[1:-1] if text.isprintable() else shown(text)
