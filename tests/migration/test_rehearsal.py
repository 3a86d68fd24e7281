"""A file of Ray 1, migrated and rehearsed whole, without a hand on it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from tests.support.rehearsal import REHEARSE, environment, left_behind

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


def test_a_file_of_ray_1_is_migrated_and_its_workers_run_their_task(tmp_path: Path, scratch: Path) -> None:
    new = tmp_path / "cluster.yaml"
    assert main(["migrate", str(Path(__file__).parent / "stock" / "ray-1.yaml"), "-o", str(new)]) == 0
    done = subprocess.run(
        [*REHEARSE, new, "--hosts", "processes"], capture_output=True, text=True, check=False, env=environment(scratch)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^worker +g4dn\.xlarge .* Confirmed$", done.stdout, re.MULTILINE), done.stdout
    assert done.stdout.rstrip().endswith("1 of 1 tasks ran")
    assert left_behind(scratch) == []
