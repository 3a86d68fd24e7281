"""Every verdict that can happen to each family, over emulated devices: real library calls, real files and tools."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace

import pytest

from accel_scaling import timeouts
from accel_scaling.boot.compare import compare
from accel_scaling.boot.verdicts import WORDS, VerdictWord
from accel_scaling.detect.model import DriverState
from accel_scaling.errors import RehearsalError
from accel_scaling.families.built_in.neuron import NEURON_LS
from accel_scaling.families.built_in.nvidia.nvml import Health, health_of
from accel_scaling.families.inventory import detect
from accel_scaling.testing.devices.device_faults import FAULTS, with_fault
from accel_scaling.testing.devices.gcp_machines import hardware_of_tpu
from accel_scaling.testing.devices.hardware import Hardware
from accel_scaling.testing.devices.nvidia_tools import DIAGNOSES
from tests.support.devices import neuron, nvidia

COUNTS = (1, 8, 16)
MORE = "more"  # not a fault of the machine: it has twice what is promised


def tpu(count: int) -> Hardware:
    return replace(hardware_of_tpu("v6e-8")[0], count=count)


def v4(count: int) -> Hardware:
    """The generation whose nodes are /dev/accel0, not those of vfio."""
    return replace(hardware_of_tpu("v4-8")[0], count=count)


def l4_slice(count: int) -> Hardware:
    return nvidia(count, "NVIDIA L4-3Q", "10de:27b8")


MACHINES = {"nvidia": nvidia, "neuron": neuron, "tpu": tpu, "tpu-v4": v4, "partition": l4_slice}
PROMISES = {
    "nvidia": lambda n: {"GPU": n, "accelerator_type:A100": 1, "accelerator_type:A100-40G": 1},
    "neuron": lambda n: {"neuron_cores": 4 * n, "accelerator_type:aws-neuron-core": 1, "accelerator_type:Trainium2": 1},
    "tpu": lambda n: {"TPU": n, "accelerator_type:TPU-V6E": 1},
    "tpu-v4": lambda n: {"TPU": n, "accelerator_type:TPU-V4": 1},
    "partition": lambda n: {"GPU": n, "accelerator_type:L4-3Q": 1},
}
POD_TYPES = {"tpu": "v6e-8", "tpu-v4": "v4-8"}
OTHER_TYPES = {"nvidia": "p4de.24xlarge", "neuron": "trn1.32xlarge", "partition": "g6.xlarge"}
MISSING_DRIVER = {"neuron": "the Neuron driver is not loaded", "tpu": "TPU driver", "tpu-v4": "TPU driver"}


def cases(family: str, count: int) -> Iterator[tuple[str, str, str]]:
    """Fault, verdict, and what its sentence says. One device less of one is none."""
    chips, single = family.startswith("tpu"), count == 1
    yield "", "Confirmed", "seen by the driver as"
    yield MORE, "MoreThanPromised", "not promised will not be used"
    yield "no-device", "NoDevice", "this machine has none"
    yield "no-driver", "DriverMissing", MISSING_DRIVER.get(family, "the NVIDIA driver is not loaded")
    yield "fewer", "NoDevice" if single else "FewerThanPromised", "this machine has none" if single else "missing"
    if single:
        yield (
            "driver-fewer",
            *(
                ("Unhealthy", "took none of the devices")
                if family in ("nvidia", "partition")
                else ("DriverMissing", "")
            ),
        )
    else:
        yield "driver-fewer", "FewerThanPromised", f"{count} on the PCI bus, {count - 1} seen by the driver"
    yield "no-node", "Unhealthy", "no node below /dev" if not chips else "have no node below /dev"
    yield "hidden", "NotVisibleInContainer", f"was given none of the machine's {count}"
    if not single:
        yield f"hidden:{count - 1}", "NotVisibleInContainer", f"was given {count - 1} of the machine's {count}"
    if chips:
        return
    yield f"other-type:{OTHER_TYPES[family]}", "OtherType", "not accelerator_type:"
    odd_one = "not accelerator_type:" if single else "and a node has devices of one type"
    yield f"mixed:{OTHER_TYPES[family]}", "OtherType", odd_one
    yield "unhealthy", "Unhealthy", "NVML says: device" if family != "neuron" else "does not respond"
    yield "ecc", "Unhealthy", "SRAM" if family == "neuron" else "has failed to remap a row of its memory"
    yield "not-yet", "NotYet", "no answer within" if family == "neuron" else "does not answer yet"
    if family == "nvidia":
        yield "mig:7", "OtherType", "in MIG mode, cut into 7 slices"
        yield "mig:0", "Unhealthy", "in MIG mode without a single slice"


TABLE = [(family, count, *case) for family in MACHINES for count in COUNTS for case in cases(family, count)]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: "-".join(map(str, case[:4])))
def test_each_family_gets_each_verdict_that_can_happen_to_it(boot, monkeypatch, case):
    family, count, fault, word, words = case
    monkeypatch.setattr(timeouts, "NEURON_LS_TIMEOUT_S", 0.2 if fault == "not-yet" else 20)
    if family in POD_TYPES:  # as on GKE; what the metadata server says is in test_detect_tpu.py
        monkeypatch.setenv("TPU_ACCELERATOR_TYPE", POD_TYPES[family])
        monkeypatch.setenv("TPU_WORKER_ID", "0")
    boot(MACHINES[family](2 * count if fault == MORE else count), None if fault == MORE else fault or None)
    verdict = compare(PROMISES[family](count), detect())
    assert verdict.word.value == word, verdict.message
    assert words in verdict.message
    assert verdict.confirmed is (word in ("Confirmed", "MoreThanPromised"))
    assert verdict.message.startswith("promised ")
    assert verdict.message.endswith(verdict.advice)
    assert bool(verdict.advice) is (word != "Confirmed")


def test_the_table_has_every_verdict_for_every_family() -> None:
    others = {"tpu": {"OtherType", "NotYet"}, "tpu-v4": {"OtherType", "NotYet"}}  # in test_detect_tpu.py
    for family in MACHINES:
        shown = {word for name, _, _, word, _ in TABLE if name == family}
        # TooSlow is of the active check: test_deep_check.py.
        expected = {word.value for word in VerdictWord} - {VerdictWord.TOO_SLOW.value}
        assert shown | others.get(family, set()) == expected, family


def test_every_fault_that_a_machine_can_be_given_is_in_the_table() -> None:
    given = {fault.partition(":")[0] for _, _, fault, _, _ in TABLE}
    assert {line.split()[0].partition("[")[0].partition(":")[0] for line in FAULTS.splitlines()} == {
        *(given - {"", MORE}),
        *DIAGNOSES,  # which the driver does not show
    }


def test_the_words_say_what_to_do_wherever_a_machine_is_refused() -> None:
    assert {word for word, meaning in WORDS.items() if not meaning.advice} == {VerdictWord.CONFIRMED}
    assert set(WORDS) == set(VerdictWord)


# --- what is a reason to refuse a device, and what is not ---

A100, OLD_DRIVER, V100 = (), (("recovery", -1),), (("remap-known", 0),)


@pytest.mark.parametrize(
    ("facts", "word", "evidence"),
    [
        ([("remap-pending", 1)], "Confirmed", "will be remapped at its next reset"),
        ([("pages-pending", 1), *V100], "Confirmed", "will be retired at the next boot"),
        ([("ecc", 3)], "Confirmed", "has 3 uncorrected memory errors since the driver was loaded"),
        ([("ecc", 3), *OLD_DRIVER], "Confirmed", "has 3 uncorrected memory errors"),
        ([("ecc", 3), *V100], "Confirmed", "has 3 uncorrected memory errors"),
        ([("ecc", 3), *V100, *OLD_DRIVER], "Unhealthy", "has 3 uncorrected memory errors"),
        ([("remap-failed", 1)], "Unhealthy", "has failed to remap a row"),
        ([("recovery", 1)], "Unhealthy", "must be reset"),
        ([("recovery", 2)], "Unhealthy", "needs a reboot of the machine"),
        ([("recovery", 4)], "Unhealthy", "must be drained and reset"),
        ([("recovery", 5)], "Confirmed", "recommends recovery action 5"),
    ],
)
def test_only_what_nvidia_calls_unusable_is_refused_and_the_rest_is_evidence(boot, facts, word, evidence):
    boot(replace(nvidia(8), facts=tuple(facts)))
    (device,) = detect()
    assert compare(PROMISES["nvidia"](8), [device]).word.value == word
    assert any(evidence in sentence for sentence in device.evidence), device.evidence
    assert device.count == (8 if word == "Confirmed" else 7)


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ([("mem_ecc_repairable_uncorrected", 4)], "Confirmed"),
        ([("mem_ecc_uncorrected", 1)], "Unhealthy"),
        ([("mem_ecc_uncorrected", 0), ("sram_ecc_uncorrected", 0)], "Confirmed"),
    ],
)
def test_only_what_aws_replaces_a_machine_for_is_refused(boot, facts, word):
    boot(replace(neuron(16), facts=tuple(facts)))
    (device,) = detect()
    assert compare(PROMISES["neuron"](16), [device]).word.value == word
    assert device.units == (64 if word == "Confirmed" else 60)


def test_what_an_old_drivers_library_lacks_is_not_known_and_no_fault() -> None:
    assert health_of(ctypes.CDLL(None), ctypes.c_void_p(1)) == Health()


@pytest.mark.parametrize(
    ("init_code", "word"), [(10, "NotYet"), (27, "NotYet"), (9, "DriverMissing"), (18, "Unhealthy"), (999, "Unhealthy")]
)
def test_a_driver_that_says_that_it_is_not_ready_is_waited_for_and_one_that_fails_is_not(boot, init_code, word):
    boot(replace(nvidia(8), init_code=init_code))
    assert compare(PROMISES["nvidia"](8), detect()).word.value == word


@pytest.mark.parametrize(("code", "word"), [(27, "NotYet"), (4, "Unhealthy"), (16, "Unhealthy")])
def test_a_device_that_is_not_ready_is_waited_for_and_one_that_is_denied_or_must_be_reset_is_not(boot, code, word):
    boot(replace(nvidia(8), facts=(("handle", code),)))
    (device,) = detect()
    assert compare(PROMISES["nvidia"](8), [device]).word.value == word
    assert (device.count, device.ray_units) == (7, 8)
    assert "device 7: " in device.trouble
    assert f"(NVML error {code})" in device.trouble


@pytest.mark.parametrize(("family", "pattern"), [("nvidia", "nvidia3"), ("neuron", "neuron3")])
def test_a_folder_in_a_nodes_place_is_no_node(boot, family, pattern):
    node = boot(MACHINES[family](8)).root / "dev" / pattern
    node.unlink()
    node.mkdir()  # as Docker does for a node that is not there
    verdict = compare(PROMISES[family](8), detect())
    assert verdict.word is VerdictWord.UNHEALTHY
    assert "no node below /dev" in verdict.message


def test_a_neuron_ls_that_prints_nonsense_without_end_is_unhealthy(boot):
    tool = boot(neuron(1)).root / NEURON_LS
    tool.write_text("#!/bin/sh\nhead -c 200000 /dev/zero | tr '\\0' '['\n", encoding="ascii")
    verdict = compare(PROMISES["neuron"](1), detect())
    assert verdict.word is VerdictWord.UNHEALTHY
    assert "printed no JSON" in verdict.message


def test_devices_that_nvml_counts_and_denies_in_a_container_are_those_that_it_was_not_given(boot):
    given = with_fault(nvidia(8), "hidden:7")
    boot(replace(given, driver_count=8, facts=(("handle", 4),)))
    (device,) = detect()
    assert (device.state, device.count) == (DriverState.HIDDEN, 7)
    assert compare(PROMISES["nvidia"](7), [device]).word is VerdictWord.CONFIRMED


def test_a_neuron_driver_whose_counters_cannot_be_read_says_nothing(boot):
    machine = boot(replace(neuron(1), facts=(("mem_ecc_uncorrected", 1),)))
    (counter,) = machine.root.rglob("mem_ecc_uncorrected")
    counter.write_text("soon\n", encoding="ascii")
    assert compare(PROMISES["neuron"](1), detect()).word is VerdictWord.CONFIRMED
    counter.unlink()
    counter.mkdir()  # as the driver's other counters are
    (counter / "total").write_text("1\n", encoding="ascii")
    assert compare(PROMISES["neuron"](1), detect()).word is VerdictWord.UNHEALTHY


def test_a_device_in_mig_mode_is_no_whole_device_and_an_untyped_promise_is_told_so(boot):
    boot(nvidia(8), "mig:3")
    (device,) = detect()
    assert (device.answers_to, device.variant) == ((), "A100-40G")
    verdict = compare({"GPU": 8}, [device])
    assert verdict.word is VerdictWord.CONFIRMED
    assert verdict.message.endswith("1 of 8 in MIG mode, cut into 3 slices")


def test_a_sick_device_and_a_container_are_sick_first(boot):
    boot(replace(with_fault(nvidia(8), "hidden:7"), facts=(("recovery", 1),)))
    (device,) = detect()
    assert device.state is DriverState.UNHEALTHY


@pytest.mark.parametrize("family", ["nvidia", "neuron", "tpu"])
def test_a_container_that_was_given_what_is_promised_holds_its_promise(boot, monkeypatch, family):
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v6e-8")
    monkeypatch.setenv("TPU_WORKER_ID", "0")
    boot(MACHINES[family](8), "hidden:2")
    assert compare(PROMISES[family](2), detect()).word is VerdictWord.CONFIRMED
    assert compare(PROMISES[family](1), detect()).word is VerdictWord.MORE_THAN_PROMISED
    assert compare(PROMISES[family](3), detect()).word is VerdictWord.NOT_VISIBLE_IN_CONTAINER
    types_alone = {name: 1.0 for name in PROMISES[family](1) if name.startswith("accelerator_type:")}
    assert compare(types_alone, detect()).word is VerdictWord.CONFIRMED


RAYS_COUNT = """
import json
from ray._private.accelerators import NvidiaGPUAcceleratorManager as Rays
print(json.dumps([Rays.get_current_node_num_accelerators(), Rays.get_current_node_accelerator_type()]))
"""


NVIDIAS_BINDING = """
import json
import ray._private.thirdparty.pynvml as nvml
nvml.nvmlInit()
device = nvml.nvmlDeviceGetHandleByIndex(1)
(recovery,) = nvml.nvmlDeviceGetFieldValues(device, [nvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])
def slices():
    for slot in range(nvml.nvmlDeviceGetMaxMigDeviceCount(device)):
        try:
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(device, slot)
        except nvml.NVMLError_NotFound:
            return
