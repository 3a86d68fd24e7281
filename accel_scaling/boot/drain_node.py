"""A program that the watcher runs when it has found something: it imports Ray, and the watcher does not.

    python -m accel_scaling.boot.drain_node EVENT RAYLET

Both arguments are JSON: of a NodeEvent, and the list of a Raylet's values. It tells the head, and drains the
node of a notice.
"""

from __future__ import annotations

import json
import signal
import sys
import time
import zlib
from dataclasses import replace

from accel_scaling import _ray, timeouts
from accel_scaling.boot.node_event import EventKind, read_event


def main(arguments: list[str]) -> int:
    """Tell the head of an event, and drain the node where a notice acts; return the exit code."""
    # Ray's client waits for a GCS that is gone; the watcher tries again.
    signal.alarm(int(timeouts.DRAIN_CALL_S))
    event, raylet = read_event(arguments[0]), _ray.Raylet(*json.loads(arguments[1]))
    if event is None:
        return 2
    # First the head: it terminates the machine at the deadline, whatever becomes of the drain.
    # The number of its text: the watcher gives the same text with each try.
    name = f"{zlib.crc32(event.to_text().encode()):08x}"
    _ray.tell_event(raylet, name, replace(event, told_s=time.time()).to_text())
    # A notice leaves seconds. Whether a sick node is drained is the head's to say: it sees how many are sick at once.
    if not event.acts or event.kind is EventKind.SICK:
        return 0
    message = f"accel_scaling: {event.kind.value}: {event.code}: {event.message}"
    refused = _ray.drain(raylet, event.instance_id, message, event.deadline_s)
    for why in refused:
        sys.stderr.write(f"Ray does not drain the node: {why}\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
