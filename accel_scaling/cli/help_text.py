"""The form of `--help`: wrapped to the terminal; examples can be copied as they stand, also where they are wrapped."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import textwrap
from typing import Any

from accel_scaling.terminal import fill

_WIDEST = 100  # columns: longer lines of help are hard to read
_LEAST = 30
_HANG = 4  # of what is wrapped below its line
_REMARK = re.compile(r"(?P<first>  +\S.*?)(?P<gap> {2,}#? ?)(?P<remark>\S.*)")
_PROGRAM = "accel-scaling "


class HelpText(argparse.HelpFormatter):
    """Wraps the description, the options and the text below them: paragraphs, examples and lists of two columns."""

    def __init__(self, prog: str) -> None:
        columns = shutil.get_terminal_size().columns
        super().__init__(prog, width=max(min(columns, _WIDEST) - 1, _LEAST))

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_long_words=False, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = [_paragraph(lines.splitlines(), width) for lines in text.strip("\n").split("\n\n")]
        return "\n\n".join(textwrap.indent(one, indent) for one in paragraphs)

    def _format_usage(self, *args: Any) -> str:
        return fill(super()._format_usage(*args).rstrip("\n"), self._width, hang=" " * _HANG) + "\n\n"

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        # argparse writes the name of a value twice: `--demand DEMAND [DEMAND ...]`
        several = f"{action.metavar} ..."
        forms = {"+": several, "*": f"[{several}]"}
        return forms.get(str(action.nargs)) or super()._format_args(action, default_metavar)

    # argparse's own groups are "positional arguments" and "options"; the former is a word of programmers.
    def start_section(self, heading: str | None) -> None:
        """Begin a group of arguments."""
        super().start_section("arguments" if heading == "positional arguments" else heading)


def _paragraph(lines: list[str], width: int) -> str:
    """Return a paragraph's lines within a width."""
    if not any(line.startswith(" ") for line in lines):
        return fill(" ".join(lines), width, hang="")
    joined: list[str] = []
    for line in lines:
        # A line far to the right continues with the remark above it.
        if joined and line.startswith(" " * 8):
            joined[-1] += f" {line.strip()}"
        else:
            joined.append(line)
    fits = all(len(line) <= width for line in joined)
    return "\n".join(line if fits else _line(line, width) for line in joined)


def _line(line: str, width: int) -> str:
    match = _REMARK.fullmatch(line)
    first, remark = (match["first"], match["remark"]) if match else (line, "")
    if _PROGRAM in first:
        if remark and len(short := f"{first}  # {remark}") <= width:
            return short
        command = _command(first, width)
        return command + (f"\n{fill(f'      # {remark}', width, hang='# ')}" if remark else "")
    if match is None:
        return fill(line, width, hang=" " * _HANG)
    column = match.start("remark")
    if column > width // 2:
        return f"{first}\n{fill(' ' * 6 + remark, width, hang='')}"
    return first + match["gap"] + fill(" " * column + remark, width, hang="")[column:]


def _command(line: str, width: int) -> str:
    """Return a command over several lines where it must be, as a shell takes them."""
    indent = line[: len(line) - len(line.lstrip())]
    lines, follow = [indent], indent + " " * _HANG
    for word in _shell_words(line):
        longer = f"{lines[-1]} {word}" if lines[-1].strip() else lines[-1] + word
        if len(longer) > width - 2 and lines[-1].strip():
            lines.append(follow + word)
        else:
            lines[-1] = longer
    return " \\\n".join(lines)


def _shell_words(line: str) -> list[str]:
    """Return a command's words, quoted as they are written; an option and its value as one."""
    lexer = shlex.shlex(line, posix=False, punctuation_chars="")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    for word in lexer:
        if words and words[-1].startswith("-") and " " not in words[-1] and not word.startswith("-"):
            words[-1] += f" {word}"
        else:
            words.append(word)
    return words
