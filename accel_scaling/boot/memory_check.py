"""The memory test of the deep check: NVIDIA's devices are tried in processes of their own, and judged by the catalog.

A context of CUDA takes memory of a device as long as its process lives, and a broken driver hangs: so each process ends
before the node joins, by itself or killed when the time is over.
"""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX
from accel_scaling.boot.verdicts import Verdict, VerdictWord, advice_of
from accel_scaling.catalog.bandwidth_floors import Copies, floors_of
from accel_scaling.catalog.product_names import chips_named
from accel_scaling.detect import forked_call
from accel_scaling.families.built_in.nvidia import cuda, nvml
from accel_scaling.families.built_in.nvidia.cuda_devices import VISIBLE, CudaDevices, list_devices
from accel_scaling.families.built_in.nvidia.memory_test import Outcome, Tried, try_devices
from accel_scaling.families.catalog import chips_here
from accel_scaling.families.inventory import SYSROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SLICE = "MIG-"
_STEP_BYTES = 512
_WORDS = {
    "to_device_gb_s": (Copies.HOST, "from the host to"),
    "to_host_gb_s": (Copies.HOST, "to the host from"),
    "memory_gb_s": (Copies.MEMORY, "within the memory of"),
    "peer_gb_s": (Copies.PEER, "to the next device from"),
}


class _TooLateError(Exception):
    """The test has not ended in time; the text says where it was."""


@dataclass(frozen=True)
class _Judged:
    """One device with the least that each of its copies must be."""

    tried: Tried
    chip: str
    floors: Mapping[Copies, float]

    def to_json(self) -> dict[str, Any]:
        """Return the documented object of ``measured``."""
        numbers = {name: round(value, 2) if isinstance(value, float) else value for name, value in self._values()}
        return {**numbers, "at_least": {f"{copies.value}_gb_s": least for copies, least in self.floors.items()}}

    def _values(self) -> list[tuple[str, Any]]:
        return list(asdict(self.tried).items())

    def slow(self) -> list[tuple[float, str]]:
        """Return what is slower than its floor: its share of it, and the sentence."""
        found = []
        for name, (copies, words) in _WORDS.items():
            number, least = getattr(self.tried, name), self.floors.get(copies)
            if self.tried.tried_mib and number is not None and least and number < least:
                where = f"device {self.tried.index} ({self.tried.uuid})"
                of = f" of {self.chip}" if self.chip else ""
                found.append(
                    (number / least, f"found {number:.3g} GB/s {words} {where}; at least {least:g} is expected{of}")
                )
        return found


