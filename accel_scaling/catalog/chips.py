"""Accelerators from the text of a YAML file, every field checked.

The file is composed into nodes, not constructed into objects: nothing in it can run, each value keeps its line
for the error texts, keys written twice are seen, and it takes half the time of ``safe_load``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from accel_scaling.catalog.columns import NAME, ByCloud, ListOf, Number, Text
from accel_scaling.catalog.files import Problem
from accel_scaling.catalog.model import Chip
from accel_scaling.catalog.schema import CHIPS
from accel_scaling.catalog.suggest import hint
from accel_scaling.catalog.table import OnDemand
from accel_scaling.inputs.yaml_nodes import NotYamlError, compose
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from accel_scaling.catalog.columns import Value
    from accel_scaling.catalog.files import Source

_TAG = "tag:yaml.org,2002:"
_ENTRY = re.compile(r"^([A-Za-z][A-Za-z0-9._-]*):(?=[ \n])", re.MULTILINE)
_OTHER = re.compile(r"^(?![ #\n]|[A-Za-z][A-Za-z0-9._-]*:[ \n])(?=.)", re.MULTILINE)  # no entry begins so
_NULLABLE = "detected_type"  # a field that must be there and may be null


class _ChipError(Exception):
    """A mistake in the description of a chip, and its node of the file."""

    def __init__(self, node: yaml.Node, text: str) -> None:
        super().__init__(text)
        self.node = node


def parse_chips(text: str, known: Mapping[str, Chip]) -> tuple[dict[str, Chip], list[Problem]]:
    """Read the accelerators of a YAML file.

    Args:
        text: the file's content: a mapping of the chip's name to its fields.
        known: chips of weaker layers, which a slice of this file may be a partition of.

    Returns:
        The chips by name, and everything that is wrong; with a problem, the chips are not complete.
    """
    try:
        root = _root(text)
    except NotYamlError as error:
        return {}, [Problem(error.line or 1, f"is not YAML: {error.problem}" if error.grammar else error.problem)]
    if not isinstance(root, yaml.MappingNode):
        return {}, [Problem(1, "is not a mapping; expected `NAME: {family: ..., resource: ..., ...}` entries")]
    chips: dict[str, Chip] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    for key, value in root.value:
        try:
            chip = _chip(_text("accelerator", key, NAME), key, value, problems)
        except _ChipError as error:
            problems.append(Problem(_line(error.node), str(error)))
            continue
        if chip is None:
            continue
        if chip.name in lines:
            text = f"{chip.name} is already in line {lines[chip.name]}; keep one of the two"
            problems.append(Problem(_line(key), text))
        chips[chip.name] = chip
        lines[chip.name] = _line(key)
    problems += _wrong_partitions(chips, lines, known)
    return chips, problems


def chips_on_demand(source: Source) -> Mapping[str, Chip]:
    """Return the accelerators of a file, each read when it is asked for; the file is refused there where it is wrong.

    An entry begins in the first column and ends where the next one begins: composing only what is asked for is what
    saves time, libyaml takes longer than all else together. A file of another form is read whole.

    Raises:
        CatalogFileError: the file is not of that form and has a problem.
    """
    begins = [*_ENTRY.finditer(source.text)]
    spans = [entry.start() for entry in begins] + [len(source.text)]
    texts = {entry[1]: (entry.start(), end) for entry, end in zip(begins, spans[1:], strict=True)}
    # A name that is there twice, or another form: the reader of whole files says what is wrong, and in which line.
    if len(texts) != len(begins) or "\r" in source.text or _OTHER.search(source.text):
        return source.accept(parse_chips(source.text, {}))

    def read(name: str) -> Chip:
        start, end = texts[name]
        lines = "\n" * source.text.count("\n", 0, start)  # problems name the line
        # The whole of a partition may be any other entry: it is looked up in `chips`, and read then.
        return source.accept(parse_chips(lines + source.text[start:end], chips))[name]

    chips = OnDemand(texts, read)
    return chips


def lines_of(text: str) -> dict[str, dict[str, int]]:
    """Return the line of each accelerator of a file that parses, under ``""``, and of each of its fields."""
    root = _root(text)
    return {
        key.value: {"": _line(key), **{field.value: _line(field) for field, _ in value.value}}
        for key, value in (root.value if root else ())
        if isinstance(value, yaml.MappingNode)
    }


def _root(text: str) -> yaml.Node | None:
    roots = compose(text)
    if len(roots) > 1:
        raise NotYamlError("a second document begins; a catalog file has one", roots[1].start_mark)
    return roots[0] if roots else None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _chip(name: str, key: yaml.Node, value: yaml.Node, problems: list[Problem]) -> Chip | None:
    """Return the chip; None where there is a problem, which is added to ``problems`` with all others of this chip."""
    fields: dict[str, Any] = {}
    wrong: list[Problem] = []
    for field, node in _items(name, value):
        try:
            typed = _field(name, field, node, fields)
        except _ChipError as error:
            typed = None
            wrong.append(Problem(_line(error.node), str(error), field.value))
        fields.setdefault(field.value, typed)
    bad = {problem.column for problem in wrong}
    given = {field: typed for field, typed in fields.items() if typed is not None}
    wrong += [
        Problem(_line(key), f"{name}: field {field} is missing", field)
        for field in CHIPS.required
        if field not in bad and field not in (fields if field == _NULLABLE else given)
    ]
    if not wrong and "detected_type" not in given and "variant" not in given:
        text = f"{name}: detected_type is null, so variant is needed: a node must announce some type"
        wrong.append(Problem(_line(key), text, "variant"))
    problems += wrong
    return None if wrong else Chip(name=name, **{_NULLABLE: None, **given})


def _field(name: str, field: yaml.ScalarNode, node: yaml.Node, before: Mapping[str, Any]) -> object:
    if field.value not in CHIPS.names:
        raise _ChipError(field, f"{name}: field {shown(field.value)} is not known{hint(field.value, CHIPS.names)}")
    if field.value in before:
        raise _ChipError(field, f"{name}: field {field.value} appears twice; keep one of the two")
    if _is_null(node):
        return None
    return _value(f"{name}: {field.value}", node, CHIPS.column(field.value).value)


def _wrong_partitions(chips: Mapping[str, Chip], lines: Mapping[str, int], known: Mapping[str, Chip]) -> list[Problem]:
    problems = []
    for chip in chips.values():
        if chip.partition_of is None:
            continue
        whole = chips.get(chip.partition_of) or known.get(chip.partition_of)
        at = lines[chip.name]
        if whole is None or whole.partition_of:
            text = f"{chip.name}: partition_of is {chip.partition_of}; expected a whole accelerator's name"
            problems.append(Problem(at, text + hint(chip.partition_of, [*known, *chips]), "partition_of"))
        # With a type of Ray's, a task that asks for a whole L4 would be given an eighth of one.
        elif chip.detected_type is not None:
            text = f"{chip.name}: detected_type is {chip.detected_type}; expected null, as for every partition"
            problems.append(Problem(at, text, "detected_type"))
    return problems


def _items(what: str, node: yaml.Node) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise _ChipError(node, f"{what} is {_kind(node)}; expected a mapping")
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _ChipError(key, f"{what} has a key that is {_kind(key)}; expected a word")
    return list(node.value)


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "empty" if _is_null(node) else shown(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == _TAG + "null")


def _value(what: str, node: yaml.Node, value: Value) -> object:
    """Return the typed value of a field, by what the schema says of it."""
    if isinstance(value, ByCloud):
        return {
            _text(what, cloud, NAME): _texts(f"{what}.{cloud.value}", names, value.names)
            for cloud, names in _items(what, node)
        }
    if isinstance(value, ListOf):
        return _texts(what, node, value)
    if isinstance(value, Number) and isinstance(node, yaml.ScalarNode):
        return _read(what, node, value)
    if isinstance(value, Text):
        return _text(what, node, value)
    raise _ChipError(node, f"{what} is {_kind(node)}; expected {value.expected}")


def _texts(what: str, node: yaml.Node, value: ListOf) -> tuple[str, ...]:
    if not isinstance(node, yaml.SequenceNode) or not isinstance(value.of, Text):
        raise _ChipError(node, f"{what} is {_kind(node)}; expected {value.expected}")
    return tuple(_text(what, item, value.of) for item in node.value)


def _text(what: str, node: yaml.Node, value: Text) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag != _TAG + "str" or not node.value.strip():
        raise _ChipError(node, f"{what} is {_kind(node)}; expected text (in quotes where YAML reads a number)")
    return str(_read(what, node, value))


def _read(what: str, node: yaml.ScalarNode, value: Text | Number) -> str | int:
    try:
        return value.value(node.value)
    except ValueError:
        raise _ChipError(node, f"{what} is {_kind(node)}; expected {value.expected}") from None
