"""The memory test of NVIDIA's devices: patterns through their memory and back, and how fast they copy.

Three quarters of a device's free memory are tried. A pattern is copied into the first segment, from each segment to the
next, and back from the last one, then the same with every bit inverted: what one segment has got wrong, all that follow
have, too. So all of it is written and read at the speed of the device's memory, and only one segment crosses the bus: a
device of 80 GB takes about a second. Copies are timed by the device's own events.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from accel_scaling.families.built_in.nvidia.cuda import (
    IN_USE,
    NO_FAULT,
    PEER_ACCESS_ALREADY_ENABLED,
    SYSTEM_NOT_READY,
    Cuda,
    CudaError,
    NoCudaError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MIB = 1 << 20
GB = 1e9

SHARE = 0.75
"""Of the free memory. Not all: the driver itself still needs some, and so may a program that starts meanwhile."""

PIECE = 32 * MIB
"""Copied at a time between host and device: 0.6 ms on the fastest bus, a hundred times what a call takes."""

PIECES = 8
"""In a segment, 256 MiB: twice the largest cache of a device (126 MB, B200). What is read from a segment comes out of
the memory then, not out of the cache that has just written it."""

COPIES, ROUNDS = 2, 3
"""So many copies are timed together, so many times; the fastest counts, as a link that was idle begins slowly."""

LEAST_FREE = 0.8
"""Of all memory: a device with less is at work for another program, which may need the rest."""

_INVERTED = bytes(255 - value for value in range(256))


@dataclass(frozen=True)
class Tried:
    """One device, after the test.

    Attributes:
        index: CUDA's number for it.
        name: the product as the driver reports it.
        uuid: as nvidia-smi writes it.
        tried_mib: of its memory; 0 where it was not tried.
        to_device_gb_s: from the host's memory.
        to_host_gb_s: to the host's memory.
        memory_gb_s: read and written, when it copies within its memory.
        peer_gb_s: to the next device; None where it reaches none.
        note: why it was not tried; empty where it was.
    """

    index: int
    name: str
    uuid: str
    tried_mib: int = 0
    to_device_gb_s: float = 0.0
    to_host_gb_s: float = 0.0
    memory_gb_s: float = 0.0
    peer_gb_s: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """The result of the test.

    Attributes:
        devices: those that were tried.
        fault: what is wrong with a device, as a part of a sentence; empty where nothing is.
        note: why the test could not run, as a part of a sentence.
        not_ready: CUDA says that the system is not ready yet.
    """

    devices: tuple[Tried, ...] = ()
    fault: str = ""
    note: str = ""
    not_ready: bool = False


class WrongByteError(Exception):
    """What was read is not what was written; the text says where, as the end of a sentence."""


def try_devices(
    path: str,
    wanted: int | None,
    processes: Mapping[str, int],
    say: Callable[[str], None],
    prefix: str = "GPU",
) -> Outcome:
    """Try the devices that CUDA shows to this process.

    Args:
        path: the library's.
        wanted: so many devices must be shown, and the first so many are tried; None for all that there are.
        processes: how many processes compute on a device, by its UUID; such a device is not tried.
        say: is told each step before it begins.
        prefix: of the devices' UUIDs: ``GPU``, or ``MIG``.
    """
    tried: list[Tried] = []
    steps = _Steps(say)
    try:
        steps.begin("CUDA", "starts")
        cuda = Cuda(path)
        shown = cuda.count()
        if shown < (wanted or 0):
            return Outcome(fault=f"CUDA shows {shown} of the {wanted} devices")
        test = _Test(cuda, steps)
        for number in range(shown if wanted is None else wanted):
            device = Tried(number, cuda.name(number), cuda.uuid(number, prefix))
            if running := processes.get(device.uuid, 0):
                by = "a process" if running == 1 else f"{running} processes"
                tried.append(replace(device, note=f"is in use by {by}"))
            else:
                tried.append(test.try_device(device))
        tried = test.try_peers(tried)
        test.close()
    except NoCudaError as error:
        return Outcome(note=str(error))
    except (CudaError, WrongByteError) as error:
        return _failed(tried, f"{steps.at}: {error}", getattr(error, "code", None))
    return Outcome(tuple(tried))


def _failed(tried: Sequence[Tried], sentence: str, code: int | None) -> Outcome:
    if code in NO_FAULT:
        return Outcome(tuple(tried), note=sentence)
    if code == SYSTEM_NOT_READY:
        return Outcome(tuple(tried), fault=f"{sentence} (does nvidia-fabricmanager run?)", not_ready=True)
    return Outcome(tuple(tried), fault=sentence)


class _Steps:
    """The step that is under way: a test that hangs is ended from outside, and only this says where it was."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self.at = say, ""

    def begin(self, at: str, doing: str) -> None:
        """Begin a step.

        Args:
            at: the device.
            doing: what begins, as the end of a sentence.
        """
        self.at = at
        self._say(f"{at} {doing}")


