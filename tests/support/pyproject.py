"""What pyproject.toml says."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.support.contributing import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it where Python does not


@pytest.fixture(name="project", scope="session")
def project_fixture() -> dict[str, Any]:
    """The whole file."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
