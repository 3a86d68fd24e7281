"""The fill of files in many styles: each line of the author's stays, and the text means exactly the filled values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import AccelScalingError
from accel_scaling.fill.defaults import with_keys_needed_by_ray
from accel_scaling.fill.fill import fill
from tests.support.cluster_texts import MACHINES, cluster_texts, filled_text, values


@pytest.fixture(scope="module", name="file")
def file_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("texts") / "cluster.yaml"


def is_kept(line: str, now: str) -> bool:
    """A line of the author's stays as it is, but where its value is empty or ends a part in braces."""
    if line.strip("\r\n") == now.strip("\r\n"):  # the last line may have no break, and gets one
        return True
    if re.sub(r" (\{\}|\[\]|~|&o \[\])", "", line).strip("\r\n") == now.strip("\r\n"):
        return True
    inside = re.split(r"[}\]]|,?\s*$", line)[0]
    return ("{" in line or "}" in line or line.startswith("      ")) and now.startswith(inside.rstrip(",\r\n"))


def lost_lines(before: str, after: str) -> list[str]:
    """Return the author's lines that do not come in the same order."""
    rest = iter(after.splitlines(keepends=True))
    return [line for line in before.splitlines(keepends=True) if not any(is_kept(line, now) for now in rest)]


@settings(max_examples=80, deadline=None)
@given(text=cluster_texts())
def test_the_text_means_the_filled_values_and_keeps_the_authors_lines(file: Path, text: str) -> None:
    filled, notes = filled_text(file, text)
    assert values(filled) == with_keys_needed_by_ray(fill(values(text), shipped_catalog())[0])
    assert "printed again" not in notes
    assert lost_lines(text, filled) == []
    assert filled.count("\r\n") == (filled.count("\n") if "\r\n" in text else 0)
    assert filled.endswith("\n") == text.endswith("\n")


@settings(max_examples=40, deadline=None)
@given(text=cluster_texts())
def test_a_second_fill_changes_not_a_byte(file: Path, text: str) -> None:
    filled, _ = filled_text(file, text)
    assert filled_text(file, filled)[0] == filled


@settings(max_examples=40, deadline=None)
@given(text=cluster_texts(), machine=st.sampled_from(MACHINES[1:]), other=st.sampled_from(MACHINES[1:]))
def test_after_a_change_of_the_machine_the_fill_follows_as_if_it_had_never_filled(
    file: Path, text: str, machine: str, other: str
) -> None:
    filled, _ = filled_text(file, text)
    # Only in node_config: in the fill's own lines the old one stays.
    name = rf"(\"?InstanceType\"?: ['\"]?){re.escape(machine)}\b"
    again, notes = filled_text(file, re.sub(name, rf"\g<1>{other}", filled))
    fresh, _ = filled_text(file, re.sub(name, rf"\g<1>{other}", text))
    assert values(again) == values(fresh)
    assert "changed by hand" not in notes
    assert lost_lines(re.sub(name, rf"\g<1>{other}", text), again) == []


@st.composite
def changed_lines(draw: st.DrawFn, lines: list[str]) -> str:
    """Draw a filled file that a user went over: lines gone, twice, moved, cut, or with another value or comment."""
    for _ in range(draw(st.integers(1, 4))):
        number = draw(st.integers(0, len(lines) - 1))
        line = lines[number]
        change = draw(st.sampled_from(["delete", "twice", "move", "cut", "value", "mark", "comment", "indent"]))
        if change in ("delete", "move"):
            del lines[number]
        if change in ("twice", "move"):
            lines.insert(draw(st.integers(0, len(lines))), line)
        if change == "cut":
            lines[number] = line[: draw(st.integers(0, len(line)))] + "\n"
        if change == "value":
            lines[number] = re.sub(r": [\w.-]+", draw(st.sampled_from([": 7", ": {}", ": [x]", ":", ": |-\n"])), line)
        if change == "mark":
            lines[number] = line.rstrip() + draw(
                st.sampled_from(["  # accel-scaling fill: 7\n", " # accel-scaling fill\n"])
            )
        if change == "comment":
            lines.insert(number, "      # Ask Maria\n")
        if change == "indent":
            lines[number] = "  " + line
    return "".join(lines)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), text=cluster_texts())
def test_a_filled_file_that_a_user_went_over_is_filled_or_refused_in_one_sentence(
    file: Path, data: st.DataObject, text: str
) -> None:
    filled, _ = filled_text(file, text)
    edited = data.draw(changed_lines(filled.splitlines(keepends=True)))
    try:
        again, notes = filled_text(file, edited)
    except AccelScalingError as error:
        assert "\n" not in str(error)
        return
    comments = [len(re.findall("^ *# Ask Maria", written, re.MULTILINE)) for written in (edited, again)]
    assert comments[0] == comments[1] or "printed again" in notes
    assert filled_text(file, again)[0] == again
