"""The terminal pictures of the documents show what the commands print now."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType
from typing import Any

import pytest

from accel_scaling.testing.hosts.events import EventKind
from tests.support.contributing import ROOT
from tests.support.document_commands import check_ours
from tests.support.documents import DOCUMENTS, normal, words_of

FOLDER = ROOT / "docs" / "pictures"
MOST_BYTES = 60_000


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_pictures", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclass looks its own annotations up
    spec.loader.exec_module(module)
    return module


MAKE = load()
EACH = pytest.mark.parametrize("picture", MAKE.PICTURES, ids=lambda picture: picture.name)


@pytest.mark.parametrize(
    "picture", [shown for shown in MAKE.PICTURES if not shown.live], ids=lambda picture: picture.name
)
def test_a_picture_shows_what_its_commands_print_now(picture: Any) -> None:
    now = MAKE.plain(MAKE.session(picture))
    assert normal(MAKE.shown(picture)) == normal(now), f"draw it again: python3 docs/pictures/make.py {picture.name}"


@pytest.mark.parametrize("picture", [shown for shown in MAKE.PICTURES if shown.live], ids=lambda picture: picture.name)
def test_a_picture_of_a_rehearsal_shows_a_command_and_words_that_there_are(
    picture: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *lines = MAKE.shown(picture).splitlines()
    assert first == f"$ {picture.commands[0]}"
    MAKE.desk(tmp_path)
    monkeypatch.chdir(tmp_path)
    check_ours(words_of(picture.commands[0])[0], tmp_path)
    words = [match[1] for line in lines if (match := re.match(r" *\d+\.\d s  (\w+)", line))]
    assert {"confirmed", "refused", "terminated", "running", "pending"} <= set(words) <= words_of_a_rehearsal()


def words_of_a_rehearsal() -> set[str]:
    """The words that the timeline is given, read from its callers, and those of the cloud's events."""
    folder = ROOT / "accel_scaling" / "testing" / "rehearse"
    sources = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    words = re.findall(r'"([a-z ]+)", ', sources)
    return {*words, *(kind.value.replace("_", " ") for kind in EventKind)}


@EACH
def test_a_picture_is_small_and_whole_and_asks_nothing_of_the_network(picture: Any) -> None:
    svg = (FOLDER / f"{picture.name}.svg").read_text(encoding="utf-8")
    assert len(svg.encode()) < MOST_BYTES
    assert re.findall(r"https?://[^\"' )]+", svg) == ["http://www.w3.org/2000/svg"]
    drawn = "".join(re.findall(r'<text class="[^"]*-r\d+"[^>]*>([^<]*)</text>', svg))
    assert re.sub(r"\s", "", MAKE.html.unescape(drawn)) == re.sub(r"\s", "", MAKE.shown(picture))


@EACH
def test_no_text_of_a_picture_begins_with_a_space_which_some_viewers_drop(picture: Any) -> None:
    svg = (FOLDER / f"{picture.name}.svg").read_text(encoding="utf-8")
    assert re.findall(r"<text [^>]*textLength[^>]*>(?:&#160;|\s)", svg) == []


@EACH
def test_a_picture_is_in_a_document(picture: Any) -> None:
    assert any(f"pictures/{picture.name}.svg)" in document.read_text(encoding="utf-8") for document in DOCUMENTS)


def test_each_picture_that_is_there_is_one_that_can_be_drawn_again() -> None:
    assert {path.stem for path in FOLDER.glob("*.svg")} == {picture.name for picture in MAKE.PICTURES}
    assert MAKE.main(["nothing"]) == 2
