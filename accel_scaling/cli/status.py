"""`accel-scaling status`: quarantined node types of a cluster, drained machines, and those that never joined."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling._ray.facts import BOOTSTRAP_CONFIG
from accel_scaling.errors import AccelScalingError
from accel_scaling.inputs.file_text import STANDARD_INPUT
from accel_scaling.message_text import shown, utc
from accel_scaling.quarantine import drain_record, launch_failure, machine_json, messages
from accel_scaling.quarantine.machine import ended_before_joined
from accel_scaling.quarantine.place import capacity_in, place_text, zone_in
from accel_scaling.quarantine.store import STATE_FILE, Store, default_path
from accel_scaling.tables import render
from accel_scaling.terminal import wrapped

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from accel_scaling.quarantine.drain_record import DrainRecord
    from accel_scaling.quarantine.launch_failure import LaunchFailure
    from accel_scaling.quarantine.ledger import Ledger
    from accel_scaling.quarantine.machine import Machine
    from accel_scaling.quarantine.record import Quarantine

HELP = "show quarantined node types, drained nodes and machines that never joined, with reasons (run it on the head)"

EXAMPLES = """examples:
  accel-scaling status
  ray exec cluster.yaml 'accel-scaling status'     from the machine that ran `ray up`
  accel-scaling status --clear p4d                 end the quarantine of this node type
  accel-scaling status --clear                     of all node types; a machine kept for inspection stays
  accel-scaling status --json

