"""Plain English: words that are not used, each with what to write instead (tests/data/words_not_used.csv)."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

LIST = ROOT / "tests" / "data" / "words_not_used.csv"
SUFFIXES = {".py", ".md", ".sh", ".yaml", ".csv"}
# The list itself, the glossary, which names such words, recorded files, and a text of others.
NOT_OURS = ("tests/test_words.py", "tests/data/", "tests/wild/", "docs/glossary.md", "CODE_OF_CONDUCT.md", "LICENSE")
# Their strings are not printed to users.
NOT_READ = ("tests/", "benchmarks/", ".github/")
# Between two words of a phrase: a line break, with what begins the next line of a comment or a string.
GAP = re.compile(r'(?:\s*\n\s*#\s|"\s*\n\s*[rf]*"|\s)+')


@dataclass(frozen=True)
class Phrase:
    """A row of the list.

    Attributes:
        words: what is not used, in lower case.
        instead: what to write.
        because: the reason.
        everywhere: also in docstrings, comments and names of tests; False: only in what users read.
    """

    words: str
    instead: str
    because: str
    everywhere: bool

    @property
    def pattern(self) -> re.Pattern[str]:
        """The words as whole words."""
        return re.compile(rf"(?<![\w'-]){re.escape(self.words)}(?![\w-])" if self.words[0].isalpha() else self.words)


def phrases() -> list[Phrase]:
    """Return the rows of the list."""
    with LIST.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [Phrase(row["words"], row["instead"], row["because"], row["where"] == "all") for row in rows]


def files() -> list[Path]:
    """Return the project's files with words in them."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    paths = [ROOT / name for name in names if Path(name).suffix in SUFFIXES and not name.startswith(NOT_OURS)]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


@dataclass(frozen=True)
class Prose:
    """A text of a file: its first line, and whether users read it."""

    line: int
    text: str
    is_read: bool


def prose(name: str, text: str) -> Iterator[Prose]:
    """Yield the texts of a file; of Python: strings, comments and names of tests, no code."""
    if not name.endswith(".py"):
        yield Prose(1, text, is_read=True)
        return
    before = tokenize.NEWLINE  # the last token that is neither a comment nor a line break within a statement
    run: list[tokenize.TokenInfo] = []  # strings or comments that follow each other
    is_message = False
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_prose = _kind(token) in {tokenize.STRING, tokenize.COMMENT}
        if run and not (token.type == tokenize.NL or (is_prose and _kind(token) == _kind(run[0]))):
            yield _prose_of(run, is_read=is_message and not name.startswith(NOT_READ))
            run = []
        if is_prose:
            if not run:
                is_message = _kind(token) == tokenize.STRING and before not in _BEFORE_A_DOCSTRING
            run.append(token)
        elif token.type == tokenize.NAME and token.string.startswith("test_"):
            yield Prose(token.start[0], token.string.replace("_", " "), is_read=False)
        if _kind(token) not in {tokenize.NL, tokenize.COMMENT}:
            before = _kind(token)


_BEFORE_A_DOCSTRING = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def _kind(token: tokenize.TokenInfo) -> int:
    """Return the type of a token; the parts of an f-string, which newer Pythons have, are strings."""
    return tokenize.STRING if tokenize.tok_name[token.type].startswith("FSTRING") else token.type


def _prose_of(run: list[tokenize.TokenInfo], *, is_read: bool) -> Prose:
    """Return strings or comments that follow each other as one text."""
    return Prose(run[0].start[0], "\n".join(token.string for token in run), is_read=is_read)


def flat(text: str) -> str:
    """Return a text in lower case, with one blank between two words."""
    return GAP.sub(" ", text.lower())


def found_in(name: str, text: str, rows: list[Phrase]) -> Iterator[str]:
    """Yield a sentence for each phrase in a text: file, line, words, and what to write."""
    lowered = flat(text).replace("_", " ")
    is_read = not (name.startswith(NOT_READ) and name.endswith(".py"))
    rows = [row for row in rows if row.words in lowered and (row.everywhere or is_read)]
    if not rows:
        return
    for part in prose(name, text):
        for row in rows:
            if not (row.everywhere or part.is_read) or row.words not in flat(part.text):
                continue
            for match in re.finditer(row.pattern.pattern.replace(r"\ ", GAP.pattern), part.text, re.IGNORECASE):
                line = part.line + part.text.count("\n", 0, match.start())
                yield f"{name}:{line}: {row.words!r}: write {row.instead} ({row.because})"


PLANTED = """# A machine that is left
# alone, and a file that lies in a folder.
def test_a_key_goes_with_its_value():
    raise ValueError(
        f"{key}: nobody asked, so that it is spelt "
        f"right"
    )
"""


def test_each_phrase_is_found_with_file_line_and_what_to_write() -> None:
    found = [sentence.split(": write")[0] for sentence in found_in("accel_scaling/x.py", PLANTED, phrases())]
    assert found == [
        "accel_scaling/x.py:1: 'left alone'",
        "accel_scaling/x.py:2: 'lies in'",
        "accel_scaling/x.py:3: 'goes with'",
        "accel_scaling/x.py:5: 'spelt right'",
        "accel_scaling/x.py:5: ', so that'",
        "accel_scaling/x.py:5: 'nobody'",
    ]


def test_code_and_what_only_tests_print_are_not_prose() -> None:
    assert not list(found_in("accel_scaling/x.py", "left = alone(mend, torn)\n", phrases()))
    assert not list(found_in("tests/x.py", 'assert said == "nobody"\n', phrases()))
    (found,) = found_in("docs/x.md", "One.\nIt is to be\nhad.\n", phrases())
    assert found == "docs/x.md:2: 'to be had': write offered, or available (an old idiom)"


def test_the_list_has_each_phrase_once_with_a_reason() -> None:
    rows = phrases()
    assert len({row.words for row in rows}) == len(rows)
    assert all(row.instead and row.because and row.words == row.words.lower() for row in rows)


def test_no_text_has_words_that_are_not_used() -> None:
    rows = phrases()
    found = [
        sentence
        for path in files()
        for sentence in found_in(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"), rows)
    ]
    assert not found, f"{len(found)} phrases to replace:\n" + "\n".join(found)
