"""How long the catalog takes to load and to be checked, in a new process each: what ships, then what is asked of it.

CPU time: nothing here waits, and other work on the machine counts less so. Of what ships, names are read when a user
first asks for a cloud's rows, and a row or an accelerator when it is asked for; "every row" is what is left then. The
check is the whole command but for Python's start, Ray's own rule for names (an import of Ray) included. Beside it
`import ray`, which a program of Ray's pays anyway, and what stock Ray asks EC2 for the same question:
DescribeInstanceTypes, here of moto's server.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from typing import Any

from accel_scaling.tables import render

PROGRAM = """
import json, time
from accel_scaling.families.catalog import load_catalog
from accel_scaling.catalog import offerings
from accel_scaling.families.plugins import loaded
steps, taken = [], {}
def step(name, call):
    begun_s = time.process_time()
    value = call()
    taken[name] = (time.process_time() - begun_s) * 1000
    return value
step("plug-ins looked for", loaded)
catalog = step("layers and accelerators", load_catalog)
for cloud in catalog.clouds:
    step(f"rows of {cloud}, by name", lambda: catalog.machine_types(cloud))
step("one type and its accelerator", lambda: catalog.machine_type("aws", "p4d.24xlarge").chip)
step("every row and accelerator", lambda: [*catalog.find(), *catalog.chips.values()])
for cloud in catalog.clouds:
    step(f"places of {cloud}", lambda: catalog.places(cloud))
machine = catalog.machine_type("aws", "p4d.24xlarge")
step("one type's regions", lambda: catalog.where(machine).nearest("us-west-1"))
step("import ray", lambda: __import__("ray"))
print(json.dumps(taken))
"""
CHECK = "catalog check, the command"
CHECK_PROGRAM = """
import contextlib, io, json, time
from accel_scaling.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    assert main(["catalog", "check"]) == 0
print(json.dumps(time.process_time() * 1000))
"""
STOCK = "DescribeInstanceTypes (stock Ray's fill)"
STOCK_PROGRAM = """
import json, logging, time
from moto.server import ThreadedMotoServer
import boto3
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
client = boto3.client("ec2", region_name="us-east-1", endpoint_url=f"http://{host}:{port}", **keys)
begun_s = time.process_time()
client.describe_instance_types()
print(json.dumps((time.process_time() - begun_s) * 1000))
server.stop()
"""
BOTH = "both catalogs: plug-ins, layers, names"
AIMS_MS = {BOTH: 10.0, CHECK: 2000.0}


def milliseconds() -> dict[str, float]:
    """Return what each step took in a new process."""
    taken: dict[str, float] = _printed(PROGRAM)
    counted = [ms for name, ms in taken.items() if name.startswith(("plug-ins", "layers", "rows", "one type and"))]
    return {BOTH: sum(counted), **taken, CHECK: _printed(CHECK_PROGRAM), STOCK: _printed(STOCK_PROGRAM)}


def _printed(program: str) -> Any:
    """Run a program in a new process and return what it printed."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


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
