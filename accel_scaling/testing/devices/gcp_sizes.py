"""Which custom machine types Google makes, and how large N1 machines are: ``gcp_custom.csv``, and N1's own ratios."""

from __future__ import annotations

import csv
import functools
import re
from pathlib import Path

_CUSTOM = re.compile(
    r"(?:(?P<family>[a-z0-9]+)-)?custom-(?:(?P<shared>micro|small|medium)|(?P<vcpus>[0-9]+))-(?P<mib>[0-9]+)(?P<ext>-ext)?"
)
_N1 = re.compile(r"n1-(standard|highmem|highcpu)-([0-9]+)")

# docs.cloud.google.com/compute/docs/general-purpose-machines, N1: 3.75, 6.5 and 0.9 GB for each vCPU.
_N1_MIB_PER_VCPU = {"standard": 3840, "highmem": 6656, "highcpu": 922}


def is_custom(machine_type: str) -> bool:
    """Say whether Google makes this custom machine type: a kind that exists, with vCPUs and memory that it takes."""
    found = _CUSTOM.fullmatch(machine_type)
    if found is None:
        return False
    family = "-".join(part for part in (found["family"], found["shared"]) if part)
    row = next((row for row in _rows() if row["family"] == family), None)
    if row is None or (found["ext"] and not row["most_mib_extended"]):
        return False
    vcpus, mib = int(found["vcpus"] or row["vcpus"]), int(found["mib"])
    most = int(row["most_mib_extended"]) if found["ext"] else int(row["most_mib_per_vcpu"]) * vcpus
    least = max(1024, int(row["least_mib_per_vcpu"]) * vcpus)
    in_steps = mib % int(row["step_mib"]) == 0
    return _comes_in(row["vcpus"], vcpus) and in_steps and least <= mib <= most


def size_of_n1(machine_type: str) -> tuple[int, int] | None:
    """Return the vCPUs and the memory in MiB of an N1 machine type, None for any other."""
    if found := _N1.fullmatch(machine_type):
        return int(found[2]), int(found[2]) * _N1_MIB_PER_VCPU[found[1]]
    found = _CUSTOM.fullmatch(machine_type)
    if found and found["vcpus"] and found["family"] in (None, "n1"):
        return int(found["vcpus"]), int(found["mib"])
    return None


def _comes_in(spans: str, vcpus: int) -> bool:
    """Say whether a number is in spans such as ``1 2-96/2``: 1, and each second one from 2 to 96."""
    for span in spans.split():
        ends, _, step = span.partition("/")
        first, _, last = ends.partition("-")
        if vcpus in range(int(first), int(last or first) + 1, int(step or 1)):
            return True
    return False


@functools.cache
def _rows() -> list[dict[str, str]]:
    with (Path(__file__).parent / "gcp_custom.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
