"""Reads YAML as nodes, each with its place in the text, within bounds: nothing is printed or copied before they hold.

PyYAML makes nodes without asking how many there are, and turns them into values by spelling merge keys out: some lines
of aliases of aliases keep it busy for hours. Here they are counted while they are made.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

import yaml
from yaml import events

from accel_scaling.inputs.bounds import DEEPEST, LONGEST_NUMBER, MOST_VALUES
from accel_scaling.inputs.values import UnusableValueError, check_name
from accel_scaling.message_text import shown

# libyaml where PyYAML was built with it: ten times faster than the loader that is written in Python.
FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""Writes the same text as ``yaml.safe_dump``, three times faster."""
RAYS: Any = yaml.SafeLoader
"""The loader of `ray up` (``yaml.safe_load``). libyaml accepts more, such as a tab within text."""

# Up to here a file is read by Ray's own loader, which takes 0.1 s for it; typical cluster files have 2 KB.
_SMALL = 16_384
# Text that both loaders read alike has none of these, as tests/inputs shows: a tab, a line break other than \n,
# a directive, a tag or a `?`, an escape that only one knows, a colon that a bracket follows, a comment at `|` or `>`.
_ONLY_FOR_RAYS = re.compile(
    r"[^\n -~\u00a1-\u2027\u202a-\ud7ff\ue000-\ufefe]|^%|[!?]|\\[^abefnrtv0\"\\NLP_ ]|:[\[\]{},]|[|>][-+0-9]*#",
    re.MULTILINE,
)
_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_NODES = {events.ScalarEvent, events.SequenceStartEvent, events.MappingStartEvent}


class NotYamlError(Exception):
    """A text that is not YAML, or goes beyond the bounds.

    Attributes:
        problem: what is wrong.
        line: where, counted from 1; None where it is nowhere in particular.
        column: the same.
        grammar: whether it breaks the rules of YAML, not a bound.
    """

    def __init__(self, problem: str, mark: Any = None, *, grammar: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = int(mark.line) + 1 if mark else None
        self.column = int(mark.column) + 1 if mark else None
        self.grammar = grammar


def compose(text: str, *, like_ray: bool = False) -> list[yaml.Node]:
    """Return the root node of each document that has one.

    Args:
        text: one or several YAML documents.
        like_ray: accept what `ray up` accepts, and nothing else; Kubernetes accepts what libyaml does.

    Raises:
        NotYamlError: it is not YAML, or goes beyond a bound.
    """
    loader = RAYS if like_ray and (len(text) <= _SMALL or _ONLY_FOR_RAYS.search(text)) else FAST
    reader = None
    try:
        reader = loader(text)
        return _Composer(reader).documents()
    except yaml.YAMLError as error:
        raise _mistake(_plainer(text, error) if loader is FAST else error) from None
    finally:
        if reader is not None:
            reader.dispose()


def construct(root: yaml.Node) -> Any:
    """Return what a node means, as ``yaml.safe_load`` does.

    Raises:
        NotYamlError: a value is none that Python can hold, or its tag is not one of YAML's own.
    """
    try:
        return _constructed(root)
    except yaml.YAMLError as error:
        raise _mistake(error) from None
    # What PyYAML's constructors raise for `!!int ""`, `!!bool x`, 2024-13-45, or numbers to the base of 60.
    except (ValueError, LookupError, AttributeError, ArithmeticError, TypeError) as error:
        raise _unusable_scalar(root) or NotYamlError(f"a value cannot be read: {error}") from None


def _constructed(node: yaml.Node) -> Any:
    return yaml.SafeLoader("").construct_document(node)


def _unusable_scalar(root: yaml.Node) -> NotYamlError | None:
    """Return the error of the first scalar that cannot be constructed alone."""
    waiting, seen = [root], {id(root)}
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.ScalarNode):
            try:
                _constructed(node)
            except (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError, TypeError) as error:
                reason = str(error) if isinstance(error, ValueError) else f"it is no {node.tag.rpartition(':')[2]}"
                return NotYamlError(reason, node.start_mark)
        fresh = [child for child in reversed(children(node)) if id(child) not in seen]
        seen.update(map(id, fresh))
        waiting += fresh
    return None


def children(node: yaml.Node) -> list[yaml.Node]:
    """Return the nodes in a node: keys and values, or items."""
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


