"""``accel-scaling catalog refresh``: writes a cloud's machine types as catalog rows, and shows the differences."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.clouds import known_clouds
from accel_scaling.refresh.records import INTERRUPTED
from accel_scaling.terminal import wrapped

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from accel_scaling.catalog.model import MachineType
    from accel_scaling.refresh.records import CloudAnswer
    from accel_scaling.refresh.rows import RegionChange
    from accel_scaling.refresh.run import Result

HELP = "read a cloud's machine types from its API, write them in the catalog's format, and show the differences"
EXAMPLES = """\
examples:
  accel-scaling catalog refresh aws
  accel-scaling catalog refresh aws --region us-west-2 eu-central-1
  accel-scaling catalog refresh gcp --project my-project
  accel-scaling catalog refresh aws -o catalogs/aws.csv     # for everybody: what ships

exit codes: 0 done, also where a region did not answer, 2 the cloud refused or cannot be reached, 130 interrupted
"""

LISTED = 20  # lines of a part that are shown; a first refresh may have hundreds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    clouds = [name for name, cloud in known_clouds().items() if cloud.has_part("refresh")]
    parser.add_argument("cloud", choices=clouds, help="the cloud whose API is read")
    regions = "only these (default: every region that the account has)"
    parser.add_argument("--region", metavar="REGION", nargs="+", action="extend", default=[], help=regions)
    parser.add_argument(
        "--project", metavar="ID", help="gcp: the project for the requests (default: that of the credentials)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="default: ~/.accel_scaling/refresh/CLOUD.csv")


def run(args: argparse.Namespace) -> int:
    """Refresh one cloud; 0 also where some regions did not answer: what did is written, the others are named.

    130 after Ctrl-C, where the same is done.
    """
    from accel_scaling.errors import INTERRUPTED_CODE
    from accel_scaling.refresh.run import default_file, refresh

    ask = functools.partial(known_clouds()[args.cloud].part("refresh").ask, args.region, args.project)
    result = refresh(ask, args.output or default_file(args.cloud))
    print(wrapped(refresh_text(result)))
    return INTERRUPTED_CODE if result.answer.interrupted else 0


def refresh_text(result: Result) -> str:
    """Return the result of a refresh as text for people."""
    answer = result.answer
    types = f"{_counted(len(answer.types), 'machine type')} in {_counted(len(answer.offered), 'region')}"
    lines = [f"{answer.cloud}: {_interrupted(answer)}{types}{_same(result)}"]
    lines += _failed(answer.failed)
    lines += _part(
        "not enough data from the API for", [f"{name}: {why}" for name, why in sorted(answer.lacking.items())]
    )
    lines += _part("added", [_row(row) for row in result.added])
    lines += _part("gone (no region in this refresh offers it any more; its row is kept)", result.gone)
    lines += _part("changed", [change for pair in result.changed for change in _changes(*pair)])
    lines += _part("other regions or zones", [_moved(moved) for moved in result.moved])
    lines += _part("nothing can be promised for", [_row(row) for row in result.unpromised])
    lines += _new_chips(result)
    names = " and ".join(str(path) for path in (result.written or result.files))
    return "\n".join([*lines, "", f"wrote {names}" if result.written else f"{names} stay as they are"])


def _same(result: Result) -> str:
    """Return that look-ups have the same results as before; empty where they differ."""
    if not result.same:
        return ""
    # A first refresh writes files, although they only repeat the shipped rows: "nothing changed" would be wrong.
    return "; the catalog agrees with all of it" if result.written else "; nothing changed"


def _interrupted(answer: CloudAnswer) -> str:
    if not answer.interrupted:
        return ""
    missing = sum(reason == INTERRUPTED for reason in answer.failed.values())
    return f"interrupted after {len(answer.offered)} of {len(answer.offered) + missing} regions, which are kept; "


def _failed(failed: dict[str, str]) -> list[str]:
    """Return the regions that did not answer, grouped by reason."""
    by_reason: dict[str, list[str]] = {}
    for region, reason in failed.items():
        by_reason.setdefault(reason, []).append(region)
    return [
        f"  skipped {', '.join(regions)}: {reason}; {'its' if len(regions) == 1 else 'their'} rows stay as they were"
        for reason, regions in by_reason.items()
    ]


def _part(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    more = [f"  ... and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    return ["", f"{title} ({len(lines)})", *(f"  {line}" for line in lines[:LISTED]), *more]


def _row(row: MachineType) -> str:
    return f"{row.name}: {row.vcpus} vCPUs, {_gib(row.memory_mib)} GiB, {row.arch}, {_accelerator(row)}"


def _accelerator(row: MachineType) -> str:
    if row.unknown:
        return f"{row.unknown} (not known)"
    return f"{row.count} x {row.chip.name}" if row.chip else "no accelerator"


def _changes(before: MachineType, now: MachineType) -> Iterable[str]:
    for column in ("vcpus", "memory_mib", "arch"):
        if getattr(before, column) != getattr(now, column):
            yield f"{now.name}: {column} {getattr(before, column)} -> {getattr(now, column)}"
    if _accelerator(before) != _accelerator(now):
        yield f"{now.name}: {_accelerator(before)} -> {_accelerator(now)}"


def _moved(moved: RegionChange) -> str:
    if moved.new:
        return f"{moved.region}: {_counted(len(moved.more), 'type')}; not known before"
    parts = [
        f"{word} {_some(names)}"
        for word, names in (("also has", moved.more), ("no longer has", moved.fewer), ("other zones have", moved.zones))
        if names
    ]
    return f"{moved.region}: {'; '.join(parts)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def _new_chips(result: Result) -> list[str]:
    if not result.new_chips:
        return []
    from accel_scaling.families.catalog import chips_here
    from accel_scaling.refresh.accelerators import entry

    chips, cloud = chips_here(), result.answer.cloud
    what = f"accelerators that the catalog does not know ({len(result.new_chips)}): fill in each <...>, and add"
    lines = [
        "",
        what,
        "the entry to ~/.accel_scaling/accelerators.yaml, or to catalogs/accelerators.yaml for everybody",
    ]
    for _, device in sorted(result.new_chips.items()):
        lines += ["", entry(device, cloud, chips)]
    return lines


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _gib(mib: int) -> str:
    return f"{mib / 1024:.2f}".rstrip("0").rstrip(".")
