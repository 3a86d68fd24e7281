#!/usr/bin/env python3
"""Tries this package with several minors of Ray, each in an environment of its own; writes the table of the results.

    python tests/ray_versions.py 2.50 2.54 2.57 newest pre-release     what the nightly workflow runs
    python tests/ray_versions.py --all --write                         every minor; writes docs/ray-versions.md
    python tests/ray_versions.py 2.50 --parts imports contract         what a change's run has time for

Needs `uv`. The loop starts a Ray cluster on this machine: nothing else should run one at the same time. The exit code
is 1 where something failed. A table has only what was run: what this run leaves out keeps the cell of an earlier one.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from accel_scaling._ray import versions  # noqa: E402 - found by the line above

PAGE = ROOT / "docs" / "ray-versions.md"
BEGIN, END = "<!-- begin: tests/ray_versions.py -->\n", "<!-- end: tests/ray_versions.py -->\n"
NEWEST, PRE_RELEASE = "newest", "pre-release"
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not cluster")
IMPORTS = """
import importlib, pkgutil
from accel_scaling import _ray
names = [module.name for module in pkgutil.iter_modules(_ray.__path__)]
for name in names:
    importlib.import_module("accel_scaling._ray." + name)
print(len(names), "passed")
"""
# What each column runs, and for how many seconds at the most.
PARTS: dict[str, tuple[tuple[str, ...], int]] = {
    "imports": (("-c", IMPORTS), 60),
    "contract": ((*PYTEST, "tests/_ray"), 900),
    # Each test that is marked for the next minor must fail here, and each that was until the one before.
    "edges": ((*PYTEST, "--edges", "tests/_ray"), 600),
    "plan": ((*PYTEST, "tests/plan", "tests/cli/test_plan.py"), 900),
    "loop": (("-m", "accel_scaling.cli.main", "rehearse", "example_clusters/aws-gpu.yaml"), 600),
}
_COUNT = re.compile(r"(\d+) (failed|passed|xfailed|error)")
_TASKS = re.compile(r"^(\d+ of \d+ tasks ran)$", re.MULTILINE)


def main() -> int:
    """Try each version; return 1 where something failed."""
    args = _arguments()
    wanted = [*args.versions, *(every_minor() if args.all else [])]
    rows, failed = read_table(), []
    for name in wanted:
        environment = args.environments / f"ray-{name}"
        version = install(environment, name)
        row = rows.setdefault(version.rpartition(".")[0], {})
        row |= {"Ray": version, "run on": datetime.now(timezone.utc).strftime("%Y-%m-%d")}
        for part in args.parts:
            passed, row[part] = run(environment, part, args.logs)
            print(f"Ray {version}: {part}: {row[part]}", flush=True)
            failed += [] if passed else [f"Ray {version}: {part}"]
        if args.write:  # after each: a run of all takes an hour, and may be cut off
            write_table(rows)
    if failed:
        print(f"FAILED: {'; '.join(failed)}; what they said is in {args.logs}", file=sys.stderr)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", help=f"minors such as 2.54, versions, {NEWEST}, {PRE_RELEASE}")
    parser.add_argument("--all", action="store_true", help="every minor from the oldest to the newest checked")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "accel_scaling-ray-versions")
    parser.add_argument("--logs", type=Path, default=None, help="by default beside the environments")
    parser.add_argument("--write", action="store_true", help=f"write the table of {PAGE.relative_to(ROOT)}")
    args = parser.parse_args()
    args.logs = args.logs or args.environments / "logs"
    args.logs.mkdir(parents=True, exist_ok=True)
    return args


def every_minor() -> list[str]:
    """Return the minors from the floor to the newest that was checked."""
    major, first = versions.FLOOR
    return [f"{major}.{minor}" for minor in range(first, versions.CHECKED[1] + 1)]


def install(environment: Path, name: str) -> str:
    """Make an environment with a version of Ray, or bring it up to date; return the version."""
    python = environment / "bin" / "python"
    if not python.exists():
        # With this Python: every supported Ray has those that this package supports.
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(environment)], check=True)
    pinned = {NEWEST: "ray", PRE_RELEASE: "ray"}.get(name, f"ray=={name}" + (".*" if name.count(".") == 1 else ""))
    options = ["--prerelease", "allow"] if name == PRE_RELEASE else []
    options += ["--upgrade-package", "ray"] if name in (NEWEST, PRE_RELEASE) else []
    command = ["uv", "pip", "install", "-q", *options, "--python", str(python), "-e", f"{ROOT}[dev]", pinned]
    subprocess.run(command, check=True)
    code = "import importlib.metadata as m; print(m.version('ray'))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def run(environment: Path, part: str, logs: Path) -> tuple[bool, str]:
    """Run a part; return whether it passed, and its cell of the table."""
    words, timeout_s = PARTS[part]
    inherited = {**os.environ, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    log = logs / f"{environment.name}-{part}.txt"
    begun = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        try:
            command = [str(environment / "bin" / "python"), *words]
            code = subprocess.run(
                command, cwd=ROOT, env=inherited, stdout=output, stderr=output, timeout=timeout_s, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            return False, f"longer than {timeout_s} s"
    return cell(part, code, log.read_text(encoding="utf-8"), time.monotonic() - begun)


def cell(part: str, code: int, text: str, seconds: float) -> tuple[bool, str]:
    """Return whether a part passed, and what its output says of it."""
    if part == "loop":
        tasks = _TASKS.findall(text)
        return code == 0, f"{tasks[-1] if tasks else 'failed'} ({seconds:.0f} s)"
    counts = {what: int(number) for number, what in _COUNT.findall(text.splitlines()[-1] if text else "")}
    if part == "edges":
        # 5 is pytest's code for no tests: nothing changed between this minor and the next one.
        return code in (0, 5), f"{counts.get('xfailed', 0)} fail as they must" if code in (0, 5) else "a mark is wrong"
    if code == 0:
        return True, f"{counts.get('passed', 0)} pass"
    return False, f"{counts.get('failed', 0) + counts.get('error', 0) or 'all'} fail"


def read_table() -> dict[str, dict[str, str]]:
    """Return the rows of the table in the page, by the minor."""
    _, _, behind = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    lines = [line for line in behind.partition(END)[0].splitlines() if line.startswith("|")]
    if len(lines) < 2:
        return {}
    heads, *cells = ([word.strip() for word in line.strip("|").split("|")] for line in (lines[0], *lines[2:]))
    rows = [dict(zip(heads, row, strict=True)) for row in cells]
    return {row["Ray"].rpartition(".")[0]: row for row in rows}


def write_table(rows: dict[str, dict[str, str]]) -> None:
    """Write the rows into the page, the newest minor first; a cell that was never run is empty."""
    heads = ("Ray", *PARTS, "run on")
    newest_first = sorted(rows, key=lambda minor: [int(part) for part in minor.split(".")], reverse=True)
    lines = [heads, ["---"] * len(heads), *([rows[minor].get(head, "") for head in heads] for minor in newest_first)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}{table}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
