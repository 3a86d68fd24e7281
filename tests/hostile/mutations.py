"""Slips and attacks: a text, a JSON text or a command line, changed at random in one to four places."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

LONG = "a" * 5000
HUGE = "1" + "0" * 400
ESCAPE = "\x1b]0;owned\x07\x1b[31m"

# What stands where a value stood: each of another kind than the last, and the extremes of each kind.
VALUES = (
    *("", "~", "null", "true", "no", "on", "0", "-1", "1", "3.7", "1e3", HUGE, "-" + HUGE, "1" * 30, ".nan", ".inf"),
    *("-.inf", "1e400", "0x" + "f" * 300, ":".join(["1"] * 200), "1:" * 150 + "1.5", "2024-13-45", "2024-01-01", "0o7"),
    *(
        "[]",
        "{}",
        "[a]",
        "{a: b}",
        "[[a]]",
        "{a: [b, {c: d}]}",
        "[~]",
        "{~: ~}",
        "[1, 2.5, true]",
        "{1: 2}",
        "{[a]: b}",
    ),
    *("!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "!!binary '='", "!!set {a, b}", "!!omap [a: b]"),
    *(
        "!!python/object/apply:os.system [id]",
        "!mine x",
        "!!str 5",
        "&x *x",
        "&y [*y]",
        "*nowhere",
        "<<",
        "=",
        "|",
        ">",
    ),
    *(
        '"\\0"',
        '"\\e[31m"',
        '"a\\nb"',
        '"\\uD800"',
        "'",
        '"',
        "a\tb",
        LONG,
        f"'{LONG}'",
        "é",
        "\u202e",
        "\u2028",
        "../x",
    ),
    *(
        "/dev/zero",
        "/dev/null",
        "/",
        "~no-such/x",
        "-",
        "--",
        "$(id)",
        "{{ x }}",
        "%s %d",
        "{0}",
        "x" * 70,
        "a b",
        "@",
        "`",
    ),
    *("[" * 300, "{a: " * 200, "- " * 300, "? " * 5, "{" + ", ".join(f"k{n}: v" for n in range(300)) + "}"),
)
TOKENS = (
    *list("[]{}:,-?#&*!|>'\"%@`\\ \n\t\r\0"),
    *("\n  ", "- ", ": ", " #", "---\n", "...\n", "<<: *a0", "\ufeff", "\x85", "\x1b[2J", "%YAML 1.2\n", "\r\n"),
)
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
MERGE_BOMB = "b0: &b0 {k: v}\n" + "".join(f"b{n}: &b{n} {{<<: [*b{n - 1}, *b{n - 1}]}}\n" for n in range(1, 26))
BAD_BYTES = (b"\xff", b"\x80abc", b"\xed\xa0\x80", b"\x00", "\ufeff".encode(), "x".encode("utf-16"))

JSON_VALUES = (
    *("null", "true", "0", "-1", "1.5", HUGE, "1e400", "-1e400", "NaN", "Infinity", '""', '"x"', "[]", "{}", "[1]"),
    *(
        '{"a": 1}',
        "[" * 3000,
        '{"a":' * 500,
        json.dumps(LONG),
        json.dumps(ESCAPE),
        '"\\ud800"',
        "1" * 50,
        "1e-400",
        "",
        "x",
    ),
    *(json.dumps({f"k{n}": n for n in range(300)}), json.dumps({LONG: 1}), '"\\u0000"', "99999999999999999999", "-0"),
)
ARGUMENTS = (
    *("", " ", "-", "--", "-1", "0", "1", "x", "x1", ":", ":8", "A100:", "A100:0", "A100:-1", "A100:nan", "A100:inf"),
    *("A100:1e400", f"A100:{HUGE}", f"memory:{HUGE}G", f"CPU:{HUGE}", f"A100x{HUGE}", "A100:8x99999999", "A100:0.5x4"),
    *("CPU:4+GPU:1", "GPU", "gpu", "A100,H100:8", ",", "A100,,T4", "+", "A100+", "A100+CPU", "A100+memory:1e9", LONG),
    *(
        HUGE,
        "1" * 5000,
        "²",
        "é",
        ESCAPE,
        "a\nb",
        "\udc80",
        "../..",
        "/dev/zero",
        "/dev/full",
        "/",
        "~",
        "~no-such",
        ".",
    ),
    *("..", "file://x", "nan", "inf", "-inf", "1e309", "1e10", "a=b", "=", "a=", "a=in(b,c)", "a=!in(", "x" * 64, "%s"),
    *("PACK", "STRICT_SPREAD", "v4-16", "v4-" + "9" * 30, "n2-custom-" + "9" * 30, "us-west-2", "us-central1-a", "aws"),
    *("10.0.0.1:6379", "[::1]:1", "host:" + "9" * 30, "A10G", "T4", "L4:1", "Trainium2:16", "(" * 500, "[" * 500, "\\"),
)


def changed(random: Random, data: bytes) -> bytes:
    """Return a text with one to four slips or attacks."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        text = data.decode("utf-8", "surrogateescape")
        data = random.choice(CHANGES)(random, text).encode("utf-8", "surrogateescape")
    if random.randrange(25) == 0:
        place = random.randrange(len(data) + 1)
        data = data[:place] + random.choice(BAD_BYTES) + data[place:]
    return data[:200_000]


