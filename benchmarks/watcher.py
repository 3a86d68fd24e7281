"""The CPU time and the memory of a node's watcher, over some minutes of quiet, on an emulated machine.

    python benchmarks/watcher.py --minutes 5

The real watcher runs beside a stand-in for the raylet: the metadata server answers, the driver library is the emulated
one, and nothing happens. An hour is the same, but for the first second, which starts it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from accel_scaling.boot.watcher_start import WATCH, start_watcher, with_watch
from accel_scaling.cluster.policies import WatcherPolicy
from accel_scaling.testing.devices.device_files import install
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.hosts.metadata_servers import _MetadataHandler, _MetadataServer

CLOUDS = ("aws", "gcp")
MACHINE = "p4d.24xlarge"  # with eight A100; the devices of Google's a2-highgpu-8g are the same
PROMISED = {"GPU": 8.0, "accelerator_type:A100": 1.0}
SAID = {"instance/preempted": "FALSE", "instance/maintenance-event": "NONE"}
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def watchers(start: str) -> dict[int, str]:
    """Return the processes of one watcher: the one that starts it again, the one that works, the one that listens."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            mine = f"ACCEL_SCALING_START={start}".encode() in (folder / "environ").read_bytes().split(b"\0")
            if mine and b"accel_scaling.boot.watcher" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return dict(zip(sorted(found), ("starts it again", "works", "listens to the driver"), strict=False))


def cpu_s(process: int) -> float:
    """Return the seconds of CPU of a process and of its children that have ended."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(int(words[index]) for index in (11, 12, 13, 14)) / TICKS_PER_S


def memory_mib(process: int) -> tuple[float, float]:
    """Return the resident memory of a process, and its share of what several processes have together."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:])
    return int(lines["Rss"].split()[0]) / 1024, int(lines["Pss"].split()[0]) / 1024


def measure(cloud: str, seconds: float) -> None:
    """Print what the watcher of one cloud's machine takes in so many seconds of quiet."""
    start = os.urandom(16).hex()
    server = _MetadataServer(("127.0.0.1", 0), lambda _: SAID)
    server.RequestHandlerClass = _MetadataHandler
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_address[1]}"
    told = subprocess.run(
        ["sh", "-c", with_watch(f"printenv {WATCH}", cloud, WatcherPolicy(), head=False)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ, **install(Path(folder), hardware_of(MACHINE)), WATCH: told,
            "ACCEL_SCALING_START": start, "ACCEL_SCALING_HOME": folder,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{address}", "GCE_METADATA_HOST": address,
        }  # fmt: skip
        # "None" is no address to Ray, which else takes this process for one of a cluster when it looks for it.
        words = ["raylet", "-c", "read", "--node_id=ab12", "--node_ip_address=10.0.0.5", "--gcs-address=None"]
        raylet = subprocess.Popen(words, executable="/bin/bash", env=environment, stdin=subprocess.PIPE)
        try:
            start_watcher(environment, PROMISED)
            while len(watchers(start)) < 3:
                time.sleep(0.2)
            report(cloud, watchers(start), seconds)
        finally:
            raylet.kill()
            raylet.communicate()
            server.shutdown()


def report(cloud: str, processes: dict[int, str], seconds: float) -> None:
    """Print the figures of these processes over so many seconds from now on."""
    time.sleep(2)  # its start is over
    before, began_s = {one: cpu_s(one) for one in processes}, time.monotonic()
    first_s = seconds / 10  # in which each part has worked once, and has loaded what it needs
    time.sleep(first_s)
    memory = {one: memory_mib(one) for one in processes}
    time.sleep(seconds - first_s)
    took_s = time.monotonic() - began_s
    whole_s = 0.0
    for process, what in processes.items():
        used_s = cpu_s(process) - before[process]
        whole_s += used_s
        resident, mine = memory_mib(process)
        grown = resident - memory[process][0]
        sys.stdout.write(
            f"{cloud}: {what}: {used_s:.2f} s of CPU, {resident:.1f} MiB resident ({mine:.1f} its share), "
            f"{grown:+.1f} MiB in the last {(took_s - first_s) / 60:.0f} minutes\n"
        )
    share = whole_s / took_s
    sys.stdout.write(f"{cloud}: {share:.3%} of a core over {took_s:.0f} s of quiet; {3600 * share:.1f} s an hour\n")
    sys.stdout.flush()


def main() -> None:
    """Measure one cloud after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="of quiet (default: 5; 60 is the whole hour)")
    parser.add_argument("--cloud", choices=CLOUDS, help="one cloud only")
    args = parser.parse_args()
    for cloud in [args.cloud] if args.cloud else CLOUDS:
        measure(cloud, args.minutes * 60)


if __name__ == "__main__":
    main()
