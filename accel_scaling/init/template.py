"""The parts that a starter file is put together from: the YAML files of this folder, with places to fill.

A line that is nothing but ``$name`` takes a block of lines, at its own indentation, or vanishes where the block is
empty. Everywhere else ``$name`` takes a value: a scalar made by `scalar()`, or words of a comment made by `words()`.
"""

from __future__ import annotations

import functools
import re
import textwrap
from pathlib import Path
from string import Template

import yaml

WIDTH = 110  # characters of a line of comment

_FOLDER = Path(__file__).parent
_BLOCK = re.compile(r"^( *)\$(\w+)$")


def part(name: str, /, **values: str) -> str:
    """Return a part with its places filled, without a final newline.

    Args:
        name: of the file, without ``.yaml``.
        values: scalars, words and blocks by place.
    """
    lines: list[str] = []
    for line in _text(name).splitlines():
        block = _BLOCK.match(line)
        if block is None:
            lines.append(Template(line).substitute(values))
        elif values[block[2]]:
            lines += textwrap.indent(values[block[2]], block[1]).splitlines()
    return "\n".join(lines)


def scalar(value: str | int) -> str:
    """Return a value as YAML writes it in one line: quoted where it would be read as anything else."""
    plain = str(value).isprintable()  # else YAML's line breaks (NEL, LS, PS) would be written as they are
    written = yaml.safe_dump([value], default_flow_style=True, width=float("inf"), allow_unicode=plain)
    return written.removeprefix("[").rstrip("\n").removesuffix("]")


def words(text: str) -> str:
    """Return a text as it may stand in a comment: one line, of characters that YAML takes."""
    return "".join(character if character.isprintable() else " " for character in text)


def comment(*sentences: str) -> str:
    """Return sentences as lines of comment, each from a new line on."""
    lines: list[str] = []
    for sentence in sentences:
        lines += textwrap.wrap(words(sentence), WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)


@functools.cache
def _text(name: str) -> str:
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