class _Open:
    """A list or mapping whose end has not come: its node, how many values it has, and the key that waits for one."""

    def __init__(self, node: yaml.Node, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.values = 1
        self.key: yaml.Node | None = None


class _Composer:
    """Makes nodes of a loader's events. Not by PyYAML's own composer, which calls itself and counts nothing."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._anchors: dict[str, yaml.Node] = {}
        self._values: dict[int, int] = {}  # of each complete list and mapping
        self._open: list[_Open] = []
        self._root: yaml.Node | None = None

    def documents(self) -> list[yaml.Node]:
        """Return the root of each document."""
        roots: list[yaml.Node] = []
        while (event := self._reader.get_event()) is not None:
            kind = type(event)
            if kind in _NODES:
                self._begin(event, kind)
            elif kind is events.AliasEvent:
                self._add(self._aliased(event), event.start_mark)
            elif kind is events.SequenceEndEvent or kind is events.MappingEndEvent:
                self._end(event)
            elif kind is events.DocumentStartEvent:
                self._anchors, self._values, self._root = {}, {}, None
            elif kind is events.DocumentEndEvent and self._root is not None:
                roots.append(self._root)
        return roots

    def _begin(self, event: Any, kind: type) -> None:
        if event.anchor is not None and event.anchor in self._anchors:
            raise yaml.composer.ComposerError(None, None, "found duplicate anchor", event.start_mark)
        node = self._node(event, kind)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        if isinstance(node, yaml.ScalarNode):
            self._add(node, event.start_mark)
            return
        if len(self._open) >= DEEPEST:
            raise NotYamlError("it is nested too deeply", event.start_mark)
        self._open.append(_Open(node, event.anchor))

    def _node(self, event: Any, kind: type) -> yaml.Node:
        tag, resolve = event.tag, self._reader.resolve
        resolved = tag is None or tag == "!"
        if kind is events.ScalarEvent:
            tag = resolve(yaml.ScalarNode, event.value, event.implicit) if resolved else tag
            if tag in _NUMBERS and len(event.value) > LONGEST_NUMBER:
                number = f"{event.value[:12]}... has {len(event.value):,} digits"
                raise NotYamlError(f"the number {number}; at most {LONGEST_NUMBER} are read", event.start_mark)
            return yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark, style=event.style)
        made = yaml.SequenceNode if kind is events.SequenceStartEvent else yaml.MappingNode
        tag = resolve(made, None, event.implicit) if resolved else tag
        return made(tag, [], event.start_mark, None, flow_style=event.flow_style)

    def _aliased(self, event: Any) -> yaml.Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise yaml.composer.ComposerError(
                None, None, f"found undefined alias {shown(event.anchor)}", event.start_mark
            )
        if any(entry.node is node for entry in self._open):
            raise NotYamlError("an anchor contains itself; write it in full", node.start_mark)
        return node

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        done.node.end_mark = event.end_mark
        self._values[id(done.node)] = done.values
        self._add(done.node, event.start_mark)

    def _add(self, node: yaml.Node, mark: Any) -> None:
        """Put a node into the list or mapping that is open; count it with all that it stands for."""
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        parent.values += self._values.get(id(node), 1)
        if parent.values > MOST_VALUES:
            raise NotYamlError(
                f"it holds more than {MOST_VALUES:,} values, with each alias (*name) written out; write fewer", mark
            )
        if isinstance(parent.node, yaml.SequenceNode):
            parent.node.value.append(node)
        elif parent.key is None:
            _check_key(node)
            parent.key = node
        else:
            parent.node.value.append((parent.key, node))
            parent.key = None


def _check_key(node: yaml.Node) -> None:
    if isinstance(node, yaml.ScalarNode):
        try:
            check_name(node.value)
        except UnusableValueError as error:
            raise NotYamlError(str(error), node.start_mark) from None


def _plainer(text: str, error: yaml.YAMLError) -> yaml.YAMLError:
    """Return the same error by the loader that is written in Python: its words are plainer and its places exact."""
    mark = getattr(error, "problem_mark", None)
    # It is ten times slower, and has no use for what comes after the mistake.
    part = text if mark is None else text[: getattr(mark, "index", len(text)) + _SMALL]
    if len(part) > 4 * _SMALL:
        return error
    with contextlib.suppress(RecursionError, NotYamlError):
        try:
            _Composer(RAYS(part)).documents()
        except yaml.YAMLError as plainer:
            return plainer
    return error


def _mistake(error: yaml.YAMLError) -> NotYamlError:
    if isinstance(error, yaml.reader.ReaderError):
        return NotYamlError(f"it has the character {shown(error.character)}, which YAML does not take", grammar=True)
    problem = str(getattr(error, "problem", None) or error)
    if "nesting depth" in problem:  # libyaml has a bound of its own, which it may meet first
        return NotYamlError("it is nested too deeply", getattr(error, "problem_mark", None))
    # PyYAML says only that a tab "cannot start any token".
    hint = "; indent with spaces: YAML takes no tabs" if "'\\t'" in problem else ""
    return NotYamlError(f"{' '.join(problem.split())}{hint}", getattr(error, "problem_mark", None), grammar=True)
