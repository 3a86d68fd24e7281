"""Rules about a cloud's machines as CSV files beside the rows: a header, one rule a line, every cell checked.

``gcp_attach.csv``, ``gcp_custom.csv``, ``gcp_tpu.csv`` and ``gcp_tpu_hosts.csv`` are read by the modules that
apply them (attach, custom, tpu), ``node_*.csv`` and ``gcp_boot_disks.csv`` by node_rules, ``kuberay_*.csv`` by
kuberay_rules; this module is what those readers share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from accel_scaling.catalog.files import Problem, Source, csv_records, read
from accel_scaling.catalog.suggest import hint
from accel_scaling.clouds import SHIPPED_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")

CLOUD = "gcp"  # whose machines the rules are about
RULE_FILES = ("gcp_attach.csv", "gcp_custom.csv", "gcp_tpu.csv", "gcp_tpu_hosts.csv")
NODE_FILES = ("node_families.csv", "node_images.csv", "gcp_boot_disks.csv")  # what a node needs besides its machine
KUBERAY_FILES = ("kuberay_resources.csv", "kuberay_selectors.csv")  # what a manifest says of accelerators
MAX_DIGITS = 12  # as in rows.py: more digits are a slip of the finger


class RuleError(Exception):
    """What is wrong with one line of a rule file."""


@dataclass(frozen=True)
class Cells:
    """The cells of one line, by column."""

    by_column: Mapping[str, str]

    def text(self, column: str) -> str:
        """Return a cell that must not be empty."""
        if not self.by_column[column]:
            raise RuleError(f"{column} is empty")
        return self.by_column[column]

    def words(self, column: str) -> tuple[str, ...]:
        """Return the words of a cell; it may be empty."""
        return tuple(self.by_column[column].split())

    def known(self, column: str, names: Collection[str] | None) -> str:
        """Return a word that must be one of ``names``; any word will do where they are None, not at hand."""
        cell = self.text(column)
        if names is not None and cell not in names:
            raise RuleError(f"{column} {cell!r} is not known{hint(cell, names)}")
        return cell

    def number(self, column: str, *, at_least: int = 1, empty: int | None = None) -> int:
        """Return a whole number; ``empty`` stands for an empty cell, which is wrong where it is None."""
        cell = self.by_column[column]
        if not cell and empty is not None:
            return empty
        if cell.isascii() and cell.isdigit() and len(cell) <= MAX_DIGITS and int(cell) >= at_least:
            return int(cell)
        raise RuleError(f"{column} is {cell or 'empty'}; expected a whole number of {at_least} or more")

    def one_of(self, column: str, allowed: Iterable[str]) -> str:
        """Return a cell that is one of the allowed words."""
        cell = self.by_column[column]
        if cell not in (words := tuple(allowed)):
            raise RuleError(f"{column} is {cell or 'empty'}; expected {', '.join(words)}")
        return cell


def parse_rules(
    source: Source, columns: Sequence[str], rule_of: Callable[[Cells], T], key_of: Callable[[T], object]
) -> tuple[list[T], list[Problem]]:
    """Read the rules of a file.

    Args:
        source: the file.
        columns: its columns, in their order.
        rule_of: makes a rule of a line's cells; raises RuleError.
        key_of: what no two rules may have in common.

    Returns:
        The rules, and everything that is wrong; with a problem, the rules are not complete.
    """
    problems: list[Problem] = []
    records = csv_records(source.text, problems)
    line, header = next(records, (1, []))
    if [name.strip() for name in header] != list(columns):
        return [], [*problems, Problem(line, f"the columns are {', '.join(header)}; expected {', '.join(columns)}")]
    rules: list[T] = []
    lines: dict[object, int] = {}
    for line, cells in records:
        if len(cells) != len(columns):
            problems.append(Problem(line, f"has {len(cells)} cells; expected {len(columns)}, one for each column"))
            continue
        try:
            rule = rule_of(Cells(dict(zip(columns, (cell.strip() for cell in cells), strict=True))))
        except RuleError as error:
            word = str(error).partition(" ")[0]  # the texts begin with the column, where one cell is wrong
            problems.append(Problem(line, str(error), word if word in columns else ""))
            continue
        if key_of(rule) in lines:
            problems.append(Problem(line, f"is the same rule as line {lines[key_of(rule)]}; keep one of the two"))
        lines[key_of(rule)] = line
        rules.append(rule)
    return rules, problems


def is_rules(path: Path) -> bool:
    """Return whether a file has the name of a rule file: it holds no machine types."""
    return path.name in (*RULE_FILES, *NODE_FILES, *KUBERAY_FILES)


def shipped_rules(name: str) -> Source:
    """Return a rule file that ships with the package, one of RULE_FILES, NODE_FILES and KUBERAY_FILES."""
    return read(SHIPPED_FOLDER / name, label=name)
