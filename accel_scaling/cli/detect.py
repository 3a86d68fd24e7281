"""`accel-scaling detect`: what this machine really has, by three witnesses: bus, driver, and what Ray will say."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from accel_scaling.detect import DriverState, survey

if TYPE_CHECKING:
    import argparse

    from accel_scaling.detect import Found

HELP = "what this machine really has: bus, driver, Ray"

EXAMPLES = """examples:
  accel-scaling detect           one block for each kind of accelerator
  accel-scaling detect --json    the same as data: a list, empty where there is none
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--json", action="store_true", help="print a JSON list of what was found")


def run(args: argparse.Namespace) -> int:
    """Print what is here; 0 whether or not there is an accelerator."""
    families = survey()
    found = [accelerator for accelerator in families if accelerator.present]
    if args.json:
        text = json.dumps([accelerator.to_json() for accelerator in found], indent=2)
    elif found:
        text = "\n\n".join(_block(accelerator) for accelerator in found)
    else:
        evidence = [f"  {sentence}" for accelerator in families for sentence in accelerator.evidence]
        text = "\n".join(["no accelerator found", *evidence])
    sys.stdout.write(text + "\n")
    return 0


def _block(found: Found) -> str:
    name = found.variant or found.accelerator_type or found.driver_name or found.family
    lines = [f"{found.count or found.bus_count} x {name}", *(f"  {sentence}" for sentence in found.evidence)]
    lines.append(f"  Ray: {_announced(found)}")
    if found.trouble:
        lines.append(f"  trouble: {found.trouble}")
    return "\n".join(lines)


def _announced(found: Found) -> str:
    """Say what Ray 2.60 detects on this machine, by our copy of its rule."""
    if found.state is DriverState.NOT_PROBED:
        return "not known, as the driver was not asked"
    if not found.ray_units:
        return f"announces no {found.resource}"
    kind = f", accelerator_type:{found.accelerator_type}" if found.accelerator_type else ", no accelerator_type"
    return f"announces {found.resource}: {found.ray_units}{kind}"
