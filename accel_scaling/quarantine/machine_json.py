"""The record of a machine as JSON: in the state file, and for ``accel-scaling status --json``."""

from __future__ import annotations

from typing import Any

from accel_scaling.quarantine.machine import Machine, Moment, Reason, Step
from accel_scaling.quarantine.values import checked, strings, time_of


def to_json(machine: Machine) -> dict[str, Any]:
    """Return a machine's record; what is empty is left out."""
    content: dict[str, Any] = {"node_type": machine.node_type, "zone": machine.zone}
    content["steps"] = [
        {"step": moment.step.value, "time_s": moment.time_s, **({"reason": moment.reason} if moment.reason else {})}
        for moment in machine.steps
    ]
    if machine.failure:
        content["failure"] = {"code": machine.failure.code, "message": machine.failure.message}
    if machine.given_up:
        content["given_up"] = True
    if machine.capacity:
        content["capacity"] = machine.capacity
    return content


def machine_from(content: Any, path: str) -> Machine:
    """Return the machine of a record.

    Raises:
        ValueError: it is no record of a machine; the text names the place.
    """
    words = strings(content, ("node_type", "zone"), path)
    steps = checked(content.get("steps"), list, f"{path}.steps")
    failure = content.get("failure")
    if failure is not None:
        failure = Reason(**strings(failure, ("code", "message"), f"{path}.failure"))
    given_up = checked(content.get("given_up", False), bool, f"{path}.given_up")
    capacity = checked(content.get("capacity", ""), str, f"{path}.capacity")
    moments = tuple(_moment(step, f"{path}.steps") for step in steps)
    return Machine(words["node_type"], words["zone"], moments, failure, given_up, capacity)


def _moment(content: Any, path: str) -> Moment:
    word = strings(content, ("step",), path)["step"]
    reason = checked(content.get("reason", ""), str, f"{path}.reason")
    return Moment(Step(word), time_of(content.get("time_s"), f"{path}.time_s"), reason)