print(json.dumps({
    "recovery": recovery.value.uiVal,
    "rows": nvml.nvmlDeviceGetRemappedRows(device),
    "errors": nvml.nvmlDeviceGetTotalEccErrors(
        device, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
    ),
    "pages": nvml.nvmlDeviceGetRetiredPagesPendingStatus(device),
    "mig": nvml.nvmlDeviceGetMigMode(device)[0],
    "slices": len(list(slices())),
    "minor": nvml.nvmlDeviceGetMinorNumber(device),
}))
"""


def test_nvidias_own_binding_reads_the_same_health_from_the_emulated_library(boot):
    """Our calls and our library have one author: NVIDIA's binding, which Ray carries, is the evidence for both."""
    facts = (("recovery", 2), ("remap-failed", 1), ("remap-pending", 1), ("ecc", 5), ("pages-pending", 1), ("mig", 3))
    machine = boot(replace(nvidia(2), facts=facts))
    expected = {"recovery": 2, "rows": [0, 0, 1, 1], "errors": 5, "pages": 1, "mig": 1, "slices": 3, "minor": 1}
    assert machine.answer(NVIDIAS_BINDING) == expected
    (device,) = detect()
    said = " ".join(device.evidence)
    for words in ("needs a reboot", "failed to remap", "remapped at its next reset", "5 uncorrected", "3 slices"):
        assert words in said


@pytest.mark.parametrize("fault", ["unhealthy", "ecc", "mig", "no-node"])
def test_where_ray_would_count_a_device_that_nobody_can_use_the_node_is_refused(boot, fault):
    machine = boot(nvidia(8), fault)
    assert machine.answer(RAYS_COUNT) == [8, "A100"]  # so that a node without our check joins with 8
    (device,) = detect()
    assert device.ray_units == 8
    assert not compare(PROMISES["nvidia"](8), [device]).confirmed


@pytest.mark.parametrize(
    ("hardware", "fault", "words"),
    [
        (nvidia(8), "ecc:3", "is not a number of devices"),
        (nvidia(8), "hidden:some", "is not a number of devices"),
        (neuron(1), "mig", "only these drivers can show it: nvml"),
        (tpu(4), "ecc", "only these drivers can show it: nvml, neuron"),
        (Hardware("none"), "hidden", "only these drivers"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_in_a_sentence(hardware, fault, words):
    with pytest.raises(RehearsalError, match=words):
        with_fault(hardware, fault)
