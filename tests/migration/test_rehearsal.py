"""Stock files, migrated and rehearsed whole, without a hand on them: one in each run, and all in the nightly run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from tests.support.rehearsal import REHEARSE, environment, left_behind

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

STOCK = Path(__file__).parent / "stock"
IN_EACH_RUN = "ray-1"  # has the most to change
ALL_FILES = "ACCEL_SCALING_ALL_STOCK_FILES"  # set by the nightly run: all ten take some 20 minutes on 2 cores
FILES = sorted(path.stem for path in STOCK.glob("*.yaml")) if os.environ.get(ALL_FILES) else [IN_EACH_RUN]


@pytest.mark.parametrize("name", FILES)
def test_a_stock_file_is_migrated_and_all_its_tasks_run(name: str, tmp_path: Path, scratch: Path) -> None:
    new = tmp_path / "cluster.yaml"
    assert main(["migrate", str(STOCK / f"{name}.yaml"), "-o", str(new)]) == 0
    done = subprocess.run(
        [*REHEARSE, new, "--hosts", "processes"], capture_output=True, text=True, check=False, env=environment(scratch)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r" Confirmed$", done.stdout, re.MULTILINE), done.stdout  # the head, if it is alone
    assert re.search(r"\b(\d+) of \1 tasks ran\n*\Z", done.stdout), done.stdout
    if name == IN_EACH_RUN:
        assert re.search(r"^worker +g4dn\.xlarge .* Confirmed$", done.stdout, re.MULTILINE), done.stdout
        assert done.stdout.rstrip().endswith("1 of 1 tasks ran")
    assert left_behind(scratch) == []
