"""How long commands and imports take as whole processes: ours beside `import ray`, and Python itself for scale."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

from accel_scaling.tables import render

OURS = ("-m", "accel_scaling")
SUBJECTS: dict[str, tuple[tuple[str, ...], float | None]] = {  # what to run, and the aim in seconds
    "python, nothing": (("-c", "pass"), None),
    "import accel_scaling": (("-c", "import accel_scaling"), None),
    "import ray": (("-c", "import ray"), None),
    "accel-scaling catalog find": ((*OURS, "catalog", "find"), 0.2),
    "accel-scaling catalog show p4d.24xlarge": ((*OURS, "catalog", "show", "p4d.24xlarge"), 0.2),
    "accel-scaling confirm (no accelerator promised)": ((*OURS, "confirm", "--expect", '{"CPU": 4}'), 0.3),
    "accel-scaling detect": ((*OURS, "detect"), 0.3),
}


def seconds(arguments: tuple[str, ...], folder: str) -> float:
    """Return the wall time of a whole Python process."""
    begun_s = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun_s


def show(runs: int) -> str:
    """Run everything in turn and return the medians as a table."""
    taken: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(runs + 1):
            for name, (arguments, _) in SUBJECTS.items():
                taken[name].append(seconds(arguments, folder))
                if turn == 0:  # the first one fills the disk cache and writes .pyc files
                    taken[name].clear()
    ray_s = statistics.median(taken["import ray"])
    rows = []
    for name, (_, aim_s) in SUBJECTS.items():
        median_s = statistics.median(taken[name])
        worst = f"{max(taken[name]):.3f}"
        rows.append((name, f"{median_s:.3f}", worst, f"{aim_s:.1f}" if aim_s else "", f"{ray_s / median_s:.1f} x"))
    return render((f"seconds, {runs} runs", "median", "worst", "aim", "import ray / this"), rows, right={1, 2, 3, 4})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, metavar="N", help="processes of each (default: 10)")
    print(show(parser.parse_args().runs))


if __name__ == "__main__":
    main()
