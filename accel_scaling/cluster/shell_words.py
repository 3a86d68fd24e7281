"""The simple commands of a shell command line, as words without their quotes; nothing is expanded or run.

Python's shlex knows neither operators without blanks around them, nor comments and continued lines as a shell reads
them. This is no complete shell: the body of a here-document is read as commands, and keywords are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

_BLANK, _OPERATORS = " \t\r", ";&|()\n"
_REDIRECTIONS = "<>"
_KEYWORDS = {
    *("if", "then", "elif", "else", "fi", "while", "until", "do", "done", "for", "case", "esac", "{", "}", "!"),
    *("coproc",),
}
_MOST_CHARACTERS = 100_000  # of one command; a longer one is not read


@dataclass(frozen=True)
class SimpleCommand:
    """One program with its arguments.

    Attributes:
        words: without quotes; what a shell would replace (``$X``, `` `x` ``, ``$(x)``) stays as it is written.
        in_background: an ``&`` ends it.
    """

    words: tuple[str, ...]
    in_background: bool = False


def readable_commands(text: str) -> list[SimpleCommand]:
    """Return the simple commands of a text as `simple_commands` does; none where no shell would read it."""
    try:
        return simple_commands(text)
    except ValueError:
        return []


def simple_commands(text: str) -> list[SimpleCommand]:
    """Return the simple commands of a command line, in their order.

    Args:
        text: as a shell would get it.

    Raises:
        ValueError: a quote or a bracket is not closed, or the text is too long to be a command.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ValueError("too long")
    return _Reader(text).commands()


class _Reader:
    """A place in a text; each method reads one kind of thing, and moves the place behind it."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\\\r\n", "").replace("\\\n", "")
        self._at = 0
        self._found: list[SimpleCommand] = []
        self._words: list[str] = []

    def commands(self) -> list[SimpleCommand]:
        while (letter := self._letter()) is not None:
            if letter in _BLANK:
                self._at += 1
            elif letter == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif letter in _REDIRECTIONS or self._text.startswith(("&>", ">&"), self._at):
                self._redirection()
            elif letter in _OPERATORS:
                self._operator()
            else:
                self._word()
        self._end_command()
        return self._found

    def _letter(self) -> str | None:
        return self._text[self._at] if self._at < len(self._text) else None

    def _operator(self) -> None:
        letter = self._text[self._at]
        doubled = self._text.startswith(letter * 2, self._at)
        self._at += 2 if doubled and letter in ";&|" else 1
        self._end_command(in_background=letter == "&" and not doubled)

    def _end_command(self, *, in_background: bool = False) -> None:
        words = self._words
        while words and words[0] in _KEYWORDS:
            words = words[1:]
        if words:
            self._found.append(SimpleCommand(tuple(words), in_background))
        self._words = []

    def _redirection(self) -> None:
        while (letter := self._letter()) is not None and letter in "<>&|":
            self._at += 1
        while (letter := self._letter()) is not None and letter in _BLANK:
            self._at += 1
        # The file or the number; `<(...)` and `>(...)` have a command there, which is read as one.
        if letter is not None and letter not in _OPERATORS + _REDIRECTIONS:
            words = list(self._words)
            self._word()
            self._words = words

    def _word(self) -> None:
        parts: list[str] = []
        while (letter := self._letter()) is not None and letter not in _BLANK + _OPERATORS + _REDIRECTIONS:
            parts.append(self._part(letter))
        word = "".join(parts)
        # The number in front of a redirection (`2>&1`) belongs to it.
        if not (word.isdigit() and letter is not None and letter in _REDIRECTIONS):
            self._words.append(word)

    def _part(self, letter: str) -> str:
        if letter == "\\":
            self._at += 2
            return self._text[self._at - 1 : self._at]
        if letter == "'":
            return self._until("'", self._at + 1)
        if letter == '"':
            return self._double_quoted()
        if letter == "`":
            return f"`{self._until('`', self._at + 1)}`"
        if self._text.startswith("$(", self._at):
            return self._bracketed()
        self._at += 1
        return letter

    def _until(self, mark: str, start: int) -> str:
        end = self._text.find(mark, start)
        if end < 0:
            raise ValueError(f"no closing {mark}")
        self._at = end + 1
        return self._text[start:end]

    def _double_quoted(self) -> str:
        self._at += 1
        parts: list[str] = []
        while (letter := self._letter()) != '"':
            if letter is None:
                raise ValueError('no closing "')
            if letter == "\\" and self._text[self._at + 1 : self._at + 2] in ("$", "`", '"', "\\"):
                parts.append(self._text[self._at + 1])
                self._at += 2
            elif letter == "`" or self._text.startswith("$(", self._at):
                parts.append(self._part(letter))
            else:
                parts.append(letter)
                self._at += 1
        self._at += 1
        return "".join(parts)

    def _bracketed(self) -> str:
        """Read ``$(...)``, in which there may be more brackets."""
        start, depth = self._at, 0
        while (letter := self._letter()) is not None:
            depth += {"(": 1, ")": -1}.get(letter, 0)
            self._at += 1
            if letter == ")" and depth == 0:
                return self._text[start : self._at]
        raise ValueError("no closing )")
