"""How long the check of a healthy 8-GPU machine takes as a whole process, beside `import ray`, in one run.

The machine is emulated: Python loads the emulated driver's library and reads its files, as on a real one. What a real
NVML needs to initialize comes on top, for us and for Ray's own detection alike; `import ray` here asks no driver.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from accel_scaling.tables import render
from accel_scaling.testing.devices.device_files import install
from accel_scaling.testing.devices.ec2_machines import hardware_of

AIM_S = 0.5
MACHINE = "p4d.24xlarge"
PROMISE = json.dumps({"CPU": 96, "GPU": 8, "accelerator_type:A100": 1, "accelerator_type:A100-40G": 1})
CONFIRM = ("-m", "accel_scaling", "confirm", "--expect", PROMISE)
SUBJECTS: dict[str, tuple[str, ...]] = {
    "python, nothing": ("-c", "pass"),
    "import ray": ("-c", "import ray"),
    f"accel-scaling confirm ({MACHINE})": CONFIRM,
}


def seconds(arguments: tuple[str, ...], folder: str, environment: dict[str, str]) -> float:
    """Return the wall time of a whole Python process."""
    begun_s = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun_s


def show(runs: int) -> str:
    """Run everything in turn and return the medians as a table."""
    taken: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, **install(Path(folder), hardware_of(MACHINE))}
        for turn in range(runs + 1):
            for name, arguments in SUBJECTS.items():
                taken[name].append(seconds(arguments, folder, environment))
                if turn == 0:  # the first one fills the disk cache and writes .pyc files
                    taken[name].clear()
    ray_s = statistics.median(taken["import ray"])
    rows = [
        (
            name,
            f"{statistics.median(all_s):.3f}",
            f"{max(all_s):.3f}",
            f"{AIM_S:.1f}" if SUBJECTS[name] is CONFIRM else "",
            f"{ray_s / statistics.median(all_s):.1f} x",
        )
        for name, all_s in taken.items()
    ]
    return render((f"seconds, {runs} runs", "median", "worst", "aim", "import ray / this"), rows, right={1, 2, 3, 4})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="processes of each (default: 20)")
    print(show(parser.parse_args().runs))


if __name__ == "__main__":
    main()
