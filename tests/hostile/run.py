"""Tries thousands of inputs on every command: ``python -m tests.hostile.run --inputs 50000``; nightly, and by hand.

It prints how many of each command were tried, and the slowest. An input that ends in a traceback, takes too long or
breaks the terminal is kept in `tests/hostile/found/`, whose files a test replays: commit it with its repair.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.hostile.cases import case_of
from tests.hostile.judge import judged

FOUND = Path(__file__).with_name("found")
MOST_BYTES = 6 * 2**30  # of addresses: Ray alone takes some 2 GB of them


def main() -> int:
    """Return 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--minutes", type=float, default=600.0, help="the most that it takes")
    parser.add_argument("--seed", type=int, default=None, help="of the random numbers; by default another each time")
    parser.add_argument("--keep", type=Path, default=FOUND, help="the folder for what was found")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    seed = args.seed if args.seed is not None else time.time_ns() % 2**32
    counts, refused, slowest, found = Counter[str](), Counter[str](), dict[str, float](), 0
    folder, until_s = Path(tempfile.mkdtemp(prefix="hostile-")), time.monotonic() + 60 * args.minutes
    try:
        for number in range(args.inputs):
            if time.monotonic() > until_s:
                break
            case = case_of(Random(f"{seed}/{number}"))
            place = folder / str(number)
            place.mkdir()
            outcome = judged(case, place)
            shutil.rmtree(place, ignore_errors=True)
            counts[case.group] += 1
            refused[case.group] += outcome.code == 2
            slowest[case.group] = max(slowest.get(case.group, 0.0), outcome.cpu_s)
            if outcome.trouble:
                found += 1
                text = case.to_json()
                args.keep.mkdir(parents=True, exist_ok=True)
                name = f"{case.group.replace(' ', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
                (args.keep / name).write_text(text, encoding="utf-8")
                sys.stdout.write(f"{name} ({seed}/{number}): {outcome.trouble}\n")
                sys.stdout.flush()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for group, count in sorted(counts.items()):
        sys.stdout.write(f"{group:18} {count:7,} tried {refused[group]:7,} refused, slowest {slowest[group]:.2f} s\n")
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sys.stdout.write(f"seed {seed}: {sum(counts.values()):,} inputs, {found} found, {peak_mib:,} MiB at the most\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
