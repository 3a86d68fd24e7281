"""`accel-scaling detect`: the accelerators of this machine, by the bus, the driver, and what Ray will announce."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import TYPE_CHECKING

from accel_scaling.detect.model import DriverState
from accel_scaling.families.inventory import survey
from accel_scaling.families.registry import built_in

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from accel_scaling.detect.model import Detection

HELP = "show the accelerators of this machine: PCI bus, driver, Ray"

EXAMPLES = """examples:
  accel-scaling detect           one block for each kind of accelerator
  accel-scaling detect --json    the same as data: a list, empty where there is none
"""


NOT_ON_BUS = "PCI bus: no "
WIDTH = 110  # of the lines that say what is not there


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--json", action="store_true", help="print a JSON list of the accelerators")


def run(args: argparse.Namespace) -> int:
    """Print what is here; 0 whether or not there is an accelerator."""
    families = survey()
    found = [accelerator for accelerator in families if accelerator.present]
    if args.json:
        text = json.dumps([accelerator.to_json() for accelerator in found], indent=2)
    elif found:
        text = "\n\n".join(_block(accelerator) for accelerator in found)
    else:
        text = _nothing(families)
    sys.stdout.write(text + "\n")
    return 0


def _nothing(families: Iterable[Detection]) -> str:
    """Say how it is known that there is nothing: in full for what the clouds sell most, in one line for the others."""
    in_full = {family.name for family in built_in() if family.common}
    shown, others = ["no accelerator found"], []
    for family in families:
        if family.family in in_full:
            shown += [f"  {sentence}" for sentence in family.evidence]
        else:
            others += [sentence.removeprefix(NOT_ON_BUS) for sentence in family.evidence if NOT_ON_BUS in sentence]
    told = f"neither on the bus nor below /dev: {', '.join(others)}"
    return "\n".join([*shown, textwrap.fill(told, WIDTH, initial_indent="  ", subsequent_indent="    ")])


def _block(found: Detection) -> str:
    name = found.variant or found.accelerator_type or found.driver_name or found.family
    lines = [f"{found.count or found.bus_count} x {name}", *(f"  {sentence}" for sentence in found.evidence)]
    lines.append(f"  Ray: {_announced(found)}")
    if found.trouble:
        lines.append(f"  trouble: {found.trouble}")
    return "\n".join(lines)


def _announced(found: Detection) -> str:
    """Say what Ray 2.60 detects on this machine, by our copy of its rule."""
    if found.state is DriverState.NOT_PROBED:
        return "not known, as the driver was not asked"
    if not found.ray_units:
        return f"announces no {found.resource}"
    kind = f", accelerator_type:{found.accelerator_type}" if found.accelerator_type else ", no accelerator_type"
    return f"announces {found.resource}: {found.ray_units}{kind}"
