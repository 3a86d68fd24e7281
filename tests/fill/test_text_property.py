"""The fill of files in many styles: each line of the author's stays, and the text means exactly the filled values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_scaling.catalog.load import shipped_catalog
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


@settings(max_examples=150, deadline=None)
@given(text=cluster_texts())
def test_the_text_means_the_filled_values_and_keeps_the_authors_lines(file: Path, text: str) -> None:
    filled, notes = filled_text(file, text)
    assert values(filled) == with_keys_needed_by_ray(fill(values(text), shipped_catalog())[0])
    assert "printed anew" not in notes
    assert lost_lines(text, filled) == []
    assert filled.count("\r\n") == (filled.count("\n") if "\r\n" in text else 0)
    assert filled.endswith("\n") == text.endswith("\n")


@settings(max_examples=60, deadline=None)
@given(text=cluster_texts())
def test_a_second_fill_changes_not_a_byte(file: Path, text: str) -> None:
    filled, _ = filled_text(file, text)
    assert filled_text(file, filled)[0] == filled


@settings(max_examples=60, deadline=None)
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
