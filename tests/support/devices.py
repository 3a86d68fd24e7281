"""Machines with emulated accelerators, for tests: a folder, and this process or a child looking at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from accel_scaling.families.registry import built_in
from accel_scaling.testing.devices.device_faults import with_fault
from accel_scaling.testing.devices.device_files import install
from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.devices.hardware import Hardware

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """A booted machine: its root folder and the environment of its processes."""

    root: Path
    environment: Mapping[str, str]

    def python(self, code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python on the machine."""
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `accel-scaling` on the machine, as a user does."""
        return self.python(
            "from accel_scaling.cli.main import main; raise SystemExit(main())", *arguments, **environment
        )

    def answer(self, code: str) -> Any:
        """Run Python that prints JSON on the machine and return what it printed."""
        done = self.python(code)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(name="boot")
def boot_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    """Boot a machine of an EC2 type, or of given hardware, and make this very process look at it."""

    def boot_one(what: str | Hardware, fault: str | None = None) -> Machine:
        hardware = hardware_of(what) if isinstance(what, str) else what
        # What this machine's own shell says about its devices is not the emulated machine's.
        for family in built_in():
            for variable in family.narrowing_variables:
                monkeypatch.delenv(variable, raising=False)
        root = tmp_path / f"machine-{len(list(tmp_path.glob('machine-*')))}"
        environment = install(root, with_fault(hardware, fault) if fault else hardware)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Machine(root, environment)

    return boot_one


def nvidia(count: int, driver_name: str = "NVIDIA A100-SXM4-40GB", pci_id: str = "10de:20b0") -> Hardware:
    """Return a machine with so many NVIDIA devices."""
    return Hardware("nvml", "nvidia", count, driver_name, pci_id, memory_mib=40960)


def neuron(count: int, driver_name: str = "Trainium2", pci_id: str = "1d0f:7364", cores: int = 4) -> Hardware:
    """Return a machine with so many Neuron devices."""
    return Hardware("neuron", "neuron", count, driver_name, pci_id, "0x088000", 98304, cores)
