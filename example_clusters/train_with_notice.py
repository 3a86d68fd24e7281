"""A training run on spot machines: on a notice of the cloud it saves a checkpoint, and continues on another machine.

    accel-scaling rehearse example_clusters/gcp-gpu.yaml --shared '~/runs' --fault notice:g2-standard-4@45s \\
        -- python3 example_clusters/train_with_notice.py --accelerator L4

On a real cluster, with storage that all machines reach, and `pip install 'ray[train]'` in `setup_commands`:

    ray submit cluster.yaml train_with_notice.py --accelerator L4 --storage gs://MY-BUCKET/runs

The last lines are the seconds from the drain of the node to each step of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")  # Ray 2.50 still has its older Train by default

import ray
import ray.train
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer  # of which TorchTrainer and others are made
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

# Since Ray 2.58. An older Ray tells a run nothing: after its machine's end, it continues from a regular checkpoint.
PREEMPTION_INFO = getattr(ray.train, "get_preemption_info", None)


class MachineIsTakenError(Exception):
    """Ends the workers after the checkpoint, so Ray Train starts them again on other machines at once.

    It counts as one of `FailureConfig.max_failures`. Without it, the workers would train until the machine is gone, and
    the steps after the checkpoint would be lost.
    """


class Log:
    """The actor, on the head, that keeps what has happened, and when."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, str]] = []

    def add(self, text: str) -> None:
        """Add what has happened now."""
        self._rows.append((time.time(), text))

    def after(self, number: int) -> list[tuple[float, str]]:
        """Return all rows but the first ones."""
        return self._rows[number:]


class Evaluator:
    """An actor on a machine of the same kind as the run's; Ray starts it again elsewhere when that machine ends."""

    def node(self) -> str:
        """Return the address of its node."""
        return str(ray.util.get_node_ip_address())


def train(config: dict[str, Any]) -> None:
    """Train, on each worker, from the last checkpoint on."""
    log, step = ray.get_actor("log"), 0
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            step = json.loads((Path(folder) / "state.json").read_text(encoding="utf-8"))["step"]
    begun = "continues from the checkpoint of" if step else "begins at"
    say(log, f"the run {begun} step {step}, on {ray.util.get_node_ip_address()}")
    while step < config["steps"]:
        time.sleep(config["step_s"])  # the work of a step
        step += 1
        # Each worker must ask in each step: all wait for each other, and get the same answer.
        notice = PREEMPTION_INFO() if PREEMPTION_INFO else None
        if notice is not None:
            left = (
                f", {notice.deadline_ms / 1000 - time.time():.0f} s before its machine ends"
                if notice.deadline_ms
                else ""
            )
            say(log, f"the run sees the notice in step {step}{left}")
        if notice is not None or step % config["save_each"] == 0 or step == config["steps"]:
            save(step)
        if notice is not None:
            say(log, f"the checkpoint of step {step} is saved")
            raise MachineIsTakenError(f"checkpoint of step {step}")


