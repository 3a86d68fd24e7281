"""The words of a command line by the option that takes them, so options may come before or after the file.

argparse gives an option of several values (`--demand A B`) each word up to the next option, the cluster file too; and
it takes the words for an argument of any number from one place only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.inputs.file_text import is_file

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_NUMBER = re.compile(r"-\d+|-\d*\.\d+")  # as argparse has it: a negative number is no option
_ANY_NUMBER = ("+", "*")
_FILE = re.compile(r"-|.*/.*|.*\.(?:ya?ml|json|csv)", re.DOTALL)


@dataclass
class _Option:
    """One option as it is written, with its words."""

    name: str
    action: argparse.Action | None
    position: int
    values: list[str] = field(default_factory=list)


class Words:
    """The words of a command line, by option.

    Args:
        parser: the command's, complete.
        words: what is typed after the command's name.
    """

    def __init__(self, parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
        self._actions = {name: action for action in parser._actions for name in action.option_strings}  # noqa: SLF001
        self.places = [action for action in parser._actions if not action.option_strings]  # noqa: SLF001
        self.words = list(words)
        self.free: list[str] = []
        self.options: list[_Option] = []
        self._begin = 0  # of the first word that no option takes
        self._read()

    def _read(self) -> None:
        room: float = 0  # how many more words the last option takes
        for position, word in enumerate(self.words):
            if word == "--":
                break
            if _is_option(word):
                name, equals, _ = word.partition("=")
                option = _Option(word, self._action(name), position)
                self.options.append(option)
                room = 0 if equals or option.action is None else _room(option.action)
            elif room:
                self.options[-1].values.append(word)
                room -= 1
            else:
                self._begin = self._begin if self.free else position
                self.free.append(word)

    def _action(self, name: str) -> argparse.Action | None:
        if name in self._actions:
            return self._actions[name]
        begun = {id(action): action for known, action in self._actions.items() if known.startswith(name)}
        if name.startswith("--"):
            return next(iter(begun.values())) if len(begun) == 1 else None
        return self._actions.get(name[:2])  # `-oFILE`

    def unknown_options(self, *, first: bool) -> list[str]:
        """Return the long options that the parser does not have.

        Args:
            first: only those before the first word that no option takes, such as the name of a command.
        """
        until = self._begin if first and self.free else len(self.words)
        return [
            option.name
            for option in self.options
            if option.action is None
            and option.name.startswith("--")
            and option.position < until
            and not self._is_ambiguous(option.name)
        ]

    def _is_ambiguous(self, name: str) -> bool:
        """Return whether a word begins several options; argparse's sentence names them."""
        return sum(known.startswith(name.partition("=")[0]) for known in self._actions) > 1


def ordered(words: Words) -> list[str]:
    """Return the words in the order that argparse takes: those that no option takes come first."""
    if "--" in words.words:  # whoever writes it has decided what is no option
        return words.words
    wanted = sum(1 for place in words.places if place.nargs is None) - len(words.free)
    free = list(words.free)
    for option in reversed(words.options):
        least = 1 if option.action and option.action.nargs == "+" else 0
        for at in range(len(option.values) - 1, least - 1, -1):
            if wanted <= 0 or not (option.action and option.action.nargs in _ANY_NUMBER):
                break
            if _is_meant(option.values[at], words.places[0]):
                free.append(option.values.pop(at))
                wanted -= 1
    rest = [word for option in words.options for word in (option.name, *option.values)]
    return [*free, *rest]


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-" and " " not in word and not _NUMBER.fullmatch(word)


def _room(action: argparse.Action) -> float:
    if action.nargs is None:
        return 1
    if isinstance(action.nargs, int):
        return action.nargs
    return 1 if action.nargs == "?" else float("inf")


def _is_meant(word: str, place: argparse.Action) -> bool:
    """Return whether a word is what an argument wants: one of its choices, or a file."""
    if place.choices:
        return word in place.choices
    return bool(_FILE.fullmatch(word)) or is_file(Path(word))
