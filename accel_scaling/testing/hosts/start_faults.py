"""Faults between the boot of a host and its join: what is put on the host so that set-up or `ray start` fails there.

A fault is a file in the home of the account; its name is the fault's word. What reads it is part of the local cloud:
a set-up command, and the `ray` of the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.testing.faults import FaultKind

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ".local_cloud"

FAILING_SETUP = "E: Unable to locate package (the fault setup-fails)"
"""The last line of the set-up command that fails."""

SETUP_COMMAND = (
    f"if [ -e ~/{FOLDER}/{FaultKind.SETUP_FAILS.value} ]; then echo '{FAILING_SETUP}' >&2; exit 100; else true; fi"
)
"""A set-up command of each cluster on a local cloud, as the faults may change while the cluster runs."""

# Ray looks at it after the start hook, when it has found the head: the raylet is never started.
NO_OBJECT_STORE = "--plasma-directory=/fault-start-fails"

_PLAIN_RAY = """#!{python}
# Stands for an environment's `ray`.
import sys
from ray.scripts.scripts import main
sys.exit(main())
"""

_RAY = """#!/bin/sh
# Stands for the image's `ray`: `ray start` fails after the boot check (the fault start-fails).
case " $* " in *" start "*) set -- "$@" {option} ;; esac
exec {python} -m ray.scripts.scripts "$@"
"""


def put_fault(home: Path, fault: FaultKind | None) -> None:
    """Make the home of a host's account say what goes wrong on the host."""
    folder = home / FOLDER
    for kind in (FaultKind.SETUP_FAILS, FaultKind.START_FAILS):
        (folder / kind.value).unlink(missing_ok=True)
    if fault is not None:
        folder.mkdir(exist_ok=True)
        (folder / fault.value).touch()


def start_fails(home: Path) -> bool:
    """Return whether `ray start` is to fail on the host with this home."""
    return (home / FOLDER / FaultKind.START_FAILS.value).exists()


def plain_ray(python: Path) -> str:
    """Return the text of a program that is `ray`, wherever it lies."""
    return _PLAIN_RAY.format(python=python)


def failing_ray(python: Path) -> str:
    """Return the text of a program that stands for `ray` on a host where `ray start` is to fail."""
    return _RAY.format(option=NO_OBJECT_STORE, python=python)
