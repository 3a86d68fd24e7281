"""The page about verdicts has what the code has: every word, its meaning, a sentence, its exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accel_scaling.boot.verdicts import PAGE, WORDS, VerdictWord, page_of
from accel_scaling.detect.model import Detection

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = re.split(r"^## ", (ROOT / "docs" / f"{PAGE}.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
BY_WORD = {section.split("\n", 1)[0]: section for section in SECTIONS}


def test_the_page_has_one_heading_a_word_in_the_order_of_the_code() -> None:
    assert list(BY_WORD) == [word.value for word in WORDS] == [word.value for word in VerdictWord]


@pytest.mark.parametrize("word", VerdictWord)
def test_each_section_has_the_meaning_a_sentence_the_exit_code_and_what_to_do(word: VerdictWord) -> None:
    section, meaning = BY_WORD[word.value], WORDS[word]
    unwrapped = section.replace("\n", " ")
    assert meaning.meaning in unwrapped
    sample = re.search(rf"^{word.value}: promised .+\nexit code (\d)$", section, re.MULTILINE)
    assert sample, "a sentence with its exit code"
    assert sample[1] == str(meaning.exit_code)
    assert "What to do: " in section


@pytest.mark.parametrize("word", VerdictWord)
def test_the_page_of_a_word_leads_to_its_heading(word: VerdictWord) -> None:
    path, _, anchor = page_of(word).partition("#")
    assert (ROOT / path).is_file()
    assert anchor in {heading.lower() for heading in BY_WORD}


def test_the_table_of_exit_codes_links_to_each_verdict_that_joins() -> None:
    text = (ROOT / "docs" / f"{PAGE}.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| 0 \|.*$", text, re.MULTILINE)
    joining = {word.value for word, meaning in WORDS.items() if meaning.exit_code == 0}
    assert set(re.findall(r"\[(\w+)\]\(#\w+\)", row)) == joining


def test_every_key_of_what_is_detected_is_documented() -> None:
    text = (ROOT / "docs" / "confirmation.md").read_text(encoding="utf-8")
    listed = text[text.index("`detected`, and `detect --json`") :]
    assert [key for key in Detection("nvidia", "GPU").to_json() if f"`{key}`" not in listed] == []