def save(step: int) -> None:
    """Report a step from each worker, with a checkpoint from the first."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "state.json").write_text(json.dumps({"step": step}), encoding="utf-8")
        ray.train.report({"step": step}, checkpoint=ray.train.Checkpoint.from_directory(folder) if is_first() else None)


def is_first() -> bool:
    """Return whether this is the first worker."""
    return bool(ray.train.get_context().get_world_rank() == 0)


def say(log: Any, text: str) -> None:
    """Add to the log what the first worker says."""
    if is_first():
        ray.get(log.add.remote(text))


class Printer(threading.Thread):
    """Prints the log while it grows, and adds to it when the evaluator moves."""

    def __init__(self, log: Any, evaluator: Any) -> None:
        super().__init__(daemon=True)
        self._log, self._evaluator = log, evaluator
        self._node = ""
        self.rows: list[tuple[float, str]] = []
        self.moved, self._over = threading.Event(), threading.Event()

    def run(self) -> None:
        """Print until told to stop."""
        while not self._over.wait(0.2):
            self._print()
            self._look()

    def stop(self) -> None:
        """Print the rest, and end."""
        self._over.set()
        self.join()
        self._print()

    def _print(self) -> None:
        for at_s, text in ray.get(self._log.after.remote(len(self.rows))):
            self.rows.append((at_s, text))
            print(f"- {text}", flush=True)

    def _look(self) -> None:
        try:
            node = ray.get(self._evaluator.node.remote(), timeout=1)
        except (ray.exceptions.GetTimeoutError, ray.exceptions.RayActorError):
            return  # it has no node now
        if node != self._node:
            ray.get(self._log.add.remote(f"the evaluator {'moves to' if self._node else 'is on'} {node}"))
            if self._node:
                self.moved.set()
            self._node = node


def main() -> None:
    """Train, and print the seconds."""
    args = arguments()
    ray.init(log_to_driver=False)
    if PREEMPTION_INFO is None:
        print(
            f"Ray {ray.__version__} tells a run of no notice, as 2.58 and newer do: after the end of its machine, it"
            " continues from its last regular checkpoint"
        )
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    log = ray.remote(Log).options(name="log", num_cpus=0, scheduling_strategy=here).remote()
    beside = {f"accelerator_type:{args.accelerator}": 0.001}
    evaluator = ray.remote(Evaluator).options(num_cpus=1, resources=beside, max_restarts=-1).remote()
    printer = Printer(log, evaluator)
    printer.start()
    result = trainer(args, beside).fit()
    ray.get(log.add.remote(f"the run has ended at step {result.metrics['step']}"))
    from_s = drained_s()
    if from_s is not None:
        printer.moved.wait(args.wait_s)
    printer.stop()
    if from_s is None:
        print("no node was drained")
        return
    print("seconds after the node was drained:")
    for at_s, text in printer.rows:
        if at_s >= from_s:
            print(f"{at_s - from_s:7.1f} s  {text}")


def trainer(args: argparse.Namespace, beside: dict[str, float]) -> DataParallelTrainer:
    """Return the run: its workers, storage, and how often it may fail."""
    return DataParallelTrainer(
        train,
        train_loop_config={"steps": args.steps, "step_s": args.step_s, "save_each": args.save_each},
        scaling_config=ray.train.ScalingConfig(
            num_workers=args.workers,
            use_gpu=args.resource == "GPU",
            resources_per_worker={"CPU": 1, args.resource: 1, **beside},
        ),
        run_config=ray.train.RunConfig(
            name=f"run-{time.time():.0f}",
            storage_path=args.storage if "://" in args.storage else str(Path(args.storage).expanduser()),
            failure_config=ray.train.FailureConfig(max_failures=3),
        ),
    )


def drained_s() -> float | None:
    """Return when the last drain of a node began, as the head knows it; None where there was none."""
    try:
        done = subprocess.run(["accel-scaling", "status", "--json"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    drains = json.loads(done.stdout)["drains"].values()
    return max((drain["since_s"] for drain in drains if drain["since_s"]), default=None)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="a training run that continues after a notice of the cloud")
    parser.add_argument("--accelerator", required=True, help="the accelerator type, such as T4")
    parser.add_argument("--resource", default="GPU", help="Ray's resource of it, such as neuron_cores (default: GPU)")
    parser.add_argument("--storage", default="~/runs", help="where checkpoints are; all machines must reach it")
    parser.add_argument("--workers", type=int, default=1, help="each has one accelerator")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--step-s", type=float, default=1.0, help="how long a step takes, in seconds")
    parser.add_argument("--save-each", type=int, default=20, help="how many steps are between regular checkpoints")
    parser.add_argument("--wait-s", type=float, default=240.0, help="how long the evaluator may take to move")
    return parser.parse_args()


if __name__ == "__main__":
    main()
