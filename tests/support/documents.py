"""The documents of this repository, and their fenced blocks as people read them.

```console has `$ commands` with their output, a line `...` standing for any lines; ```sh has commands only. A comment
before a block gives what it needs: `<!-- file: NAME -->` writes the block to a file for the commands after it;
`<!-- machine: TYPE [FAULT] -->` runs it on an emulated machine of that EC2 type, with that type's promise set as Ray
sets it; `<!-- source: PATH -->` says that the block is that file of the repository; `<!-- add: PATH -->` adds the
block to that file, in a copy of the repository in which the document's commands then run.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.support.contributing import GUIDE, ROOT

README = ROOT / "README.md"
DOCUMENTS = [README, GUIDE, *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]

FENCE = re.compile(
    r"(?:<!-- (?P<key>\w+): (?P<value>.+?) -->\n+)?^(?P<pad> *)```(?P<language>\w*)\n(?P<body>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
VERSION = re.compile(r"\b\d+\.\d+\.\d+\+[0-9a-f]{8}\b")
ASSIGNMENT = re.compile(r"[A-Z_]+=.*")
SECONDS = re.compile(r"\b(?<=took )\d+\.\d s\b")
COUNTS = re.compile(r"\b\d{4} machine types, \d+ accelerators")


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    document: Path
    line: int
    language: str
    body: str
    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a `sh` or `console` block."""
        return [command for command, _ in self.steps]

    @property
    def steps(self) -> list[tuple[str, str]]:
        """Each command with the output that the document shows."""
        if self.language == "sh":
            return [(line, "") for line in self.body.splitlines() if line and not line.startswith("#")]
        parts = re.split(r"^\$ ", self.body, flags=re.MULTILINE)
        assert parts[0] == "", f"{self}: a console block begins with `$ `"
        return [(first, rest) for first, _, rest in (part.partition("\n") for part in parts[1:])]


def blocks_of(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    blocks = []
    for match in FENCE.finditer(text):
        body = re.sub(f"^{match['pad']}", "", match["body"], flags=re.MULTILINE)
        line = text.count("\n", 0, match.start("language")) + 1
        blocks.append(Block(document, line, match["language"], body, match["key"] or "", match["value"] or ""))
    return blocks


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
CONSOLE = [block for block in BLOCKS if block.language == "console"]
SHELL = [(block, command) for block in BLOCKS if block.language in {"sh", "console"} for command in block.commands]


def words_of(command: str) -> list[list[str]]:
    """Return the words of each simple command of a line joined by `&&` and `;`."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    simple: list[list[str]] = [[]]
    for word in lexer:
        if word in {"&&", ";"}:
            simple.append([])
        elif simple[-1] or not ASSIGNMENT.fullmatch(word):  # variables before a program are the shell's
            simple[-1].append(word)
    return simple


def write_files(document: Path, desk: Path) -> None:
    for block in blocks_of(document):
        if block.key == "file":
            (desk / block.value).write_text(block.body, encoding="utf-8")


def normal(text: str) -> str:
    """Return a text in which what changes is the same: the catalog's version, how many rows it has, and seconds."""
    text = SECONDS.sub("N s", text)
    return COUNTS.sub("N machine types, N accelerators", VERSION.sub("VERSION", text))


def pattern_of(shown: str) -> str:
    """Return a pattern for what a command prints into a pipe; a document may show its lines wrapped."""
    pattern = re.escape(normal(shown)).replace(re.escape("...\n"), "(?:.*\n)*?")
    return re.sub(r"\\\n((?:\\ )*)(?=.)", lambda match: f"(?:\\\n{match[1]}| )", pattern)
