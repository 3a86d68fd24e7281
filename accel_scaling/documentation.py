"""Links to the pages of the documentation that belong to the installed version, for messages."""

from __future__ import annotations

import re
from pathlib import Path

from accel_scaling.version import __version__

# The same as `Documentation` in pyproject.toml, which no node has; a test compares both. A placeholder as there.
ADDRESS = "https://documentation.invalid/accel_scaling"
CHECKOUT = Path(__file__).resolve().parent.parent
_RELEASE = re.compile(r"\d+\.\d+\.\d+")
_UNRELEASED = "main"  # where the site has the pages of the main branch


def page(name: str, heading: str = "") -> str:
    """Return where the reader finds a page: the file in a checkout, else the page of this version on the site.

    Args:
        name: the page's file in docs/ without its ending, e.g. ``verdicts``.
        heading: the anchor of a heading there, e.g. ``drivermissing``.
    """
    anchor = f"#{heading}" if heading else ""
    return _in_checkout(f"docs/{name}.md", anchor) or f"{_site()}/{name}/{anchor}"


def examples() -> str:
    """Return where the reader finds complete cluster files: the folder in a checkout, else their page on the site."""
    return _in_checkout("example_clusters/") or f"{_site()}/examples/"


def file(path: str) -> str:
    """Return where the reader finds a file of docs/ that is no page, e.g. ``iam/aws-cloudwatch.json``."""
    return _in_checkout(f"docs/{path}") or f"{_site()}/{path}"


def _in_checkout(path: str, anchor: str = "") -> str:
    # A checkout has the pages of exactly its version, also where nobody has published them.
    return path + anchor if (CHECKOUT / path).exists() else ""


def _site() -> str:
    # A version between two releases has no pages of its own on the site.
    return f"{ADDRESS}/{__version__ if _RELEASE.fullmatch(__version__) else _UNRELEASED}"