class _Test:
    """The test of the devices of one process: two buffers in the host's memory, and a context of each device."""

    def __init__(self, cuda: Cuda, steps: _Steps) -> None:
        self._cuda, self._steps = cuda, steps
        self._contexts: dict[int, int] = {}
        self._out = self._back = 0
        pattern = os.urandom(MIB) * (PIECE // MIB)  # 32 MiB of random bytes take a tenth of a second
        self._patterns = (pattern, pattern.translate(_INVERTED))
        self._compare = ctypes.CDLL(None).memcmp
        self._compare.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)

    def try_device(self, device: Tried) -> Tried:
        """Return what was found; a device that another program uses has a note instead.

        Raises:
            CudaError: a call has failed.
            WrongByteError: its memory does not keep what is written.
        """
        cuda = self._cuda
        at = f"device {device.index} ({device.uuid})"
        self._steps.begin(at, "gets a context")
        try:
            self._contexts[device.index] = cuda.context(device.index)
            self._make_buffers()
            free, total = cuda.memory()
            if free < LEAST_FREE * total:
                return replace(device, note=f"is in use: {(total - free) // MIB} of its {total // MIB} MiB are taken")
            room = _Room.of(free)
            base = cuda.allocate(room.size)
        except CudaError as error:
            if error.code in IN_USE:
                return replace(device, note=f"is in use ({error})")
            raise
        for pattern in self._patterns:
            self._steps.begin(at, "copies a pattern through its memory")
            self._try_pattern(pattern, base, room)
        self._steps.begin(at, "is timed")
        found = replace(
            device,
            tried_mib=room.size // MIB,
            to_device_gb_s=self._to_device(base, room.piece),
            to_host_gb_s=self._to_host(base, room.piece),
            memory_gb_s=self._within(base, room),
        )
        cuda.call("cuMemFree_v2", base)
        return found

    def _make_buffers(self) -> None:
        if not self._out:
            self._out, self._back = (self._cuda.allocate_on_host(PIECE) for _ in range(2))

    def _try_pattern(self, pattern: bytes, base: int, room: _Room) -> None:
        cuda = self._cuda
        ctypes.memmove(self._out, pattern, PIECE)
        cuda.call("cuMemcpyHtoDAsync_v2", base, self._out, room.piece, None)
        for offset in range(room.piece, room.segment, room.piece):
            cuda.call("cuMemcpyDtoDAsync_v2", base + offset, base + offset - room.piece, room.piece, None)
        for offset in range(room.segment, room.size, room.segment):
            cuda.call("cuMemcpyDtoDAsync_v2", base + offset, base + offset - room.segment, room.segment, None)
        cuda.call("cuCtxSynchronize")
        for offset in range(room.size - room.segment, room.size, room.piece):
            if self._wrong_at(base + offset, room.piece) is not None:
                raise WrongByteError(self._first_wrong(base, offset, room))

    def _wrong_at(self, address: int, size: int) -> int | None:
        """Read from the device and return the first byte that differs from the pattern; None where none does."""
        self._cuda.call("cuMemcpyDtoHAsync_v2", self._back, address, size, None)
        self._cuda.call("cuCtxSynchronize")
        if not self._compare(self._back, self._out, size):
            return None
        first = 0
        while size > 1:
            half = size // 2
            if self._compare(self._back + first, self._out + first, half):
                size = half
            else:
                first, size = first + half, size - half
        return first

    def _first_wrong(self, base: int, found: int, room: _Room) -> str:
        """Return where the copies began to be wrong: the segments before have the same piece."""
        within = found % room.segment
        for offset in range(within, room.size, room.segment):
            wrong = self._wrong_at(base + offset, room.piece)
            if wrong is not None:
                wrote, read = (ctypes.c_ubyte.from_address(side + wrong).value for side in (self._out, self._back))
                return f"byte {offset + wrong} of its memory was written as 0x{wrote:02x} and read as 0x{read:02x}"
        return f"bytes of its memory near {found} were read otherwise than written, and then as written"

    def _to_device(self, base: int, size: int) -> float:
        copy = ("cuMemcpyHtoDAsync_v2", base, self._out, size, None)
        return COPIES * size / GB / self._best_s(copy, COPIES)

    def _to_host(self, base: int, size: int) -> float:
        copy = ("cuMemcpyDtoHAsync_v2", self._back, base, size, None)
        return COPIES * size / GB / self._best_s(copy, COPIES)

    def _within(self, base: int, room: _Room) -> float:
        half = room.size // room.segment // 2 * room.segment
        copy = ("cuMemcpyDtoDAsync_v2", base + half, base, half, None)
        # Twice: each byte is read and written, and makers count both.
        return 2 * half / GB / self._best_s(copy)

    def _best_s(self, copy: tuple[Any, ...], times: int = 1) -> float:
        """Return the shortest time of so many calls in a row, by the device's clock."""
        rounds_s = []
        start, end = self._cuda.event(), self._cuda.event()
        for _ in range(ROUNDS):
            self._cuda.call("cuEventRecord", start, None)
            for _ in range(times):
                self._cuda.call(*copy)
            self._cuda.call("cuEventRecord", end, None)
            rounds_s.append(self._cuda.elapsed_s(start, end))
        for event in (start, end):
            self._cuda.call("cuEventDestroy_v2", event)
        return max(min(rounds_s), 1e-9)

    def try_peers(self, tried: Sequence[Tried]) -> list[Tried]:
        """Return the devices with how fast each copies to the next, in a ring: each sends once, and receives once."""
        found = list(tried)
        ring = [device for device in tried if device.tried_mib]
        if len(ring) < 2:
            return found
        for device, following in zip(ring, [*ring[1:], ring[0]], strict=True):
            if self._cuda.can_access(device.index, following.index):
                self._steps.begin(f"device {device.index} ({device.uuid})", f"copies to device {following.index}")
                found[tried.index(device)] = replace(device, peer_gb_s=self._to_peer(device.index, following.index))
        return found

    def _to_peer(self, source: int, target: int) -> float:
        cuda, contexts = self._cuda, self._contexts
        cuda.call("cuCtxSetCurrent", contexts[target])
        there = cuda.allocate(PIECE)
        cuda.call("cuCtxSetCurrent", contexts[source])
        here = cuda.allocate(PIECE)
        try:
            cuda.call("cuCtxEnablePeerAccess", contexts[target], 0)
        except CudaError as error:
            if error.code != PEER_ACCESS_ALREADY_ENABLED:
                raise
        cuda.call("cuMemcpyHtoDAsync_v2", here, self._out, PIECE, None)
        copy = ("cuMemcpyPeerAsync", there, contexts[target], here, contexts[source], PIECE, None)
        best_s = self._best_s(copy, COPIES)
        cuda.call("cuMemFree_v2", here)
        cuda.call("cuCtxSetCurrent", contexts[target])
        wrong = self._wrong_at(there, PIECE)
        cuda.call("cuMemFree_v2", there)
        if wrong is not None:
            raise WrongByteError(f"byte {wrong} of a copy to device {target} is wrong")
        return COPIES * PIECE / GB / best_s

    def close(self) -> None:
        """Free the buffers and release the contexts; the process that ends would do it, too, and later."""
        for buffer in filter(None, (self._out, self._back)):
            self._cuda.call("cuMemFreeHost", buffer)
        for number in self._contexts:
            self._cuda.call("cuDevicePrimaryCtxRelease_v2", number)


@dataclass(frozen=True)
class _Room:
    """How a device's memory is divided, in bytes."""

    piece: int
    segment: int
    size: int

    @classmethod
    def of(cls, free: int) -> _Room:
        usable = int(free * SHARE)
        piece = max(min(PIECE, usable // 4 // MIB * MIB), MIB)
        segment = piece * max(min(PIECES, usable // (2 * piece)), 1)
        return cls(piece, segment, max(usable // segment, 2) * segment)
