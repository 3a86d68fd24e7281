"""The memory test of the deep check, against the emulated CUDA library: every verdict and every note."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from accel_scaling import timeouts
from accel_scaling.boot.compare import compare
from accel_scaling.boot.deep_check import DEEP_CHECK
from accel_scaling.boot.memory_check import memory_tried
from accel_scaling.boot.verdict_file import VERDICT_FILE
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED, Verdict, VerdictWord
from accel_scaling.cli.main import main
from accel_scaling.families.inventory import detect
from accel_scaling.testing.devices.drivers import NVML_CONFIG
from accel_scaling.testing.devices.ec2_machines import hardware_of
from tests.support.devices import neuron, nvidia

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.testing.devices.hardware import Hardware
    from tests.support.devices import Machine

FIRST, SECOND = (f"GPU-00000000-0000-0000-0000-00000000000{number}" for number in (0, 1))
T4 = {"GPU": 1.0, "accelerator_type:T4": 1.0}
LONG_S = 100.0


def t4(*facts: tuple[str, int], **changes: Any) -> Hardware:
    """Return a machine with one T4 of little memory: a test of it takes a tenth of a second."""
    return replace(hardware_of("g4dn.xlarge"), facts=facts, memory_mib=128, **changes)


def a100s(count: int, *facts: tuple[str, int]) -> Hardware:
    return replace(nvidia(count), memory_mib=128, facts=facts)


def tried(
    promised: dict[str, float], within_s: float = LONG_S, at_least: Mapping[str, float] | None = None, **times: Any
) -> Verdict:
    verdict = compare(promised, detect())
    assert verdict.confirmed, verdict.message
    return memory_tried(verdict, within_s, at_least or {}, **times)


@pytest.mark.parametrize(
    ("facts", "word", "says"),
    [
        ((), "Confirmed", "s (the device: 6 GB/s to it, 6 from it, 250 within it)"),
        (("slow", 1), "TooSlow", f"0.3 GB/s from the host to device 0 ({FIRST}); at least 4 is expected of T4 (and 2"),
        (("cuda-memory", 70), "TooSlow", f"found 70 GB/s within the memory of device 0 ({FIRST}); at least 80 is"),
        (("diag-fails", 1), "Unhealthy", f"device 0 ({FIRST}): byte 1048576 of its memory was written as 0x"),
        (("cuda-wrong", 50), "Unhealthy", "byte 52428800 of its memory was written as 0x"),
        (("cuda-copy", 214), "Unhealthy", f"({FIRST}): cuCtxSynchronize failed with CUDA_ERROR_ECC_UNCORRECTABLE; rep"),
        (("cuda-copy", 719), "Unhealthy", "failed with CUDA_ERROR_LAUNCH_FAILED"),
        (("cuda-copy", 555), "Unhealthy", "failed with CUDA error 555"),
        (("cuda-init", 34), "Unhealthy", "CUDA: cuInit failed with CUDA_ERROR_STUB_LIBRARY"),
        (("cuda-init", 100), "Unhealthy", "CUDA shows 0 of the 1 devices"),
        (("cuda-dies", 1), "Unhealthy", f"device 0 ({FIRST}) gets a context: its process died of SIGABRT"),
        (("cuda-retain", 2), "Confirmed", "device 0 is in use (cuDevicePrimaryCtxRetain failed with CUDA_ERROR_OUT_OF"),
        (("cuda-retain", 46), "Confirmed", "device 0 is in use (cuDevicePrimaryCtxRetain failed with CUDA_ERROR_DEV"),
        (("cuda-busy", 40), "Confirmed", "did not run: device 0 is in use: 44 of its 128 MiB are taken"),
        (("processes", 1), "Confirmed", "did not run: device 0 is in use by a process"),
        (("cuda-retain", 801), "Confirmed", "did not run: device 0"),
    ],
)
def test_each_fault_of_a_device_is_a_verdict_and_each_use_of_it_by_others_a_note(
    facts: tuple[str, int], word: str, says: str, boot: Callable[..., Machine]
) -> None:
    boot(t4(*([facts] if facts else [])))
    verdict = tried(T4)
    assert (verdict.word.value, says in verdict.message) == (word, True), verdict.message


def children() -> set[str]:
    """Return the process ids of this process's children: other tests may have left some."""
    lists = (path.read_text(encoding="ascii") for path in Path("/proc/self/task").glob("*/children"))
    return {child for line in lists for child in line.split()}


