"""Machine images: Google's public ones by family, as Google documents them; of every other project, any name."""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.gce.api_errors import not_found, wrong_field

if TYPE_CHECKING:
    from collections.abc import Callable

_URL = re.compile(
    r"(?:https://[^/]+/compute/v1/)?(?:projects/(?P<project>[^/]+)/)?global/images/"
    r"(?:family/(?P<family>[a-z0-9-]+)|(?P<name>[a-z0-9-]+))"
)
_FIELD = "resource.disks[0].initializeParams.sourceImage"


@functools.cache
def public() -> dict[tuple[str, str], str]:
    """Return (project, family) -> architecture of the public images."""
    with Path(__file__).with_name("public_images.csv").open(encoding="utf-8", newline="") as file:
        return {(row["project"], row["family"]): row["arch"] for row in csv.DictReader(file)}


def handlers() -> dict[str, Callable[[dict[str, str], Any], dict[str, Any]]]:
    """Return who answers which call about images."""
    return {"compute.images.getFromFamily": _from_family}


def check(disks: list[dict[str, Any]]) -> None:
    """Refuse a disk whose image does not exist.

    Raises:
        ApiError: as Google refuses it.
    """
    for disk in disks:
        image = (disk.get("initializeParams") or {}).get("sourceImage")
        if image is None:
            continue
        found = _URL.fullmatch(image)
        if found is None:
            raise wrong_field(_FIELD, image, "The URL is malformed.")
        if found["family"] and found["project"]:
            _newest(found["project"], found["family"])


def _from_family(parameters: dict[str, str], _body: Any) -> dict[str, Any]:
    return _newest(parameters["project"], parameters["family"])


def _newest(project: str, family: str) -> dict[str, Any]:
    """Return the newest image of a family; a project that is not one of Google's public ones has every family."""
    arch = public().get((project, family))
    if arch is None and any(project == known for known, _ in public()):
        raise not_found(f"projects/{project}/global/images/family/{family}")
    name = f"{family}-v20260401"
    return {
        "kind": "compute#image",
        "name": name,
        "family": family,
        "architecture": arch or "X86_64",
        "status": "READY",
        "selfLink": f"https://www.googleapis.com/compute/v1/projects/{project}/global/images/{name}",
    }
