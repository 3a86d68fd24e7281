"""Checks, and walks over, values that another user has read from YAML or JSON, as `ray up` does for a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling.inputs.bounds import DEEPEST, LONGEST_NAME, MOST_VALUES
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_WHOLE = 2**64  # no cloud's number and none of Ray's is larger


class UnusableValueError(ValueError):
    """A value beyond the bounds; the text begins with its place, such as ``provider.region``."""


def check(value: Any) -> None:
    """Refuse a value that could not be printed, compared or counted within a second.

    Args:
        value: dicts, lists and scalars in each other, as YAML and JSON have them.

    Raises:
        UnusableValueError: it holds too much (aliases of aliases), itself, a name of thousands of letters, or a number
            of hundreds of digits.
    """
    _Counter().count(value, ())


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text below a value with its place, as ``available_node_types.head.node_config.ImageId``."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from texts(inner, f"{path}[{number}]")


class _Counter:
    """Counts what a value holds, each list and mapping once: YAML's aliases are one object in many places."""

    def __init__(self) -> None:
        self._counted: dict[int, int] = {}
        self._open: set[int] = set()

    def count(self, value: Any, path: tuple[object, ...]) -> int:
        """Return how many values a value is, itself included."""
        if not isinstance(value, (dict, list, tuple, set)):
            if isinstance(value, int) and abs(value) >= _MOST_WHOLE:
                raise UnusableValueError(f"{_at(path)} is {shown(value)}, which is too large; write a smaller one")
            return 1
        if id(value) in self._counted:
            return self._counted[id(value)]
        if id(value) in self._open:
            raise UnusableValueError(f"{_at(path)} contains itself through an alias; write it in full")
        if len(path) > DEEPEST:
            raise UnusableValueError(f"{_at(path[:3])} is nested too deeply, in more than {DEEPEST} levels")
        self._open.add(id(value))
        total = 1 + self._of_items(value, path)
        if total > MOST_VALUES:
            raise UnusableValueError(
                f"{_at(path)} holds more than {MOST_VALUES:,} values, with each alias (*name) written out; write fewer"
            )
        self._open.discard(id(value))
        self._counted[id(value)] = total
        return total

    def _of_items(self, value: Any, path: tuple[object, ...]) -> int:
        if not isinstance(value, dict):
            return sum(self.count(item, (*path, number)) for number, item in enumerate(value))
        total = 0
        for key, item in value.items():
            check_name(key, path)
            total += 1 + self.count(item, (*path, key))
        return total


def check_name(name: object, path: tuple[object, ...] = ()) -> None:
    """Refuse a key that is too long, or has a character that no terminal and no log shows.

    Raises:
        UnusableValueError: it is such a key.
    """
    if not isinstance(name, str):
        return
    if len(name) > LONGEST_NAME:
        raise UnusableValueError(
            f"{_at(path)} has the key {shown(name)}; a key has at most {LONGEST_NAME:,} characters"
        )
    if any(ord(char) < ord(" ") or ord(char) == 0x7F for char in name):
        raise UnusableValueError(f"{_at(path)} has the key {shown(name)} with a control character; remove it")


def _at(path: tuple[object, ...]) -> str:
    keys = list(path)
    while keys and isinstance(keys[-1], int):  # items of lists: of a bomb, of lists in lists
        keys.pop()
    return ".".join(str(part) for part in keys) or "it"