def test_a_driver_that_hangs_is_ended_when_the_time_is_over_and_the_sentence_says_where_it_was(
    boot: Callable[..., Machine],
) -> None:
    boot(t4(("cuda-hangs", 1)))
    before = children()
    verdict = tried(T4, 1.5)
    assert verdict.word is VerdictWord.TOO_SLOW
    # On a busy machine the child may not have come to the copy.
    steps = rf"CUDA starts|device 0 \({FIRST}\) (gets a context|copies a pattern through its memory)"
    assert re.search(rf"took longer than the 1\.5 s left for it \(({steps})\)", verdict.message), verdict.message
    assert children() <= before


class Clock:
    """Seconds that pass only while the test sleeps."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.now_s, self._meanwhile = 0.0, meanwhile

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self._meanwhile()


def test_a_system_that_is_not_ready_gets_a_minute_as_its_fabric_manager_may_still_start(
    boot: Callable[..., Machine],
) -> None:
    config = boot(t4(("cuda-init", 802))).root / NVML_CONFIG
    never = Clock()
    verdict = tried(T4, clock=never, sleep=never.sleep)
    assert verdict.word is VerdictWord.UNHEALTHY
    assert "CUDA_ERROR_SYSTEM_NOT_READY (does nvidia-fabricmanager run?)" in verdict.message
    assert never.now_s <= timeouts.CUDA_NOT_READY_S
    soon = Clock(lambda: config.write_text(config.read_text().replace("cuda-init", "nothing")))
    assert tried(T4, clock=soon, sleep=soon.sleep).word is VerdictWord.CONFIRMED
    assert soon.now_s == timeouts.CUDA_NOT_READY_POLL_S


def test_devices_that_reach_each_other_are_timed_in_a_ring(boot: Callable[..., Machine]) -> None:
    boot(a100s(3))
    verdict = tried({"GPU": 3.0, "accelerator_type:A100": 1.0})
    assert [one["peer_gb_s"] for one in verdict.measured] == [240.0] * 3
    assert "(the slowest of 3 devices: 25 GB/s to it, 25 from it, 1290 within it, 240 to the next)" in verdict.message
    boot(a100s(3, ("cuda-peer", 20)))
    verdict = tried({"GPU": 3.0, "accelerator_type:A100": 1.0})
    slow = "found 20 GB/s to the next device from device 2 (GPU-00000000-0000-0000-0000-000000000002); at least 60 is"
    assert (verdict.word, slow in verdict.message) == (VerdictWord.TOO_SLOW, True), verdict.message


def test_a_device_in_use_leaves_the_others_to_be_tried(boot: Callable[..., Machine]) -> None:
    boot(a100s(3, ("processes", 2)))
    verdict = tried({"GPU": 3.0, "accelerator_type:A100": 1.0})
    assert "(the slowest of 2 devices: " in verdict.message
    assert "; not tried: device 2 is in use by 2 processes)" in verdict.message
    assert [bool(one["tried_mib"]) for one in verdict.measured] == [True, True, False]


def test_mig_slices_are_tried_one_by_one_by_their_uuids_and_not_with_each_other(boot: Callable[..., Machine]) -> None:
    boot(a100s(2, ("mig", 2)))
    verdict = tried({"GPU": 2.0})
    assert verdict.word is VerdictWord.CONFIRMED
    slices = [f"MIG-00000000-0000-0000-000{number}-000000000001" for number in (1, 2)]
    assert [(one["index"], one["uuid"]) for one in verdict.measured] == list(enumerate([FIRST, *slices]))
    assert [one["peer_gb_s"] for one in verdict.measured] == [None] * 3
    # A slice has a part of the device's memory, and no floor of its own.
    assert [bool(one["at_least"]) for one in verdict.measured] == [True, False, False]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(("visible", "uuids"), [("1", [SECOND]), (SECOND[:-1], [FIRST])])
def test_only_what_the_environment_leaves_visible_is_tried(
    visible: str, uuids: list[str], boot: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    boot(a100s(2))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [one["uuid"] for one in tried({"GPU": 1.0}).measured] == uuids


def test_only_as_many_devices_as_are_promised_are_tried(boot: Callable[..., Machine]) -> None:
    boot(a100s(2))
    verdict = tried({"GPU": 1.0, "accelerator_type:A100": 1.0})
    assert verdict.word is VerdictWord.MORE_THAN_PROMISED
    assert [one["uuid"] for one in verdict.measured] == [FIRST]


def test_a_driver_without_cuda_and_one_that_is_too_old_are_notes(boot: Callable[..., Machine]) -> None:
    machine = boot(t4())
    (library,) = machine.root.glob("usr/lib*/**/libcuda.so.1")
    shutil.copyfile(library.with_name("libnvidia-ml.so.1"), library)
    assert "the memory test did not run: libcuda.so.1 has no cuInit: the driver is too old" in tried(T4).message
    library.write_text("no library")
    assert "the memory test did not run: libcuda.so.1 cannot be loaded" in tried(T4).message
    library.unlink()
    verdict = tried(T4)
    assert verdict.message.endswith("the memory test did not run: libcuda.so.1 not found")
    assert (verdict.word, verdict.measured) == (VerdictWord.CONFIRMED, [])


def test_devices_of_other_makers_are_not_tried(boot: Callable[..., Machine]) -> None:
    boot(neuron(2))
    verdict = tried({"neuron_cores": 8.0})
    assert verdict.message.endswith("the memory test did not run: it is for NVIDIA GPUs")


def test_a_chip_without_floors_is_measured_and_judged_by_the_users_numbers_alone(boot: Callable[..., Machine]) -> None:
    boot(replace(a100s(1), driver_name="NVIDIA X9 Ultra"))
    verdict = tried({"GPU": 1.0})
    assert verdict.word is VerdictWord.CONFIRMED
    assert verdict.measured[0]["at_least"] == {}
    assert verdict.measured[0]["to_device_gb_s"] == pytest.approx(400)
    verdict = tried({"GPU": 1.0}, at_least={"host_gb_s": 500})
    assert verdict.word is VerdictWord.TOO_SLOW
    assert f"found 400 GB/s from the host to device 0 ({FIRST}); at least 500 is expected (and 1" in verdict.message


def test_the_users_numbers_take_the_place_of_the_catalogs(boot: Callable[..., Machine]) -> None:
    boot(t4(("cuda-memory", 70)))
    assert tried(T4, at_least={"memory_gb_s": 0}).word is VerdictWord.CONFIRMED
    assert tried(T4, at_least={"memory_gb_s": 69}).word is VerdictWord.CONFIRMED


HOOK = """
from types import SimpleNamespace
from accel_scaling.boot import start_hook
start_hook.run(SimpleNamespace(labels={}), False)
"""


def test_a_node_that_copies_slowly_never_joins_and_leaves_its_numbers_in_the_verdicts_file(
    boot: Callable[..., Machine],
) -> None:
    machine = boot(t4(("slow", 1)))
    check = {"command": "", "memory": True, "within_s": LONG_S, "at_least": {}}
    done = machine.python(HOOK, RAY_OVERRIDE_RESOURCES=json.dumps(T4), **{DEEP_CHECK: json.dumps(check)})
    assert done.returncode == EXIT_NOT_CONFIRMED, done.stderr
    left = json.loads((Path(os.environ["HOME"]) / VERDICT_FILE).read_text(encoding="utf-8"))
    assert (left["verdict"], left["joins"]) == ("TooSlow", False)
    assert f"TooSlow: {left['message']}" in done.stderr
    assert left["measured"][0]["to_device_gb_s"] == pytest.approx(0.3)
    assert left["measured"][0]["at_least"] == {"host_gb_s": 4.0, "memory_gb_s": 80.0}


def test_confirm_prints_the_numbers_as_a_table_of_eighty_columns(
    boot: Callable[..., Machine], capsys: pytest.CaptureFixture[str]
) -> None:
    boot(a100s(2, ("processes", 1)))
    words = ["confirm", "--expect", '{"GPU": 2, "accelerator_type:A100": 1}', "--deep", "--only", "memory"]
    assert main(words) == 0
    sentence, _, table = capsys.readouterr().out.partition("\n\n")
    assert sentence.startswith("Confirmed: ")
    assert [" ".join(line.split()) for line in table.splitlines()] == [
        "GB/s tried to it from it within it to the next",
        "0 NVIDIA A100-SXM4-40GB 0.1 GiB 25.0 25.0 1290 -",
        "1 NVIDIA A100-SXM4-40GB is in use by a process",
        "at least 8.0 8.0 388 60.0",
    ]
    assert max(map(len, table.splitlines())) < 80
    assert main([*words, "--json"]) == 0
    assert [one["uuid"] for one in json.loads(capsys.readouterr().out)["measured"]] == [FIRST, SECOND]


def test_confirm_runs_both_checks_and_refuses_half_an_option(
    boot: Callable[..., Machine], capsys: pytest.CaptureFixture[str]
) -> None:
    boot(t4())
    assert main(["confirm", "--expect", json.dumps(T4), "--deep"]) == 0
    assert "dcgmi diag -r 1 passed in 0." in (shown := capsys.readouterr().out)
    assert "; the memory test passed in " in shown
    assert main(["confirm", "--expect", json.dumps(T4), "--only", "memory"]) == 2
    assert "--only says which part of --deep runs: give --deep, too" in capsys.readouterr().err
