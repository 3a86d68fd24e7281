"""Records what commands show on terminals of 80 and 120 columns, to be looked at: `python tests/screens.py FOLDER`.

Each screen becomes FOLDER/NAME-COLUMNS.txt and, with a dark and a light background, FOLDER/NAME-COLUMNS-THEME.svg.
Other columns: `python tests/screens.py FOLDER 40 200`. tests/cli/test_screens.py holds what a program can judge.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from accel_scaling.quarantine.ledger import Ledger
from accel_scaling.quarantine.record import Cause, Quarantine, Record
from accel_scaling.quarantine.store import to_json
from tests.support.terminals import Screen, on_terminal

EXAMPLE = "example_clusters/aws-gpu.yaml"
SCREENS = {
    "help": "--help",
    "init-help": "init --help",
    "init": "init aws A10G:4 T4 --spot",
    "fill": f"fill {EXAMPLE}",
    "plan-help": "plan --help",
    "plan": f"plan {EXAMPLE} --demand A10G:1x2 T4 A100-80G:8 H100:8",
    "plan-wrong-form": f"plan {EXAMPLE} --demand 8xA100",
    "catalog-find": "catalog find A100",
    "catalog-find-t4": "catalog find T4",
    "catalog-find-tpu": "catalog find v5e",
    "catalog-show": "catalog show p4d.24xlarge",
    "catalog-show-series": "catalog show g5",
    "catalog-check": "catalog check",
    "misspelt": "catalog fnd",
    "migrate-help": "migrate --help",
    "kuberay-fill": "kuberay fill tests/data/kuberay/gpu.yaml",
    "kuberay-check": "kuberay check tests/data/kuberay/gpu.yaml tests/data/kuberay/tpu-multi-host.yaml",
    "rehearse-help": "rehearse --help",
    "detect": "detect",
    "confirm": 'confirm --expect {"GPU":8,"accelerator_type:A100":1}',
    "status": "status --state STATE",
    "completion-help": "completion --help",
}
REASON = "EC2 has no p4d.24xlarge at the moment; add zones, a reservation or another node type, or wait"


def main(words: list[str]) -> int:
    """Write the screens of the given widths; return 2 where no folder is named."""
    if not words:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    folder = Path(words[0])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        state = Path(home) / "quarantine.json"
        state.write_text(json.dumps(to_json(_ledger())), encoding="utf-8")
        for columns in [int(word) for word in words[1:]] or [80, 120]:
            for name, command in SCREENS.items():
                arguments = [word.replace("STATE", str(state)) for word in command.split()]
                _write(folder / f"{name}-{columns}", command, on_terminal(arguments, columns), columns)
    return 0


def _ledger() -> Ledger:
    now_s = time.time()
    quarantines = [
        Quarantine(zone, Cause.SOLD_OUT, "InsufficientInstanceCapacity", REASON, now_s, now_s + 300, times)
        for zone, times in (("us-west-2a", 1), ("us-west-2b", 3))
    ]
    return Ledger(types={"p4d": Record(quarantines=tuple(quarantines))}, kept={"i-0123456789abcdef0": "kept by keep"})


def _write(path: Path, command: str, screen: Screen, columns: int) -> None:
    from rich.console import Console
    from rich.terminal_theme import DEFAULT_TERMINAL_THEME, MONOKAI
    from rich.text import Text

    path.with_name(f"{path.name}.txt").write_text(screen.text, encoding="utf-8")
    for theme, colours in (("dark", MONOKAI), ("light", DEFAULT_TERMINAL_THEME)):
        console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
        console.print(Text.from_ansi(f"$ accel-scaling {command}\n{screen.shown}"), soft_wrap=True)
        svg = console.export_svg(title=f"{columns} columns", theme=colours)
        path.with_name(f"{path.name}-{theme}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
