"""What a type checker tells a user, with Ray's own types behind ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# As a user's own, but for the parts of Ray that say nothing of our types: they take 15 s.
CONFIG = """\
[mypy]
strict = true
follow_imports = silent

[mypy-ray.*]
follow_imports = skip

[mypy-ray,ray._private.worker]
follow_imports = silent
"""

PROGRAM = """\
import accel_scaling as acc

@acc.remote(num_accs=1, accelerator_type=acc.NVIDIA_TESLA_V100, num_cpus=2)
def f(x: int) -> str:
    return str(x)

reveal_type(f.remote(1))  # says: ObjectRef[str]
f.remote("x")  # says: incompatible type "str"
reveal_type(acc.options(num_accs=1, accelerator_type=["H100", "T4"], max_retries=0))  # says: dict[str, Any]
reveal_type(acc.bundle(1, "T4", CPU=1.0))  # says: dict[str, float]
reveal_type(acc.get_acc_ids())  # says: list[str]
acc.remote(num_acs=1)  # says: did you mean "num_accs"
acc.options(accelerator_type=3)  # says: incompatible type "int"
acc.options(num_cpus="x")  # says: incompatible type "str"
acc.NVIDIA_TESLA_V1000  # says: maybe "NVIDIA_TESLA_V100"
"""


def test_types_are_rays_and_a_slip_is_found_before_it_runs(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "mypy.ini").write_text(CONFIG)
    options = ["--config-file=mypy.ini", "--python-executable", sys.executable]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    messages = dict(re.findall(r"^program\.py:(\d+): \w+: (.+)$", done.stdout, re.MULTILINE))
    expected = {
        str(number): line.partition("# says: ")[2]
        for number, line in enumerate(PROGRAM.splitlines(), 1)
        if "# says: " in line
    }
    assert messages.keys() == expected.keys(), done.stdout + done.stderr
    for number, words in expected.items():
        assert words in messages[number]
