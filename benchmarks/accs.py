"""What asking by `accel_scaling` costs beside `ray.remote`: 10,000 task submissions of each, in turns, in one run.

    python3 benchmarks/accs.py

The tasks ask for a type that no node here has, so they wait and only their submission is timed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import ray

import accel_scaling as acc

# The second is the first again: what it differs by is noise.
KINDS = ("ray.remote", "ray.remote, again", "acc.remote", "acc.remote, no type")


def nothing() -> None:
    """Do nothing."""


def remotes() -> dict[str, Any]:
    """The same demand, asked in each way."""
    return {
        "ray.remote": ray.remote(num_gpus=1, accelerator_type="V100")(nothing),
        "ray.remote, again": ray.remote(num_gpus=1, accelerator_type="V100")(nothing),
        "acc.remote": acc.remote(num_accs=1, accelerator_type=acc.NVIDIA_TESLA_V100)(nothing),
        "acc.remote, no type": acc.remote(num_accs=1)(nothing),
    }


def measure(submissions: int, turns: int) -> dict[str, list[float]]:
    """Return CPU seconds for a turn's share of the submissions, turn by turn; the order changes with each turn."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    share = submissions // turns
    for turn in range(turns + 1):
        functions = remotes()
        for kind in KINDS[turn % len(KINDS) :] + KINDS[: turn % len(KINDS)]:
            submit = functions[kind].remote
            refs = [submit()]  # the first one exports the function, and asks the cluster where there is no type
            start_s = time.thread_time()  # of this thread: what else runs on the machine does not count
            refs += [submit() for _ in range(share)]
            taken_s = time.thread_time() - start_s
            for ref in refs:
                ray.cancel(ref)
            if turn:  # the first turn warms up
                found[kind].append(taken_s)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--submissions", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=100)
    given = parser.parse_args()
    # A GPU that is taken: what asks for any GPU waits, too.
    ray.init(num_cpus=1, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    holder = ray.remote(num_gpus=1, num_cpus=0)(type("Holder", (), {"__doc__": "Holds the GPU."})).remote()
    ray.get(holder.__ray_ready__.remote())
    found = measure(given.submissions, given.turns)
    stock = found["ray.remote"]
    print(f"{'':22}{'CPU s / 10,000':>14}{'ratio, median of turns':>26}")
    for kind, taken in found.items():
        per_10k = sum(taken) / (given.submissions // given.turns * given.turns) * 10_000
        ratio = statistics.median(ours / theirs for ours, theirs in zip(taken, stock, strict=True))
        print(f"{kind:22}{per_10k:>14.3f}{ratio:>26.3f}")


if __name__ == "__main__":
    main()
