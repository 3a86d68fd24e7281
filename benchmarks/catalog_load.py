"""How long the catalog takes to load, step by step, in a new process each: what ships, then what is asked of it.

CPU time: nothing here waits, and other work on the machine counts less so. Rows and places are parsed when somebody
first asks for a cloud's. Beside it `import ray`, which a program of Ray's pays anyway.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from accel_scaling.table import render

PROGRAM = """
import json, time
from accel_scaling.catalog.load import load_catalog
from accel_scaling.catalog import offered, places
steps, taken = [], {}
def step(name, call):
    begun_s = time.process_time()
    value = call()
    taken[name] = (time.process_time() - begun_s) * 1000
    return value
catalog = step("layers and accelerators", load_catalog)
for cloud in catalog.clouds:
    step(f"rows of {cloud}", lambda: catalog.machine_types(cloud))
for cloud in catalog.clouds:
    step(f"places of {cloud}", lambda: catalog.places(cloud))
machine = catalog.machine_type("aws", "p4d.24xlarge")
step("one type's regions", lambda: catalog.where(machine).nearest("us-west-1"))
step("import ray", lambda: __import__("ray"))
print(json.dumps(taken))
"""
BOTH = "both catalogs: layers, rows"
AIMS_MS = {BOTH: 10.0}


def milliseconds() -> dict[str, float]:
    """Return what each step took in a new process."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    taken: dict[str, float] = json.loads(done.stdout)
    counted = [ms for name, ms in taken.items() if name.startswith(("layers", "rows"))]
    return {BOTH: sum(counted), **taken}


def show(runs: int) -> str:
    """Return the medians as a table."""
    milliseconds()  # fills the disk cache and writes .pyc files
    every = [milliseconds() for _ in range(runs)]
    medians = {name: statistics.median(run[name] for run in every) for name in every[0]}
    ray_ms = medians["import ray"]
    rows = [
        (
            name,
            f"{median_ms:.1f}",
            f"{min(run[name] for run in every):.1f}",
            f"{AIMS_MS[name]:.0f}" if name in AIMS_MS else "",
            f"{ray_ms / median_ms:.0f} x",
        )
        for name, median_ms in medians.items()
    ]
    return render((f"ms, {runs} runs", "median", "best", "aim", "import ray / this"), rows, right={1, 2, 3, 4})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, metavar="N", help="processes (default: 10)")
    print(show(parser.parse_args().runs))


if __name__ == "__main__":
    main()