def memory_tried(
    verdict: Verdict,
    within_s: float,
    at_least: Mapping[str, float],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Verdict:
    """Return the verdict after the memory of NVIDIA's devices was tried: the same one with the seconds, or a bad one.

    Args:
        verdict: of a machine that holds its promise.
        within_s: seconds for all of it.
        at_least: numbers of the user's, in place of the catalog's.
        clock: tells seconds.
        sleep: waits for so many seconds.
    """
    seen = _nvidia(verdict)
    if seen is None:
        return _noted(verdict, "the memory test did not run: it is for NVIDIA GPUs")
    wanted = None if seen["divided"] else min(int(verdict.promised["GPU"]), seen["driver_count"]) or None
    began_s = clock()
    try:
        outcome = _outcome(wanted, began_s + within_s, clock, sleep)
    except _TooLateError as late:
        return _bad(verdict, VerdictWord.TOO_SLOW, f"took longer than the {within_s:g} s left for it ({late})")
    took = f"{clock() - began_s:.1f} s"
    judged = [_judged(one, at_least) for one in outcome.devices]
    verdict = replace(verdict, measured=[one.to_json() for one in judged])
    if outcome.fault:
        return _bad(verdict, VerdictWord.UNHEALTHY, f"failed after {took}: {outcome.fault}")
    if slow := sorted(sentence for one in judged for sentence in one.slow()):
        more = f" (and {len(slow) - 1} more)" if len(slow) > 1 else ""
        return _bad(verdict, VerdictWord.TOO_SLOW, f"took {took} and {slow[0][1]}{more}")
    if outcome.note:
        return _noted(verdict, f"the memory test did not run: {outcome.note}")
    return _noted(verdict, _passed(outcome.devices, took))


def _nvidia(verdict: Verdict) -> dict[str, Any] | None:
    """Return NVIDIA's devices as they were detected; None where there are none, or another maker's are promised."""
    gpus = [one for one in verdict.detected if one["resource"] == "GPU" and one["driver_count"]]
    seen = next((one for one in gpus if one["family"] == "nvidia"), None)
    if seen is None or not verdict.promised.get("GPU"):
        return None
    types = {f"{ACCELERATOR_TYPE_PREFIX}{name}" for name in seen["answers_to"]}
    return seen if len(gpus) == 1 or types & set(verdict.promised) else None


def _passed(devices: Sequence[Tried], took: str) -> str:
    tried = [one for one in devices if one.tried_mib]
    left_out = [f"device {one.index} {one.note}" for one in devices if one.note]
    if not tried:
        return f"the memory test did not run: {'; '.join(left_out)}"
    peers = [one.peer_gb_s for one in tried if one.peer_gb_s is not None]
    numbers = [
        f"{min(one.to_device_gb_s for one in tried):.3g} GB/s to it",
        f"{min(one.to_host_gb_s for one in tried):.3g} from it",
        f"{min(one.memory_gb_s for one in tried):.4g} within it",
        *([f"{min(peers):.3g} to the next"] if peers else []),
    ]
    which = "the device" if len(tried) == 1 else f"the slowest of {len(tried)} devices"
    without = f"; not tried: {', '.join(left_out)}" if left_out else ""
    return f"the memory test passed in {took} ({which}: {', '.join(numbers)}{without})"


def _judged(one: Tried, at_least: Mapping[str, float]) -> _Judged:
    # One name may be several chips': a floor holds where they have the same.
    chips = [chip.name for chip in chips_named(one.name, chips_here().values())]
    floors = dict(floors_of(chips[0])) if len(chips) == 1 else {}
    own = {copies: at_least[name] for copies in Copies if (name := f"{copies.value}_gb_s") in at_least}
    return _Judged(one, chips[0] if len(chips) == 1 else "", {**floors, **own})


def _outcome(wanted: int | None, until_s: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> Outcome:
    """Try all devices; again for a while where CUDA says that the system is not ready yet.

    Raises:
        _TooLateError: the time is over.
    """
    root = Path(os.environ.get(SYSROOT) or "/")
    path = nvml.library_path(root, cuda.LIBRARY)
    if path is None:
        return Outcome(note=f"{cuda.LIBRARY} not found")
    listed = _listed(nvml.library_path(root), until_s - clock())
    ready_s = min(until_s, clock() + timeouts.CUDA_NOT_READY_S)
    devices: list[Tried] = []
    for view in listed.views(os.environ):
        outcome = _try_view(path, view, wanted, listed, max(until_s - clock(), 0.0))
        while outcome.not_ready and clock() + timeouts.CUDA_NOT_READY_POLL_S < ready_s:
            sleep(timeouts.CUDA_NOT_READY_POLL_S)
            outcome = _try_view(path, view, wanted, listed, max(until_s - clock(), 0.0))
        # Each process numbers its devices from 0.
        devices += [replace(one, index=len(devices) + place) for place, one in enumerate(outcome.devices)]
        if outcome.fault or outcome.note:
            return replace(outcome, devices=tuple(devices))
    return Outcome(tuple(devices))


def _listed(path: str | None, left_s: float) -> CudaDevices:
    if path is None:
        return CudaDevices()
    try:
        return forked_call.call(lambda: list_devices(path), min(left_s, timeouts.DRIVER_LIBRARY_TIMEOUT_S))
    except (forked_call.NoAnswerError, forked_call.CrashedError):
        return CudaDevices()  # the boot check has asked it a moment ago; the test itself tells what is wrong


def _try_view(path: str, view: str | None, wanted: int | None, listed: CudaDevices, left_s: float) -> Outcome:
    """Try the devices of one value of CUDA_VISIBLE_DEVICES, in a child process.

    Raises:
        _TooLateError: the child had to be ended.
    """
    # Shared with the child: what it was doing is known also when it must be ended.
    step = mmap.mmap(-1, _STEP_BYTES)
    sliced = view is not None and view.startswith(_SLICE)
    shown = len(listed.whole) if view is not None and not sliced else wanted

    def say(text: str) -> None:
        step[:] = text.encode()[:_STEP_BYTES].ljust(_STEP_BYTES, b"\0")

    def question() -> Outcome:
        if view is not None:
            os.environ[VISIBLE] = view
        return try_devices(path, 1 if sliced else shown, listed.processes, say, "MIG" if sliced else "GPU")

    began_s = time.monotonic()
    try:
        return forked_call.call(question, left_s)
    except forked_call.NoAnswerError as silence:
        if time.monotonic() - began_s < left_s:
            return Outcome(note=str(silence))  # there can be no child: nothing is known of the devices
        raise _TooLateError(_text(step) or "CUDA was not yet started") from None
    except forked_call.CrashedError as crash:
        return Outcome(fault=f"{_text(step)}: {crash}")
    finally:
        step.close()


def _text(step: mmap.mmap) -> str:
    return bytes(step).rstrip(b"\0").decode(errors="replace")


def _bad(verdict: Verdict, word: VerdictWord, what: str) -> Verdict:
    advice = advice_of(word)
    return replace(verdict, word=word, message=f"{verdict.message}; the memory test {what}; {advice}", advice=advice)


def _noted(verdict: Verdict, note: str) -> Verdict:
    return replace(verdict, message=f"{verdict.message}; {note}")
