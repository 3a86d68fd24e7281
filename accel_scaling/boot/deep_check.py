"""An active check of a node's devices, which the cluster file or `accel-scaling confirm --deep` asks for.

It runs after the boot check has confirmed the devices, and before the node joins: no task is in its way.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from accel_scaling.boot.compare import may_be_accelerator
from accel_scaling.boot.verdicts import Verdict, VerdictWord, advice_of
from accel_scaling.cluster.deep_check_policy import MEASURED, DeepCheck
from accel_scaling.message_text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

DEEP_CHECK = "ACCEL_SCALING_DEEP_CHECK"
"""Set right before a start command: the node type's check, as JSON."""

_DCGMI = "dcgmi"
_NO_ENGINE = re.compile("unable to (?:connect to host engine|establish a connection)", re.IGNORECASE)
_FAILED = re.compile(r"\bfail(?:ed)?\b", re.IGNORECASE)  # older versions end with 0 anyway
_MOST_BYTES = 1 << 20
_MOST_WORDS = 300


def with_deep_check(command: str, check: DeepCheck | None) -> str:
    """Return a start command of a node whose devices are tried."""
    return command if check is None else f"export {DEEP_CHECK}={shlex.quote(json.dumps(asdict(check)))}; {command}"


def deep_check_of(environment: Mapping[str, str]) -> DeepCheck | None:
    """Return the check that whoever starts this node wants; None where there is none.

    Raises:
        ValueError: the variable has another text than `with_deep_check` writes.
    """
    text = environment.get(DEEP_CHECK)
    if not text:
        return None
    row = json.loads(text)
    return DeepCheck(str(row["command"]), bool(row["memory"]), float(row["within_s"]), dict(row["at_least"]))


def tried(verdict: Verdict, check: DeepCheck | None, before: str = "") -> Verdict:
    """Return the verdict after the devices were tried: the same one with the seconds, or Unhealthy, or TooSlow.

    Args:
        verdict: of the boot check; only a machine that holds its promise, with accelerators in it, is tried.
        check: what is tried; None for nothing.
        before: what an earlier command of the same start has found; it does not run again then.
    """
    promises = any(amount > 0 and may_be_accelerator(name) for name, amount in verdict.promised.items())
    if check is None or not verdict.confirmed or not promises:
        return verdict
    if before:
        return replace(_noted(verdict, before), tried=before)
    after = _tried(verdict, check)
    note = after.message.removeprefix(verdict.message).removeprefix("; ") if after.confirmed else ""
    return replace(after, tried=note)


def _tried(verdict: Verdict, check: DeepCheck) -> Verdict:
    began_s = time.monotonic()
    if check.command:
        verdict = _tried_by_command(verdict, check)
    if not check.memory or not verdict.confirmed:
        return verdict
    from accel_scaling.boot.memory_check import memory_tried  # here: it reads the catalog, and most boots do not

    left_s = max(check.within_s - (time.monotonic() - began_s), 0.0)
    return memory_tried(verdict, left_s, check.at_least)


def _tried_by_command(verdict: Verdict, check: DeepCheck) -> Verdict:
    is_dcgm = check.command.split()[:1] == [_DCGMI]
    if is_dcgm and shutil.which(_DCGMI) is None:
        return _noted(verdict, f"{_DCGMI} is not installed, so it did not run")
    began_s = time.monotonic()
    code, output = _run(check)
    took_s = time.monotonic() - began_s
    if is_dcgm and _NO_ENGINE.search(output):
        return _noted(verdict, f"{_DCGMI} reaches no nv-hostengine, so it did not run")
    wrong = _judged(check, code, output, is_dcgm=is_dcgm)
    if wrong is None:
        return _noted(verdict, f"{check.command} passed in {took_s:.1f} s")
    word, what = wrong
    advice = advice_of(word)
    return replace(verdict, word=word, message=f"{verdict.message}; {check.command} {what}; {advice}", advice=advice)


def _judged(check: DeepCheck, code: int | None, output: str, *, is_dcgm: bool) -> tuple[VerdictWord, str] | None:
    """Return the verdict's word and what was wrong; None where the devices have passed.

    Args:
        check: that has run.
        code: its exit code; None where it took too long.
        output: what it has printed.
        is_dcgm: it is NVIDIA's.
    """
    if code is None:
        return VerdictWord.TOO_SLOW, f"took longer than the {check.within_s:g} s allowed"
    if code != 0 or (is_dcgm and _FAILED.search(output)):
        return VerdictWord.UNHEALTHY, f"ended with {code}: {_last_words(output)}"
    for name, least in check.at_least.items():
        if check.memory and name in MEASURED:
            continue
        number = _number(name, output)
        if number is None:
            return VerdictWord.UNHEALTHY, f"prints no number {name}"
        if number < least:
            return VerdictWord.TOO_SLOW, f"found {name} {number:g}; at least {least:g} is expected"
    return None


def _run(check: DeepCheck) -> tuple[int | None, str]:
    """Run the command; return its exit code, None where it took too long, and its output."""
    with tempfile.TemporaryFile() as output:  # not a pipe: what a killed command has started may keep that open
        process = subprocess.Popen(
            ["sh", "-c", check.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(check.within_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        return code, output.read(_MOST_BYTES).decode(errors="replace")


def _last_words(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if any(character.isalnum() for character in line)]
    telling = [line for line in lines if _FAILED.search(line)] or lines[-1:]
    return one_line("; ".join(telling) or "it printed nothing", _MOST_WORDS)


def _number(name: str, output: str) -> float | None:
    """Return the last number behind this name in a line of its own: ``gib_s: 12.5``, ``gib_s=12.5``, ``gib_s 12.5``."""
    found = re.findall(rf"^\s*{re.escape(name)}\s*[:= ]\s*(-?[0-9]+(?:\.[0-9]+)?)\b", output, re.MULTILINE)
    return float(found[-1]) if found else None


def _noted(verdict: Verdict, note: str) -> Verdict:
    return replace(verdict, message=f"{verdict.message}; {note}")
