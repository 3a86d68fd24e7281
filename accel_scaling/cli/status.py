"""`accel-scaling status`: the quarantined node types of a cluster, and the machines that ended before they joined."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling.errors import AccelScalingError
from accel_scaling.message_text import shown
from accel_scaling.quarantine import machine_json, messages
from accel_scaling.quarantine.machine import ended_before_joined
from accel_scaling.quarantine.store import Store, default_path
from accel_scaling.tables import render

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from accel_scaling.quarantine.ledger import Ledger
    from accel_scaling.quarantine.machine import Machine
    from accel_scaling.quarantine.record import Quarantine

HELP = "show quarantined node types, and machines that never joined, each with the reason (run it on the head)"

EXAMPLES = """examples:
  accel-scaling status
  ray exec cluster.yaml 'accel-scaling status'     from the machine that ran `ray up`
  accel-scaling status --clear p4d                 end the quarantine of this node type
  accel-scaling status --clear                     of all node types; a machine kept for inspection stays
  accel-scaling status --json

exit codes: 0 done, 2 the state file does not have a node type, or cannot be used
"""

SECONDS_PER_DAY = 86_400

_MOST_MACHINES = 10  # in the text; --json has all that are remembered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "--clear", nargs="*", metavar="NODE_TYPE", help="end the quarantine of these node types, or of all"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument("--state", metavar="FILE", type=Path, help="the state file; by default the head's")


def run(args: argparse.Namespace) -> int:
    """Print the quarantines; with ``--clear``, end them first.

    Raises:
        AccelScalingError: the state file does not have a node type that is to be cleared.
        StateError: the state file cannot be read or written, or is not one of accel-scaling.
    """
    store = Store(args.state or default_path())
    if args.clear is not None:
        known = store.read().types
        # All names first: a misspelt one must not leave the others cleared.
        for name in args.clear:
            if name not in known:
                names = ", ".join(sorted(known)) or "none"
                raise AccelScalingError(f"the state file has no node type {shown(name)}; it has: {names}")
        # By the store, under its lock: the autoscaler may change the ledger at this moment.
        store.change(lambda old: old.without(args.clear))
    ledger, now_s = store.read(), time.time()
    sys.stdout.write(json.dumps(as_json(ledger, now_s), indent=2) + "\n" if args.json else as_text(ledger, now_s))
    return 0


def as_json(ledger: Ledger, now_s: float) -> dict[str, Any]:
    """Return the documented JSON: the quarantines, the machine that is kept for inspection, and the machines."""
    return {
        "left_alone": [
            {
                "node_type": name,
                "zone": quarantine.zone,
                "kind": quarantine.cause.value,
                "reason": quarantine.reason,
                "message": quarantine.message,
                "since_s": quarantine.since_s,
                "until_s": quarantine.until_s,
                "times": quarantine.times,
                "lasts": quarantine.lasts(now_s),
            }
            for name, record in sorted(ledger.types.items())
            for quarantine in record.quarantines
        ],
        "kept_for_inspection": dict(ledger.kept),
        # All that are remembered: under way, joined, ended.
        "machines": {name: machine_json.to_json(machine) for name, machine in ledger.machines.items()},
        "never_joined": list(ended_before_joined(ledger.machines)),
    }


def as_text(ledger: Ledger, now_s: float) -> str:
    """Return a table for people, with the last message and the advice below it."""
    quarantines = [(name, item) for name, record in sorted(ledger.types.items()) for item in record.quarantines]
    lines = []
    if quarantines:
        rows = [
            (name, messages.zone_text(item), messages.reason_text(item), _until(item, now_s), f"{item.times}")
            for name, item in quarantines
        ]
        lines.append(render(("node type", "quarantined", "reason", "until", "times"), rows, right={4}))
        for name, item in quarantines:
            lines.append(f"\n{name} {messages.zone_text(item)}: {item.message}\n  {messages.advice(item)}")
    else:
        lines.append("no node type is quarantined")
    lines += _machines(ledger.machines, now_s)
    for node, sentence in ledger.kept.items():
        lines.append(f"\n{node} is kept for inspection, and paid for, until `ray down`: {sentence}")
    return "\n".join(lines) + "\n"


def _machines(machines: Mapping[str, Machine], now_s: float) -> list[str]:
    """Return a table of the last machines that ended before they joined."""
    never_joined = list(ended_before_joined(machines).items())[-_MOST_MACHINES:]
    if not never_joined:
        return []
    rows = [
        (name, machine.node_type, machine.zone, _ago(machine.steps[-1].time_s if machine.steps else now_s, now_s), why)
        for name, machine in never_joined
        for why in [messages.end_of(machine)]
    ]
    return ["\n" + render(("never joined", "node type", "zone", "ended", "reason"), rows)]


def _ago(time_s: float, now_s: float) -> str:
    ago_s = max(now_s - time_s, 0)
    if ago_s < SECONDS_PER_DAY:
        return f"{ago_s / 60:.0f} min ago"
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(time_s))


def _until(quarantine: Quarantine, now_s: float) -> str:
    left_s = quarantine.until_s - now_s
    if not quarantine.lasts(now_s):
        return "ended, on trial"
    if left_s >= SECONDS_PER_DAY:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(quarantine.until_s))
    end = messages.end_text(quarantine)
    return f"{end} (in {left_s / 60:.0f} min)" if left_s >= 60 else end
