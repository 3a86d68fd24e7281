"""The emulated CUDA library: it copies for real, refuses what the driver refuses, and tells a time of its own."""

from __future__ import annotations

import ctypes
import hashlib
import platform
import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel_scaling.catalog.bandwidth_floors import Copies, floors_of
from accel_scaling.families.built_in.nvidia import cuda as module
from accel_scaling.families.built_in.nvidia.cuda import Cuda, CudaError
from accel_scaling.families.catalog import chips_of
from accel_scaling.testing import devices
from accel_scaling.testing.devices.cuda_speeds import speed_of

FOLDER = Path(devices.__file__).parent
SOURCE = FOLDER / "cuda.c"
LIBRARY = str(FOLDER / f"libcuda-{platform.machine()}.so")
MIB = 1 << 20
INVALID_VALUE, OUT_OF_MEMORY, INVALID_CONTEXT = 1, 2, 201
SLOW_SHARE = 20  # of cuda.c


@pytest.fixture(name="cuda")
def cuda_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cuda:
    """Return the library of a machine with two devices of 64 MiB, with a context of the first."""
    (tmp_path / "answers").write_text("2 64 NVIDIA L4\ncuda-host 0 20\ncuda-memory 0 100\n")
    monkeypatch.setenv("ACCEL_EMULATED_NVML", str(tmp_path / "answers"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    cuda = Cuda(LIBRARY)
    assert cuda.count() == 2
    cuda.context(0)
    return cuda


def code_of(cuda: Cuda, name: str, *arguments: object) -> int:
    with pytest.raises(CudaError) as failed:
        cuda.call(name, *arguments)
    return failed.value.code


def test_the_prebuilt_cuda_libraries_were_built_from_the_source_beside_them() -> None:
    recorded = (FOLDER / "cuda.sha256").read_text(encoding="ascii").split()[0]
    assert hashlib.sha256(SOURCE.read_bytes()).hexdigest() == recorded, (
        "cuda.c has changed since the two libraries were built: rebuild them with the commands at the head of cuda.c"
    )


@pytest.mark.parametrize(("machine", "elf_machine"), [("x86_64", 62), ("aarch64", 183)])
def test_each_prebuilt_cuda_library_is_small_and_has_every_call_of_the_memory_test(
    machine: str, elf_machine: int
) -> None:
    content = (FOLDER / f"libcuda-{machine}.so").read_bytes()
    assert int.from_bytes(content[18:20], "little") == elf_machine
    assert len(content) < 40_000
    names = set(re.findall(r"^cu_result (cu\w+)\(", SOURCE.read_text(encoding="ascii"), re.MULTILINE))
    assert set(module._ARGUMENTS) <= names
    assert [name for name in sorted(names) if name.encode() + b"\0" not in content] == []


def test_a_copy_beyond_an_allocation_is_refused_as_the_driver_refuses_it(cuda: Cuda) -> None:
    size = 3 * MIB
    base, there = cuda.allocate(size), cuda.allocate_on_host(size + 1)
    cuda.call("cuMemcpyHtoDAsync_v2", base, there, size, None)
    for name, arguments in {
        "cuMemcpyHtoDAsync_v2": (base, there, size + 1, None),
        "cuMemcpyDtoHAsync_v2": (there, base + 1, size, None),
        "cuMemcpyDtoDAsync_v2": (base + size, base, 1, None),
        "cuMemFree_v2": (base + 1,),
    }.items():
        assert code_of(cuda, name, *arguments) == INVALID_VALUE, name
    cuda.call("cuMemFree_v2", base)
    assert code_of(cuda, "cuMemcpyHtoDAsync_v2", base, there, 1, None) == INVALID_VALUE
    cuda.call("cuMemFreeHost", there)
    assert code_of(cuda, "cuMemFreeHost", there) == INVALID_VALUE


def test_memory_is_finite_and_comes_back(cuda: Cuda) -> None:
    free, total = cuda.memory()
    assert (free, total) == (62 * MIB, 64 * MIB)
    base = cuda.allocate(free)
    assert code_of(cuda, "cuMemAlloc_v2", ctypes.byref(ctypes.c_uint64()), 1) == OUT_OF_MEMORY
    cuda.call("cuMemFree_v2", base)
    assert cuda.memory() == (free, total)
    # Of a context that is released, all memory is free.
    cuda.allocate(free)
    cuda.call("cuDevicePrimaryCtxRelease_v2", 0)
    assert code_of(cuda, "cuCtxSynchronize") == INVALID_CONTEXT
    cuda.context(0)
    assert cuda.memory() == (free, total)


def test_time_is_that_of_the_configured_speeds_on_any_machine(cuda: Cuda) -> None:
    base, there = cuda.allocate(20 * MIB), cuda.allocate_on_host(20 * MIB)
    start, end = cuda.event(), cuda.event()
    for copy, seconds in {
        ("cuMemcpyHtoDAsync_v2", base, there, 20 * MIB, None): 20 * MIB / 20e9,
        ("cuMemcpyDtoHAsync_v2", there, base, 10 * MIB, None): 10 * MIB / 20e9,
        ("cuMemcpyDtoDAsync_v2", base + 10 * MIB, base, 10 * MIB, None): 2 * 10 * MIB / 100e9,
    }.items():
        cuda.call("cuEventRecord", start, None)
        cuda.call(*copy)
        cuda.call("cuEventRecord", end, None)
        assert cuda.elapsed_s(start, end) == pytest.approx(seconds, rel=1e-4)


_COPY = st.tuples(st.integers(0, 5 * MIB), st.integers(0, 5 * MIB), st.integers(1, 3 * MIB))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(copies=st.lists(_COPY, max_size=6), aligned=st.booleans())
def test_any_copies_leave_the_bytes_that_memory_would_have(
    cuda: Cuda, copies: list[tuple[int, int, int]], aligned: bool
) -> None:
    size = 5 * MIB
    base, there = cuda.allocate(size), cuda.allocate_on_host(size)
    expected = bytearray(random.Random(1).randbytes(size))
    ctypes.memmove(there, bytes(expected), size)
    cuda.call("cuMemcpyHtoDAsync_v2", base, there, size, None)
    for to, source, most in copies:
        start, end = (place // MIB * MIB if aligned else place for place in (to, source))
        count = min(most, size - max(start, end))
        if count <= 0 or abs(start - end) < count:  # what overlaps is not defined
            continue
        cuda.call("cuMemcpyDtoDAsync_v2", base + start, base + end, count, None)
        expected[start : start + count] = expected[end : end + count]
    cuda.call("cuMemcpyDtoHAsync_v2", there, base, size, None)
    found = ctypes.string_at(there, size)
    cuda.call("cuMemFree_v2", base)
    cuda.call("cuMemFreeHost", there)
    assert found == bytes(expected)


def test_a_healthy_emulated_device_is_faster_than_its_floors_and_a_slow_one_is_not() -> None:
    for chip in chips_of("nvidia"):
        speeds = dict(speed_of(chip.driver_names[0]))
        for copies, least in floors_of(chip.name).items():
            speed = speeds.get(f"cuda-{copies.value}")
            assert speed is None or least < speed, (chip.name, copies)
            assert speed is None or copies is Copies.PEER or speed / SLOW_SHARE < least, (chip.name, copies)
