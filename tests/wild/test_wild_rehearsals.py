"""Files whose start commands bring `ray`, rehearsed whole: both autoscalers, both clouds, both kinds of hosts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.cluster import V1
from tests.support.rehearsal import REHEARSE, environment, left_behind

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

HERE = Path(__file__).parent


def rehearse(name: str, scratch: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*REHEARSE, HERE / f"{name}.yaml", *options], capture_output=True, text=True, check=False,
        env={**environment(scratch), **variables},
    )  # fmt: skip


def test_a_venv_brings_ray_and_a_head_and_a_worker_of_one_machine_type_have_a_row_each(scratch: Path) -> None:
    done = rehearse("venv-on-two-lines", scratch)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "`ray` is not on the hosts' PATH; it is in ~/rayenv, /home/ubuntu/rayenv: stand-ins" in done.stdout
    for name, machine in (("boss", "m6i.large"), ("crunch", "m6i.large"), ("tesla", "g4dn.xlarge")):
        assert re.search(rf"^{name} +{machine} .* Confirmed$", done.stdout, re.MULTILINE), done.stdout
    assert "asked      1 x m6i.large for boss\n" in done.stdout
    assert "asked      1 x m6i.large for crunch\n" in done.stdout
    assert re.search(r"^boss +CPU 2 +CPU 2, ", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^crunch +CPU 2, memory \S+ GiB +CPU 2, ", done.stdout, re.MULTILINE), done.stdout
    assert done.stdout.rstrip().endswith("2 of 2 tasks ran")
    assert left_behind(scratch) == []


def test_uv_and_conda_bring_ray_on_plain_processes_under_the_older_autoscaler(scratch: Path) -> None:
    done = rehearse("uv-and-conda", scratch, "--hosts", "processes", **V1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "`ray` is not on the hosts' PATH; it is in /opt/conda/envs/work, `uv run`: stand-ins" in done.stdout
    assert "running    accelerator_type='L4' on g2-standard-4 " in done.stdout
    assert left_behind(scratch) == []


def test_a_start_command_that_fails_is_one_sentence_with_what_to_do(scratch: Path) -> None:
    done = rehearse("unknown-activation", scratch, "--hosts", "processes")
    assert done.returncode == 2
    # Notes about the file come first: it lacks keys that Ray needs.
    sentence, *printed, log = [line for line in done.stderr.strip().splitlines() if not line.startswith("note: ")]
    assert re.fullmatch(
        r"accel-scaling: `ray up` failed: on the head \(node type head\), `echo the first line; workon rayenv && .*`"
        r" ended with 127: bash: .*workon: command not found; setup_commands were left out: --with-setup runs them",
        sentence,
    )
    assert printed[0] == "  | the first line"
    assert len(printed) == 2
    path = Path(log.removeprefix("its whole output: "))
    assert path.parent == scratch
    assert "Failed to setup head node" in path.read_text()
    assert "Traceback" not in done.stdout + done.stderr + path.read_text()
