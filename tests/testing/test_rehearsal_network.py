"""A rehearsal with a command, on plain processes; seen from another address of the machine by who has no token."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.rehearsal import REHEARSE, ROOT, environment, left_behind

OTHER = "10.99.99.1"
STRANGER = ROOT / "tests" / "programs" / "stranger.py"
# In a network of its own: its servers are the rehearsal's, and nobody else's address is taken.
IN_NETWORK = ("unshare", "--net", "sh", "-c", f'ip link set lo up && ip addr add {OTHER}/32 dev lo && exec "$@"', "sh")
AS_NOBODY = ("env", "-u", "RAY_AUTH_TOKEN", "-u", "RAY_AUTH_MODE", sys.executable, str(STRANGER), OTHER)


COUNT = "python3 -c \"import ray; ray.init('auto'); print('nodes:', len(ray.nodes()))\""


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_a_commands_exit_code_is_the_rehearsals_and_who_has_no_token_reads_and_writes_nothing_of_its_ray(
    scratch: Path,
) -> None:
    """One rehearsal for both; an ordinary user cannot make the network, and has the first only."""
    in_network = os.geteuid() == 0 and shutil.which("unshare") and shutil.which("ip")
    command = f"ray status >/dev/null && echo with a token it answers && {COUNT}"
    if in_network:
        command += f" && {' '.join(AS_NOBODY)}"
    done = subprocess.run(
        [*(IN_NETWORK if in_network else ()), *REHEARSE, ROOT / "example_clusters" / "aws-gpu.yaml",
         "--hosts", "processes", "--", "sh", "-c", f"{command} && exit 7"],
        capture_output=True, text=True, env=environment(scratch), check=False,
    )  # fmt: skip
    assert done.returncode == 7, done.stdout + done.stderr
    assert "with a token it answers" in done.stdout
    assert "nodes: 1" in done.stdout
    assert left_behind(scratch) == []
    if in_network:
        nobody_gets_anything(json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[{"))))


def nobody_gets_anything(found: list[dict[str, Any]]) -> None:
    """Check what a stranger was answered by each port."""
    assert [port for port in found if "http" in port] == []
    assert len(found) >= 3, "the servers of Ray itself were not found"
    answers = {status for port in found for status in port["grpc"].values()}
    assert answers == {"UNAUTHENTICATED", "UNIMPLEMENTED"}, found
    assert all("UNAUTHENTICATED" in port["grpc"].values() for port in found), found
