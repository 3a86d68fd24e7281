"""Contract: docs/design-decisions.md knows every place in Ray's source that looks at the type of a provider."""

from __future__ import annotations

import re
from pathlib import Path

import ray

from accel_scaling._ray import versions
from tests.support.provider_types import places

PAGE = Path(__file__).resolve().parents[2] / "docs" / "design-decisions.md"


def on_the_page() -> set[str]:
    table = PAGE.read_text(encoding="utf-8").partition("| place in Ray |")[2].partition("\n### ")[0]
    return {place for line in table.splitlines() for place in re.findall(r"`([\w/]+\.py: [\w.()]+)`", line)}


def test_no_place_is_new() -> None:
    new = places(Path(ray.__file__).parent) - on_the_page()
    assert new == set(), (
        f"Ray {ray.__version__} looks at the type of a provider in {sorted(new)}, of which docs/design-decisions.md "
        "says nothing: see what it does for type: aws or gcp, do it for ours too, and add a row"
    )


def test_no_place_is_gone() -> None:
    if versions.installed() == versions.CHECKED:  # an older Ray may lack some
        assert on_the_page() - places(Path(ray.__file__).parent) == set()


def test_a_new_place_would_be_found(tmp_path: Path) -> None:
    lines = {
        "subscript": "def f(config):\n    return config['provider']['type'] == 'aws'\n",
        "get": "def f(provider_config):\n    return provider_config.get('type') in ('aws', 'gcp')\n",
        "attribute": "class A:\n    def f(self):\n        return self.provider_type != 'aws'\n",
        "enum": "def f(config):\n    return config.provider in [Provider.AWS]\n",
        "key": "def f(config):\n    return TABLE[config['provider']['type']]\n",
    }
    for name, text in lines.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "other.py").write_text(
        "def f(provider):\n    return provider['region'] == 'aws' or kind['type'] == 1\n"
    )
    assert {place.partition(".")[0] for place in places(tmp_path)} == set(lines)
