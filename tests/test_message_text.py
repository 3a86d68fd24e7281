"""Values in messages are short, and no terminal obeys them; and no message shows a value whole."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from accel_scaling.errors import AccelScalingError
from accel_scaling.message_text import LONGEST_WORD, printable, sentence, shown
from tests.hostile.structures import bomb

ROOT = Path(__file__).resolve().parents[1]
# Not messages to users: programs that are written, and modules that say that they lack a name.
WHOLE = {
    "accel_scaling/_ray/__init__.py",  # names in the code, of nobody else
    "accel_scaling/detect/vendor_package.py",
    "accel_scaling/families/__init__.py",
    "accel_scaling/families/probe.py",
    "accel_scaling/testing/devices/vendor_packages.py",
    "accel_scaling/testing/hosts/image_site.py",
    "accel_scaling/testing/hosts/processes.py",
    "providers/aws/__init__.py",
    "providers/gcp/__init__.py",
}


@pytest.mark.parametrize("value", ["x", "it's", 5, 3.7, None, True, [], ["a"], {"a": [1, {"b": None}]}, (1,), 2**64])
def test_a_value_of_ordinary_size_is_shown_as_python_writes_it(value: Any) -> None:
    assert shown(value) == repr(value)


HUGE: dict[str, Any] = {
    "text": "x" * 10**7,
    "number": 10**5000,
    "negative": -(10**400),
    "bomb": bomb(),
    "mapping": {f"k{n}": n for n in range(10**5)},
    "bytes": b"x" * 10**5,
}


@pytest.mark.parametrize("value", HUGE)
def test_a_value_of_any_size_is_short(value: str) -> None:
    assert len(shown(HUGE[value])) < 300


def test_a_number_is_told_by_its_digits() -> None:
    assert shown(10**400) == "a whole number of 401 digits"


def test_control_characters_are_spelt() -> None:
    assert printable("a\x1b[31mb\x07\x9b\u202e\r") == "a\\x1b[31mb\\x07\\x9b\\u202e\\r"
    assert printable("tab\tand\nline é") == "tab\tand\nline é"
    assert str(AccelScalingError("node \x1b]0;x\x07")) == "node \\x1b]0;x\\x07"


def test_a_long_word_is_cut_in_its_middle() -> None:
    assert sentence("the file " + "a" * LONGEST_WORD + " is") == "the file " + "a" * LONGEST_WORD + " is"
    assert sentence("the file " + "a" * 5000 + " is") == f"the file {'a' * 90}...{'a' * 30} (5,000 characters) is"


def test_no_message_shows_a_value_whole() -> None:
    """``{value!r}`` of what a user gave may be millions of characters: ``shown`` is short."""
    found: list[str] = []
    for path in [*(ROOT / "accel_scaling").rglob("*.py"), *(ROOT / "providers").rglob("*.py")]:
        name = str(path.relative_to(ROOT))
        if name in WHOLE or name.startswith(("accel_scaling/providers", "accel_scaling/catalogs")):
            continue
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        whole = (node for node in nodes if isinstance(node, ast.FormattedValue) and node.conversion == ord("r"))
        found += [f"{name}:{node.lineno}" for node in whole]
    assert not found, f"write {{shown(value)}}: {found}"
