"""`accel-scaling detect`: shows the accelerators of this machine by PCI bus and driver, and what Ray announces."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from accel_scaling.detect.model import DriverState
from accel_scaling.families.inventory import survey
from accel_scaling.families.registry import built_in
from accel_scaling.status_line import doing
from accel_scaling.terminal import wrapped

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from accel_scaling.detect.model import Detection

HELP = "show the accelerators of this machine: PCI bus, driver, Ray"

EXAMPLES = """examples:
  accel-scaling detect           one block for each kind of accelerator
  accel-scaling detect --json    the same as a JSON list, empty if there is none

exit codes: 0 done, with or without accelerators
"""


NOT_ON_BUS = "PCI bus: no "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--json", action="store_true", help="print a JSON list of the accelerators")


def run(args: argparse.Namespace) -> int:
    """Print the accelerators; return 0, also where there is none."""
    with doing("the devices and their drivers are asked"):
        families = survey()
    present = [accelerator for accelerator in families if accelerator.present]
    if args.json:
        text = json.dumps([accelerator.to_json() for accelerator in present], indent=2)
    elif present:
        text = "\n\n".join(_block(accelerator) for accelerator in present)
    else:
        text = _nothing(families)
    sys.stdout.write(text + "\n")
    return 0


def _nothing(families: Iterable[Detection]) -> str:
    """Return the evidence that there is no device: in full for common families, in one line for the others."""
    in_full = {family.name for family in built_in() if family.common}
    shown, others = ["no accelerator found"], []
    for family in families:
        if family.family in in_full:
            shown += [f"  {sentence}" for sentence in family.evidence]
        else:
            others += [sentence.removeprefix(NOT_ON_BUS) for sentence in family.evidence if NOT_ON_BUS in sentence]
    absent = f"neither on the bus nor below /dev: {', '.join(others)}"
    return "\n".join(wrapped(line) for line in [*shown, f"  {absent}"])


def _block(accelerator: Detection) -> str:
    name = accelerator.variant or accelerator.accelerator_type or accelerator.driver_name or accelerator.family
    kinds = ", ".join(f"{kind.count} x {kind.name}" for kind in accelerator.kinds)
    lines = [
        kinds or f"{accelerator.count or accelerator.bus_count} x {name}",
        *(f"  {sentence}" for sentence in accelerator.evidence),
    ]
    lines.append(f"  Ray: {_announced(accelerator)}")
    if accelerator.trouble:
        lines.append(f"  trouble: {accelerator.trouble}")
    return "\n".join(wrapped(line) for line in lines)


def _announced(accelerator: Detection) -> str:
    """Return the resources that Ray 2.60 announces on this machine, by our copy of its rule."""
    if accelerator.state is DriverState.NOT_PROBED:
        return "not known, as the driver was not asked"
    narrowed = f" ({accelerator.visible.assignment})" if accelerator.visible else ""
    if not accelerator.ray_units:
        return f"announces no {accelerator.resource}{narrowed}"
    type_text = (
        f", accelerator_type:{accelerator.accelerator_type}"
        if accelerator.accelerator_type
        else ", no accelerator_type"
    )
    if accelerator.kinds and accelerator.accelerator_type:
        type_text += " (of the first device)"
    return f"announces {accelerator.resource}: {accelerator.ray_units}{narrowed}{type_text}"
