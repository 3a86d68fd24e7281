"""`accel-scaling confirm`: compares a promise with the devices of this machine."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from accel_scaling import documentation
from accel_scaling._ray.facts import OVERRIDE_RESOURCES
from accel_scaling.boot.compare import compare
from accel_scaling.boot.deep_check import tried
from accel_scaling.boot.promise_input import EXAMPLE, parse_promise, promise_from_environment
from accel_scaling.boot.verdicts import EXIT_CONFIRMED, EXIT_NOT_CONFIRMED, PAGE, WORDS
from accel_scaling.boot.wait_for_driver import wait_for_verdict
from accel_scaling.cli.arguments import seconds
from accel_scaling.cli.memory_text import memory_table
from accel_scaling.cluster.deep_check_policy import DCGM, WITHIN_S, DeepCheck
from accel_scaling.errors import AccelScalingError
from accel_scaling.families.inventory import detect
from accel_scaling.status_line import doing
from accel_scaling.terminal import Paint, painted, wrapped

if TYPE_CHECKING:
    import argparse


def _words(exit_code: int) -> str:
    return ", ".join(word.value for word, meaning in WORDS.items() if meaning.exit_code == exit_code)


HELP = "compare the promise with this machine: exit code 0 confirmed, 3 not confirmed"

EXAMPLES = f"""examples:
  accel-scaling confirm --expect '{EXAMPLE}'
  accel-scaling confirm --json       the verdict as data; the promise from {OVERRIDE_RESOURCES}, as `ray start` gets it
  accel-scaling confirm --deep       then try the devices within two minutes: `{DCGM}`, and the memory test
  accel-scaling confirm --deep --only memory    then NVIDIA's devices: their memory, and how fast they copy
  accel-scaling confirm --wait 60    give a driver that is still loading a minute, as on a node's boot

exit codes, and the verdicts that end with them ({documentation.page(PAGE)}):
  {EXIT_CONFIRMED}  confirmed: {_words(EXIT_CONFIRMED)}
  {EXIT_NOT_CONFIRMED}  not confirmed: {_words(EXIT_NOT_CONFIRMED)}
  2  bad input: there is no promise, or it cannot be read
"""


_COMMAND, _MEMORY = "command", "memory"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "--expect",
        metavar="JSON",
        help=f"the promise: a JSON object of Ray resources; by default ${OVERRIDE_RESOURCES}, which Ray sets on "
        "its nodes",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=seconds,
        default=0.0,
        help="repeat the check for this many seconds while the driver does not answer (default: 0, one check)",
    )
    parser.add_argument(
        "--deep",
        nargs="?",
        const=DCGM,
        metavar="COMMAND",
        help=f"then try the devices with this command (default: {DCGM}): exit code 0 means that they work; and with "
        "the memory test of NVIDIA's devices",
    )
    parser.add_argument(
        "--only",
        choices=(_COMMAND, _MEMORY),
        help="with --deep: only the command, or only the memory test",
    )
    parser.add_argument(
        "--within",
        metavar="SECONDS",
        type=seconds,
        default=WITHIN_S,
        help=f"with --deep: the verdict is TooSlow where it takes longer (default: {WITHIN_S:g})",
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as a JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the verdict; return 0 where the machine has the promised devices, else 3.

    Raises:
        AccelScalingError: there is no promise, or it cannot be read.
    """
    promised = _promise(args.expect)
    with doing("the devices and their drivers are asked"):
        verdict = wait_for_verdict(lambda: compare(promised, detect()), wait_s=args.wait)
    if check := _deep_check(args):
        with doing(f"the devices are tried: {check.command or 'the memory test'}"):
            verdict = tried(verdict, check)
    word = verdict.word.value
    shown = painted(word, Paint.GOOD if verdict.confirmed else Paint.BAD)
    told = shown + wrapped(f"{word}: {verdict.message}").removeprefix(word)
    text = json.dumps(verdict.to_json(), indent=2) if args.json else told
    if verdict.measured and not args.json:
        text = f"{text}\n\n{memory_table(verdict.measured)}"
    sys.stdout.write(text + "\n")
    return EXIT_CONFIRMED if verdict.confirmed else EXIT_NOT_CONFIRMED


def _deep_check(args: argparse.Namespace) -> DeepCheck | None:
    if not args.deep and args.only:
        raise AccelScalingError("--only says which part of --deep runs: give --deep, too")
    if not args.deep:
        return None
    return DeepCheck("" if args.only == _MEMORY else args.deep, args.only != _COMMAND, args.within)


def _promise(expect: str | None) -> dict[str, float]:
    if expect is not None:
        return parse_promise(expect, "--expect")
    promised = promise_from_environment()
    if promised is None:
        raise AccelScalingError(
            f"there is nothing to confirm: no --expect was given and {OVERRIDE_RESOURCES} is not set (Ray sets it on "
            f"the nodes of a cluster); give for example --expect '{EXAMPLE}'"
        )
    return promised
