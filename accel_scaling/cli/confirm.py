"""`accel-scaling confirm`: is what was promised for this machine really in it?"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from accel_scaling.confirm.compare import compare
from accel_scaling.confirm.expected import EXAMPLE, VARIABLE, parse_expected, promised_from_environment
from accel_scaling.detect import detect
from accel_scaling.errors import AccelScalingError

if TYPE_CHECKING:
    import argparse

HELP = "compare what was promised for this machine with what it has: exit 0 confirmed, 3 not confirmed"

EXAMPLES = """examples:
  accel-scaling confirm --expect '{"GPU": 8, "accelerator_type:A100": 1}'
  accel-scaling confirm --json       the verdict as data; the promise from RAY_OVERRIDE_RESOURCES, as `ray start` has it

exit codes: 0 confirmed, 3 not confirmed, 2 bad usage
"""

EXIT_CONFIRMED = 0
EXIT_NOT_CONFIRMED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "--expect",
        metavar="JSON",
        help=f"the promise: a JSON object of Ray resources; by default ${VARIABLE}, which Ray sets on its nodes",
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as a JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the verdict; 0 where it is Confirmed, 3 where it is not.

    Raises:
        AccelScalingError: there is no promise, or it is not one.
    """
    verdict = compare(_promise(args.expect), detect())
    text = json.dumps(verdict.to_json(), indent=2) if args.json else f"{verdict.word.value}: {verdict.message}"
    sys.stdout.write(text + "\n")
    return EXIT_CONFIRMED if verdict.confirmed else EXIT_NOT_CONFIRMED


def _promise(expect: str | None) -> dict[str, float]:
    if expect is not None:
        return parse_expected(expect, "--expect")
    promised = promised_from_environment()
    if promised is None:
        raise AccelScalingError(
            f"there is nothing to confirm: no --expect was given and {VARIABLE} is not set (Ray sets it on the"
            f" nodes of a cluster); give for example --expect '{EXAMPLE}'"
        )
    return promised