exit codes: 0 done, 2 away from a head, or the state file does not have a node type, or cannot be used
"""

SECONDS_PER_DAY = 86_400

_MOST_MACHINES = 10  # in the text; --json has all that are remembered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "--clear", nargs="*", metavar="NODE_TYPE", help="end the quarantine of these node types, or of all"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    state = "the state file, - for standard input; by default the head's"
    parser.add_argument("--state", metavar="FILE", type=Path, help=state)


def run(args: argparse.Namespace) -> int:
    """Print the quarantines; with ``--clear``, end them first.

    Raises:
        AccelScalingError: the state file does not have a node type that is to be cleared.
        StateError: the state file cannot be read or written, or is not one of accel-scaling.
    """
    if args.clear is not None and args.state == STANDARD_INPUT:
        raise AccelScalingError("--clear changes a state file, and --state - is standard input: name the file")
    store = _store(args.state)
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


def _store(given: Path | None) -> Store:
    """Return the store of a state file; where nothing was looked at, nothing must read as if all were well.

    Raises:
        AccelScalingError: the file that was named does not exist, or this machine is no head.
    """
    path = given or default_path()
    store = Store(path)
    if store.exists or given == STANDARD_INPUT:
        return store
    if given is not None:
        raise AccelScalingError(f"--state {path} does not exist; a head's state file is ~/{STATE_FILE}")
    # A head has no state file before its first launch.
    if not (Path.home() / BOOTSTRAP_CONFIG).exists():
        raise AccelScalingError(
            f"this machine is not the head of a cluster (it has neither {path} nor ~/{BOOTSTRAP_CONFIG}); run it on "
            "the head: ray exec CLUSTER.yaml 'accel-scaling status'"
        )
    return store


def as_json(ledger: Ledger, now_s: float) -> dict[str, Any]:
    """Return the documented JSON: the quarantines, the machine that is kept for inspection, and the machines."""
    return {
        "left_alone": [
            {
                "node_type": name,
                **_place(quarantine.zone),
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
        "failed_launches": [{**launch_failure.to_json(failure), **_place(failure.zone)} for failure in ledger.failures],
        "drains": {name: drain_record.to_json(drain) for name, drain in ledger.drains.items()},
    }


def _place(place: str) -> dict[str, str]:
    """Return the zone of a place, ``*`` for all, and its capacity type; empty where the node type has no order."""
    return {"zone": zone_in(place), "capacity": capacity_in(place)}


def as_text(ledger: Ledger, now_s: float) -> str:
    """Return a table for people, with the last message and the advice below it."""
    quarantines = [(name, item) for name, record in sorted(ledger.types.items()) for item in record.quarantines]
    lines = []
    if quarantines:
        rows = [
            (name, messages.zone_text(item), messages.reason_text(item), _until(item, now_s), f"{item.times}")
            for name, item in quarantines
        ]
        lines.append(
            render(("node type", "quarantined", "reason", "until", "times"), rows, right={4}, drop=[4], others="--json")
        )
        lines += [f"\n{wrapped(paragraph, hang='    ')}" for paragraph in messages.paragraphs(quarantines)]
    else:
        lines.append("no node type is quarantined")
    lines += _failed_launches(ledger.failures, quarantines, now_s)
    lines += _drains(ledger.drains, now_s)
    lines += _machines(ledger.machines, now_s)
    for node, sentence in ledger.kept.items():
        lines.append("\n" + wrapped(f"{node} is kept for inspection, and paid for, until `ray down`: {sentence}"))
    return "\n".join(lines) + "\n"


def _failed_launches(
    failures: Sequence[LaunchFailure], quarantines: Sequence[tuple[str, Quarantine]], now_s: float
) -> list[str]:
    """Return a table of the last launches that failed, but for those that a quarantine above stands for."""
    known = {(name, item.reason) for name, item in quarantines}
    recent = [
        failure
        for failure in failures
        if now_s - failure.last_s < timeouts.LAUNCH_FAILURE_SHOWN_S and (failure.node_type, failure.code) not in known
    ][-_MOST_MACHINES:]
    if not recent:
        return []
    rows = [
        (
            failure.node_type,
            place_text(failure.zone),
            _ago(failure.last_s, now_s),
            failure.message if failure.code in failure.message else f"{failure.code}: {failure.message}",
        )
        for failure in recent
    ]
    return ["\n" + render(("failed launch", "zone", "last", "reason"), rows)]


def _drains(drains: Mapping[str, DrainRecord], now_s: float) -> list[str]:
    """Return a table of the nodes that are drained, wait for it, or have ended after it within the last hour."""
    recent = [
        (name, drain)
        for name, drain in drains.items()
        if drain.ended_s is None or now_s - drain.ended_s < timeouts.LAUNCH_FAILURE_SHOWN_S
    ][-_MOST_MACHINES:]
    if not recent:
        return []
    rows = [
        (name, drain.node_type, _drain_end(drain, now_s), f"{drain.kind}: {drain.code}: {drain.message}")
        for name, drain in recent
    ]
    return ["\n" + render(("drained node", "node type", "ends", "reason"), rows, drop=[1], others="--json")]


def _drain_end(drain: DrainRecord, now_s: float) -> str:
    if drain.ended_s is not None:
        return f"ended {_ago(drain.ended_s, now_s)}"
    if drain.until_s is None:
        return "waits for others"
    return f"within {max(0.0, drain.until_s - now_s):.0f} s"


def _machines(machines: Mapping[str, Machine], now_s: float) -> list[str]:
    """Return a table of the last machines that ended before they joined."""
    never_joined = list(ended_before_joined(machines).items())[-_MOST_MACHINES:]
    if not never_joined:
        return []
    heads = ["never joined", "node type", "zone", "bought", "ended", "reason"]
    rows = [
        [
            name,
            machine.node_type,
            machine.zone,
            machine.capacity,
            _ago(machine.steps[-1].time_s if machine.steps else now_s, now_s),
            messages.end_of(machine),
        ]
        for name, machine in never_joined
    ]
    # Only a node type with an order of capacity types (`provider.capacity`) has them.
    if not any(machine.capacity for _, machine in never_joined):
        for row in (heads, *rows):
            del row[3]
    drop = [heads.index(name) for name in ("zone", "bought", "ended") if name in heads]
    return ["\n" + render(heads, rows, drop=drop, others="--json")]


def _ago(time_s: float, now_s: float) -> str:
    ago_s = max(now_s - time_s, 0)
    if ago_s < SECONDS_PER_DAY:
        return f"{ago_s / 60:.0f} min ago"
    return utc(time_s)


def _until(quarantine: Quarantine, now_s: float) -> str:
    left_s = quarantine.until_s - now_s
    if not quarantine.lasts(now_s):
        return "ended, on trial"
    if left_s >= SECONDS_PER_DAY:
        return utc(quarantine.until_s)
    end = messages.end_text(quarantine)
    return f"{end} (in {left_s / 60:.0f} min)" if left_s >= 60 else end
