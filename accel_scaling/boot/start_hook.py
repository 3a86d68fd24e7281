"""Runs inside `ray start` (RAY_START_HOOK), before Ray detects anything: a node that lies never joins."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, OVERRIDE_RESOURCES
from accel_scaling.boot.admission import CONFIRM_ONLY, joining_with
from accel_scaling.boot.compare import compare
from accel_scaling.boot.kuberay_pod import POD, promised_here
from accel_scaling.boot.node_commands import EXIT_REFUSED, LABEL_VERDICT, VERDICT_FILE
from accel_scaling.boot.tpu_slice_host import correct_promise
from accel_scaling.boot.verdict import Verdict, VerdictWord
from accel_scaling.boot.verdicts import advice_of
from accel_scaling.boot.wait_for_driver import settled_verdict
from accel_scaling.families import register
from accel_scaling.families.catalog import chips_here
from accel_scaling.families.inventory import detect
from accel_scaling.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.detect.model import Found


def run(ray_params: Any, head: bool) -> None:  # noqa: FBT001 - Ray calls it so
    """Tell Ray of the plug-in families, and confirm this node against its promise, or stop `ray start`.

    Args:
        ray_params: Ray's start parameters; the verdict is added to its labels.
        head: whether this is the head node; both kinds are confirmed alike.

    Raises:
        SystemExit: with 3, when the node does not hold what was promised; with 0, when it was only to be confirmed.
    """
    found: list[Found] = []
    verdict = judged(found, ray_params)
    promised = verdict.promised
    resources = joining_with(verdict, os.environ)
    try:
        record(verdict, Path.home() / VERDICT_FILE, kind="head" if head else "worker", joins=resources is not None)
    except OSError:
        if POD not in os.environ:  # in a pod no provider reads it, and its file system may be read-only
            raise
    sys.stderr.write(f"accel_scaling {__version__}: {verdict.word.value}: {verdict.message}\n")
    if resources is None:
        raise SystemExit(EXIT_REFUSED)
    if os.environ.get(CONFIRM_ONLY):
        raise SystemExit(0)
    if resources != promised:
        os.environ[OVERRIDE_RESOURCES] = json.dumps(resources)
    announce_partition(promised)
    correct_promise(os.environ, found)
    ray_params.labels = {**(ray_params.labels or {}), LABEL_VERDICT: verdict.word.value}


def judged(found: list[Found], ray_params: Any) -> Verdict:
    """Return the verdict on this machine, with its plug-in families told to Ray; what was detected goes to ``found``.

    A check that fails is a verdict too: without one the machine would be started again, and the next one of its type
    launched, as if nothing were known.
    """
    promised: dict[str, float] = {}

    def judge() -> Verdict:
        found[:] = detect()
        return compare(promised, found)

    try:
        register()
        promised |= promised_here(os.environ, ray_params)
        return settled_verdict(judge)
    except Exception as error:  # noqa: BLE001 - whatever it is, this machine is not confirmed
        words = " ".join(f"{type(error).__name__}: {error}".split())
        advice = advice_of(VerdictWord.UNHEALTHY)
        return Verdict(VerdictWord.UNHEALTHY, f"the check itself failed ({words}); {advice}", promised, advice=advice)


def announce_partition(promised: Mapping[str, float]) -> None:
    """Where a partition is promised (L4-3Q), make Ray announce that instead of the whole chip that it reads (L4)."""
    for chip in chips_here().values():
        if chip.partition_of and chip.variant and ACCELERATOR_TYPE_PREFIX + chip.variant in promised:
            _ray.announce_accelerator_type(chip.variant)


def record(verdict: Verdict, path: Path, *, kind: str, joins: bool) -> None:
    """Write the verdict where the provider reads it, as data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {**verdict.to_json(), "version": __version__, "kind": kind, "joins": joins, "time_s": time.time()}
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
