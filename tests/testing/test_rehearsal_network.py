"""A rehearsal on plain processes, seen from another address of the machine by who has no token."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.rehearsal import REHEARSE, ROOT, environment, left_behind

OTHER = "10.99.99.1"
STRANGER = ROOT / "tests" / "programs" / "stranger.py"
# In a network of its own: its servers are the rehearsal's, and nobody else's address is taken.
IN_NETWORK = ("unshare", "--net", "sh", "-c", f'ip link set lo up && ip addr add {OTHER}/32 dev lo && exec "$@"', "sh")
AS_NOBODY = ("env", "-u", "RAY_AUTH_TOKEN", "-u", "RAY_AUTH_MODE", sys.executable, str(STRANGER), OTHER)


@pytest.mark.cluster
@pytest.mark.root
@pytest.mark.timeout(400)
@pytest.mark.needs("unshare", "ip")
def test_who_has_no_token_reads_and_writes_nothing_of_a_rehearsals_ray(scratch: Path) -> None:
    command = f"ray status >/dev/null && echo with a token it answers && {' '.join(AS_NOBODY)}"
    done = subprocess.run(
        [*IN_NETWORK, *REHEARSE, ROOT / "example_clusters" / "aws-gpu.yaml", "--hosts", "processes", "--",
         "sh", "-c", command],
        capture_output=True, text=True, env=environment(scratch), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "with a token it answers" in done.stdout
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[{")))
    assert [port for port in found if "http" in port] == []
    assert len(found) >= 3, "the servers of Ray itself were not found"
    answers = {status for port in found for status in port["grpc"].values()}
    assert answers == {"UNAUTHENTICATED", "UNIMPLEMENTED"}, found
    assert all("UNAUTHENTICATED" in port["grpc"].values() for port in found), found
    assert left_behind(scratch) == []
