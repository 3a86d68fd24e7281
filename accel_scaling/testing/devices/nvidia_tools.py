"""The emulated tools of NVIDIA's DCGM: `dcgmi diag -r LEVEL`, whose answer a fault decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from accel_scaling.testing.devices.hardware import Hardware

DIAGNOSES = ("slow", "diag-fails")
"""Faults that it shows, and the CUDA library, and nothing that asks NVML; each is a fact of the hardware."""

TOOLS = "usr/bin"

_TABLE = """\
Successfully ran diagnostic for group.
+---------------------------+------------------------------------------------+
| Diagnostic                | Result                                         |
+===========================+================================================+
| Deployment                | Pass                                           |
| GPU Memory                | {memory:<46} |
+---------------------------+------------------------------------------------+
"""


def write_dcgmi(root: Path, hardware: Hardware) -> Path:
    """Write the tool below the folder used as ``/``; return the tool's folder."""
    faults = {word for word, _ in hardware.facts}
    memory = f"Fail - GPU {hardware.seen_by_driver - 1}" if "diag-fails" in faults else "Pass"
    wait = "sleep 3600\n" if "slow" in faults else ""
    text = _TABLE.format(memory=memory)
    # Older versions end with 0 whatever they find.
    script = (
        "#!/bin/sh\n# The emulated dcgmi of a rehearsed host.\n"
        '[ "$1 $2" = "diag -r" ] || { echo "only `dcgmi diag -r LEVEL` is emulated" >&2; exit 1; }\n'
        f"{wait}cat <<'END'\n{text}END\n"
    )
    tool = root / TOOLS / "dcgmi"
    tool.parent.mkdir(parents=True, exist_ok=True)
    tool.write_text(script, encoding="utf-8")
    tool.chmod(0o755)
    return tool.parent
