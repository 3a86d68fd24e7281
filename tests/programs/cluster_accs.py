"""A Ray program that the tests run on a cluster's head: accelerators in tasks and actors, by `accel_scaling`.

`python3 cluster_accs.py SCENARIO [ARGUMENT_JSON]` prints `RESULT` and what the scenario returns, as JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import ray

import accel_scaling as acc

VARIABLES = {
    "GPU": "CUDA_VISIBLE_DEVICES",
    "neuron_cores": "NEURON_RT_VISIBLE_CORES",
    "HPU": "HABANA_VISIBLE_MODULES",
    "TPU": "TPU_VISIBLE_CHIPS",
}
SOON_S = 150


def seen() -> dict[str, Any]:
    """What a task or an actor is given, and where."""
    node = next(one for one in ray.nodes() if one["NodeID"] == ray.get_runtime_context().get_node_id())
    return {
        "ids": acc.get_acc_ids(),
        "variables": {name: os.environ[name] for name in VARIABLES.values() if name in os.environ},
        "instance_type": node["Labels"].get("accel-scaling.io/instance-type"),
        "verdict": node["Labels"].get("accel-scaling.io/verdict"),
    }


class Holder:
    """An actor that holds what it was given."""

    def seen(self) -> dict[str, Any]:
        return seen()

    def pid(self) -> int:
        return os.getpid()


def each(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One task for each of these arguments of acc.remote, all at once."""
    return ray.get([acc.remote(num_cpus=0, **one)(seen).remote() for one in asked], timeout=SOON_S)


def refusal(asked: dict[str, Any]) -> str:
    """The sentence that a task with these arguments is refused with."""
    try:
        acc.remote(**asked)(seen).remote()
    except acc.errors.AskingError as error:
        return str(error)
    return "not refused"


def shared(accelerator_type: str) -> dict[str, Any]:
    """Two halves beside each other; then a task for two."""
    half = acc.remote(num_accs=0.5, accelerator_type=accelerator_type, num_cpus=0)(Holder)
    pair = [half.remote(), half.remote()]
    halves = ray.get([one.seen.remote() for one in pair], timeout=SOON_S)
    two = acc.remote(num_accs=2, accelerator_type=accelerator_type, num_cpus=0)(seen)
    return {"halves": halves, "two": ray.get(two.remote(), timeout=SOON_S)}


def given_back(asked: dict[str, Any]) -> list[list[str]]:
    """The ids of a task for all of a node's devices: after a task, after an actor's end, after a killed worker."""
    everything = acc.remote(num_cpus=0, **asked)
    task, holder = everything(seen), everything(Holder)
    found = [ray.get(task.remote(), timeout=SOON_S)["ids"]]
    actor = holder.remote()
    found.append(ray.get(actor.seen.remote(), timeout=SOON_S)["ids"])
    ray.kill(actor)
    found.append(ray.get(task.remote(), timeout=SOON_S)["ids"])
    actor = holder.remote()
    pid = ray.get(actor.pid.remote(), timeout=SOON_S)
    there = acc.remote(num_cpus=0, accelerator_type=asked["accelerator_type"])
    ray.get(there(kill).remote(pid), timeout=SOON_S)
    found.append(ray.get(task.remote(), timeout=SOON_S)["ids"])
    return found


def kill(pid: int) -> None:
    """End a worker of the same node as the machine's own trouble would."""
    os.kill(pid, signal.SIGKILL)


def owners(asked: dict[str, Any]) -> dict[str, Any]:
    """200 short tasks, some of which are killed while they hold their device: does one ever have two owners?"""
    task = acc.remote(num_cpus=0, max_calls=0, max_retries=-1, **asked)(alone)
    dice = random.Random(7)
    told = ray.get([task.remote(number, dice.random() < 0.04) for number in range(200)], timeout=SOON_S)
    return {
        "tasks": len(told),
        "two_owners": sum(one["two_owners"] for one in told),
        "killed": sum(one["again"] for one in told),
        "ids": sorted({name for one in told for name in one["ids"]}),
    }


def alone(number: int, dies: bool) -> dict[str, Any]:
    """Hold each of this task's ids by a lock that ends with the process; die once where told to."""
    folder = Path("/tmp/owners")
    folder.mkdir(exist_ok=True)
    ids = acc.get_acc_ids()
    marked = folder / f"died-{number}"
    locks = [(folder / name).open("w") for name in ids]
    two_owners = not all(taken(lock) for lock in locks)
    if dies and not marked.exists():
        marked.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    for lock in locks:
        lock.close()
    return {"ids": ids, "two_owners": two_owners, "again": dies and marked.exists()}


def taken(lock: Any) -> bool:
    """Whether nobody holds the lock; a process that is being killed lets go within moments."""
    for _ in range(100):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return True
    return False


SCENARIOS = {one.__name__: one for one in (each, refusal, shared, given_back, owners)}

if __name__ == "__main__":
    import accel_scaling.errors

    ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    print("RESULT", json.dumps(SCENARIOS[sys.argv[1]](json.loads(sys.argv[2]))))