def changed_json(random: Random, text: str) -> str:
    """Return a JSON text with values and letters changed."""
    for _ in range(random.randrange(1, 4)):
        spans = [match.span() for match in re.finditer(r'"[^"]*"|-?\d[\d.]*|true|false|null|\[\]|\{\}', text)]
        if spans and random.randrange(4):
            start, end = random.choice(spans)
            text = text[:start] + random.choice(JSON_VALUES) + text[end:]
        else:
            text = _cut_or_insert(random, text)
    return text


def changed_words(random: Random, words: Sequence[str]) -> list[str]:
    """Return arguments with one or two of them exchanged, doubled, cut or left out."""
    result = list(words)
    for _ in range(random.randrange(1, 3)):
        # Mostly what comes after the command: else little but argparse is tried.
        place = random.randrange(1, len(result)) if len(result) > 1 and random.randrange(9) else 0
        how = random.randrange(6)
        if how == 0:
            result[place : place + 1] = []
        elif how == 1:
            result.insert(place, random.choice(ARGUMENTS))
        elif how == 2 and result:
            word = result[place]
            result[place] = word[: random.randrange(len(word) + 1)] + random.choice(
                ("", ":", "x", "é", "9" * 30, "\x1b")
            )
        else:
            result[place : place + 1] = [random.choice(ARGUMENTS)]
    return [word.replace("\0", "") for word in result]  # the kernel passes no NUL on


def _other_value(random: Random, text: str) -> str:
    """Put another value behind a key or a dash."""
    spans = [match.span(1) for match in re.finditer(r"(?::|-|,|\[)[ ]+([^\n#,\[\]{}]+)", text)]
    if not spans:
        return text + random.choice(VALUES)
    start, end = random.choice(spans)
    return text[:start] + random.choice(VALUES) + text[end:]


def _other_cell(random: Random, text: str) -> str:
    """Put another value into a cell of CSV."""
    spans = [match.span() for match in re.finditer(r"[^,\n]*", text)]
    start, end = random.choice(spans)
    return text[:start] + random.choice((*VALUES, *ARGUMENTS)).replace("\n", " ") + text[end:]


def _other_key(random: Random, text: str) -> str:
    keys = [match.span(1) for match in re.finditer(r"([\w./-]+):(?=\s)", text)]
    if not keys:
        return text
    start, end = random.choice(keys)
    new = text[slice(*random.choice(keys))] if random.randrange(2) else random.choice(VALUES)
    return text[:start] + new + text[end:]


def _cut_or_insert(random: Random, text: str) -> str:
    place = random.randrange(len(text) + 1)
    how = random.randrange(4)
    if how == 0:
        return text[:place] + text[place + random.randrange(1, 40) :]
    if how == 1:
        other = random.randrange(len(text) + 1)
        return text[:place] + text[other : other + random.randrange(1, 200)] + text[place:]
    if how == 2:
        return text[:place]
    return text[:place] + random.choice(TOKENS) + text[place:]


def _lines(random: Random, text: str) -> str:
    """Swap, drop, indent or repeat lines, now and then by the thousand."""
    lines = text.split("\n")
    first, second = random.randrange(len(lines)), random.randrange(len(lines))
    how = random.randrange(5)
    if how == 0:
        lines[first], lines[second] = lines[second], lines[first]
    elif how == 1:
        del lines[first : first + random.randrange(1, 4)]
    elif how == 2:
        lines[first] = " " * random.randrange(1, 5) + lines[first]
    elif how == 3:
        lines[first:first] = lines[second : second + random.randrange(1, 6)]
    else:
        lines[first:first] = [lines[second]] * random.choice((2, 50, 1000))
    return "\n".join(lines)


def _bombed(random: Random, text: str) -> str:
    bomb, name = random.choice(
        ((BOMB, "*a8"), (BOMB, "*a3"), (MERGE_BOMB, "*b25"), (MERGE_BOMB, "{<<: *b25}"), (BOMB, ""))
    )
    spans = [match.span(1) for match in re.finditer(r": +([^\n]+)", text)]
    if name and spans:
        start, end = random.choice(spans)
        text = text[:start] + name + text[end:]
    return bomb + text


CHANGES: tuple[Callable[[Random, str], str], ...] = (
    *(_other_value,) * 5,
    *(_cut_or_insert,) * 3,
    *(_lines,) * 3,
    _other_key,
    _other_key,
    _other_cell,
    _bombed,
)
