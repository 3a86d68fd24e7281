"""`accel-scaling status`: which node types this cluster leaves alone, why, and until when."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import AccelScalingError
from accel_scaling.quarantine import messages
from accel_scaling.quarantine.store import Store, default_path
from accel_scaling.text_table import render

if TYPE_CHECKING:
    import argparse

    from accel_scaling.quarantine.ledger import Ledger, Quarantine

HELP = "on the head: the node types that are left alone because they lie or are sold out, why, and until when"

EXAMPLES = """examples:
  accel-scaling status
  ray exec cluster.yaml 'accel-scaling status'     from the machine that ran `ray up`
  accel-scaling status --clear p4d                 launch this node type again from now on
  accel-scaling status --clear                     all of them; a machine that is kept for inspection stays kept
  accel-scaling status --json

exit codes: 0, 2 for a node type of which nothing is remembered, or a state file that cannot be used
"""

SECONDS_PER_DAY = 86_400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "--clear", nargs="*", metavar="NODE_TYPE", help="forget what is held against these node types, or against all"
    )
    parser.add_argument("--json", action="store_true", help="print it as a JSON object")
    parser.add_argument("--state", metavar="FILE", type=Path, help="the state file; by default the head's own")


def run(args: argparse.Namespace) -> int:
    """Print what is left alone; with ``--clear``, forget it first.

    Raises:
        AccelScalingError: nothing is remembered of a node type that is to be cleared.
        StateError: the state file cannot be read or written, or is none of ours.
    """
    store = Store(args.state or default_path())
    if args.clear is not None:
        known = store.read().types
        for name in args.clear:
            if name not in known:
                names = ", ".join(sorted(known)) or "none at all"
                raise AccelScalingError(f"nothing is remembered of a node type {name!r}; it is of: {names}")
        store.change(lambda old: old.without(args.clear))
    ledger, now_s = store.read(), time.time()
    sys.stdout.write(json.dumps(as_json(ledger, now_s), indent=2) + "\n" if args.json else as_text(ledger, now_s))
    return 0


def as_json(ledger: Ledger, now_s: float) -> dict[str, Any]:
    """Return the documented form: what is left alone, and the machine that is kept for inspection."""
    return {
        "left_alone": [
            {
                "node_type": name,
                "zone": one.zone,
                "kind": one.kind.value,
                "reason": one.reason,
                "message": one.message,
                "since_s": one.since_s,
                "until_s": one.until_s,
                "times": one.times,
                "lasts": one.lasts(now_s),
            }
            for name, record in sorted(ledger.types.items())
            for one in record.quarantines
        ],
        "kept_for_inspection": dict(ledger.kept),
    }


def as_text(ledger: Ledger, now_s: float) -> str:
    """Return a table for people, with the last message and what to do below it."""
    found = [(name, one) for name, record in sorted(ledger.types.items()) for one in record.quarantines]
    lines = []
    if found:
        rows = [
            (name, messages.where(one), messages.why(one), _until(one, now_s), f"{one.times}") for name, one in found
        ]
        lines.append(render(("node type", "left alone", "why", "until", "times"), rows, right={4}))
        lines += [f"\n{name} {messages.where(one)}: {one.message}\n  {messages.advice(one)}" for name, one in found]
    else:
        lines.append("no node type is left alone")
    for node, sentence in ledger.kept.items():
        lines.append(f"\n{node} is kept for inspection, and paid for, until `ray down`: {sentence}")
    return "\n".join(lines) + "\n"


def _until(quarantine: Quarantine, now_s: float) -> str:
    left_s = quarantine.until_s - now_s
    if not quarantine.lasts(now_s):
        return "ended, on trial"
    if left_s >= SECONDS_PER_DAY:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(quarantine.until_s))
    return f"{messages.until(quarantine)} (in {left_s / 60:.0f} min)" if left_s >= 60 else messages.until(quarantine)
