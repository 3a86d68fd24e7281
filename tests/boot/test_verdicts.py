"""Every verdict, on machines with emulated devices and every fault they can have."""

from __future__ import annotations

import json
import re

import pytest

from accel_scaling import timeouts
from accel_scaling.boot.compare import compare
from accel_scaling.boot.expected_devices import claims_of
from accel_scaling.boot.verdicts import VerdictWord
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.catalog.model import Chip
from accel_scaling.families.inventory import detect
from accel_scaling.families.registry import built_in
from accel_scaling.fill.promise import promise_for
from tests.support.devices import neuron, nvidia

CHIPS = shipped_catalog().chips
GIB = 1024**3


def gpus(count: float, *types: str) -> dict[str, float]:
    return {"CPU": 96, "memory": 700 * GIB, "GPU": count, **{f"accelerator_type:{name}": 1 for name in types}}


def cores(count: float, *types: str) -> dict[str, float]:
    return {"CPU": 192, "neuron_cores": count, **{f"accelerator_type:{name}": 1 for name in types}}


# Verdicts by fault; where a machine has one device only, one less is none.
FAULTS = {
    None: ("Confirmed", "Confirmed"),
    "fewer": ("FewerThanPromised", "NoDevice"),
    "no-driver": ("DriverMissing", "DriverMissing"),
    "no-device": ("NoDevice", "NoDevice"),
    "unhealthy": ("Unhealthy", "Unhealthy"),
    "not-yet": ("NotYet", "NotYet"),
}


@pytest.mark.parametrize("count", [1, 8, 16])
@pytest.mark.parametrize(("fault", "word"), [*FAULTS.items(), ("other-type:p4de.24xlarge", ("OtherType", "OtherType"))])
def test_each_fault_of_nvidia_devices_has_its_verdict(boot, count, fault, word):
    boot(nvidia(count), fault)
    verdict = compare(gpus(count, "A100", "A100-40G"), detect())
    assert verdict.word.value == word[count == 1]
    assert verdict.message.startswith(f"promised {count} x A100-40G; ")


@pytest.mark.parametrize("count", [1, 8, 16])
@pytest.mark.parametrize(("fault", "word"), [*FAULTS.items(), ("other-type:trn1.32xlarge", ("OtherType", "OtherType"))])
def test_each_fault_of_neuron_devices_has_its_verdict(boot, monkeypatch, count, fault, word):
    monkeypatch.setattr(timeouts, "NEURON_LS_TIMEOUT_S", 20 if fault != "not-yet" else 0.2)
    boot(neuron(count), fault)
    verdict = compare(cores(4 * count, "aws-neuron-core", "Trainium2"), detect())
    assert verdict.word.value == word[count == 1]
    assert verdict.message.startswith(f"promised {4 * count} neuron_cores of Trainium2; ")


@pytest.mark.parametrize("hardware", [nvidia(8), neuron(8)], ids=["nvidia", "neuron"])
def test_devices_that_only_the_driver_misses_are_fewer_than_promised(boot, hardware):
    boot(hardware, "driver-fewer:5")
    promised = gpus(8, "A100") if hardware.kind == "nvml" else cores(32, "aws-neuron-core")
    verdict = compare(promised, detect())
    assert verdict.word is VerdictWord.FEWER_THAN_PROMISED
    assert "8 on the PCI bus, 5 seen by the driver" in verdict.message


def test_the_message_says_what_differs_and_what_to_do(boot):
    boot("p4d.24xlarge", "no-driver")
    assert compare(gpus(8, "A100", "A100-40G"), detect()).message == (
        "promised 8 x A100-40G; 8 on the PCI bus, 0 seen by the driver: the NVIDIA driver is not loaded"
        " (libnvidia-ml.so.1 not found); use an image that has it, or load it before Ray starts"
    )


@pytest.mark.parametrize(
    ("instance_type", "promised", "word"),
    [
        ("p4d.24xlarge", gpus(8, "A100"), "Confirmed"),
        ("p4d.24xlarge", gpus(8, "A100-40G"), "Confirmed"),
        ("p4d.24xlarge", gpus(8, "A100-40G", "A100"), "Confirmed"),
        ("p4d.24xlarge", gpus(8, "A100", "A100-80G"), "OtherType"),
        ("p4de.24xlarge", gpus(8, "A100", "A100-40G"), "OtherType"),
        ("p3dn.24xlarge", gpus(8, "V100", "V100-16G"), "OtherType"),
        ("g6f.large", gpus(1, "L4-3Q"), "Confirmed"),
        ("g6f.large", gpus(1, "L4"), "OtherType"),
        ("g6f.large", gpus(1, "L4-6Q"), "OtherType"),
        ("g6.xlarge", gpus(1, "L4-3Q"), "OtherType"),
        ("g7e.2xlarge", gpus(1, "RTX PRO Server 6000"), "OtherType"),
        ("g7e.2xlarge", gpus(1, "RTX-PRO-6000"), "Confirmed"),
        ("trn2.48xlarge", cores(128, "aws-neuron-core"), "FewerThanPromised"),
        ("trn1.32xlarge", cores(32, "Trainium"), "Confirmed"),
        ("trn2.48xlarge", gpus(16), "NoDevice"),
        ("p4d.24xlarge", {"accelerator_type:A100": 1}, "Confirmed"),
        ("p4d.24xlarge", {"accelerator_type:H100": 1}, "OtherType"),
        ("p4d.24xlarge", gpus(8, "NobodyKnowsIt"), "OtherType"),
    ],
)
def test_the_type_must_be_the_devices_own_or_its_exact_variant(boot, instance_type, promised, word):
    boot(instance_type)
    assert compare(promised, detect()).word.value == word


def test_an_old_drivers_name_without_the_maker_is_the_same_type(boot):
    boot(nvidia(8, "A100-SXM4-40GB"))
    assert compare(gpus(8, "A100", "A100-40G"), detect()).confirmed


def test_a_driver_name_that_contradicts_the_bus_is_not_overruled_by_it(boot):
    boot(nvidia(8, "NVIDIA Z900", "10de:20b0"))
    assert compare(gpus(8, "A100"), detect()).word is VerdictWord.OTHER_TYPE


def test_a_slice_that_the_catalog_lacks_is_never_the_whole_chip(boot):
    boot(nvidia(1, "NVIDIA L4-2Q", "10de:27b8"))
    assert compare(gpus(1, "L4"), detect()).word is VerdictWord.OTHER_TYPE
    assert compare(gpus(1, "L4-2Q"), detect()).confirmed


def test_a_machine_with_more_than_was_promised_joins_and_says_what_is_not_used(boot):
    boot("p4d.24xlarge")
    verdict = compare(gpus(4, "A100"), detect())
    assert verdict.confirmed
    assert verdict.word is VerdictWord.MORE_THAN_PROMISED
    assert "the 4 not promised will not be used; " in verdict.message


@pytest.mark.parametrize(
    "promised", [{}, {"CPU": 4, "memory": GIB}, {"GPU": 0}, {"CPU": 1, "mine": 3, "node:__h__": 1}]
)
def test_where_no_accelerator_is_promised_there_is_nothing_to_refuse(boot, promised):
    boot("m5.large")
    verdict = compare(promised, detect())
    assert verdict.confirmed
    assert verdict.message == "no accelerator is promised"


@pytest.mark.parametrize("promised", [{"ZPU": 8, "accelerator_type:Z1": 1}, {"ZPU": 8}, {"accelerator_type:Z1": 1}])
def test_what_this_version_cannot_check_is_confirmed_and_plainly_called_unchecked(boot, promised):
    boot("m5.large")
    of_a_users_catalog = Chip(name="Z1", family="zed", resource="ZPU", detected_type="Z1")
    verdict = compare(promised, detect(), {**CHIPS, "Z1": of_a_users_catalog})
    assert verdict.confirmed
    assert re.search("NOT checked: this version has no probe for (zed|ZPU)$", verdict.message)


def test_an_nvidia_promise_on_another_makers_gpu_is_refused(boot):
    boot("g4ad.xlarge")
    assert compare(gpus(1, "A100"), detect()).word is VerdictWord.OTHER_TYPE


def test_of_two_promised_kinds_the_missing_one_decides(boot):
    boot("p4d.24xlarge")
    verdict = compare({**gpus(8, "A100"), **cores(32, "Trainium2")}, detect())
    assert verdict.word is VerdictWord.NO_DEVICE
    assert "neuron_cores" in verdict.message
    assert "A100" not in verdict.message


@pytest.mark.parametrize("name", [row.name for row in CHIPS.values() if row.family in ("nvidia", "neuron")])
def test_every_chip_with_a_probe_is_confirmed_on_a_machine_that_has_it(boot, name):
    chip = CHIPS[name]
    make = nvidia if chip.family == "nvidia" else neuron
    for driver_name in chip.driver_names:
        boot(make(2, driver_name, chip.pci_ids[0]))
        types = [t for t in (None if chip.partition_of else chip.detected_type, chip.variant) if t]
        promised = {chip.resource: 2, **{f"accelerator_type:{t}": 1 for t in types}}
        assert compare(promised, detect()).confirmed, driver_name


def test_every_amazon_type_with_an_accelerator_holds_what_the_catalog_promises_for_it(boot):
    accelerated = [machine for machine in shipped_catalog().machine_types("aws").values() if machine.chip]
    assert len(accelerated) > 100
    for machine in accelerated:
        boot(machine.name)
        verdict = compare(promise_for(machine).resources, detect())
        assert verdict.confirmed, f"{machine.name}: {verdict.message}"
        if machine.chip.family in ("nvidia", "neuron"):
            assert "NOT checked" not in verdict.message


def test_the_verdict_as_data_has_the_documented_keys(boot):
    boot("p4d.24xlarge", "fewer")
    promised = gpus(8, "A100")
    data = json.loads(json.dumps(compare(promised, detect()).to_json()))
    assert set(data) == {"verdict", "promised", "detected", "message", "advice", "page"}
    assert data["verdict"] == "FewerThanPromised"
    assert data["promised"] == promised
    assert [device["count"] for device in data["detected"]] == [7]


def test_the_words_are_those_that_users_search_for():
    assert {word.value for word in VerdictWord} == {
        *("Confirmed", "MoreThanPromised", "NoDevice", "DriverMissing", "FewerThanPromised", "OtherType"),
        *("Unhealthy", "TooSlow", "NotYet", "NotVisibleInContainer"),
    }


def test_the_accelerator_resources_are_those_of_rays_own_managers():
    from ray._private.accelerators import get_all_accelerator_managers, get_all_accelerator_resource_names

    in_ray = [family for family in built_in() if family.in_ray]
    assert get_all_accelerator_resource_names() == {family.resource for family in in_ray}
    variables = {manager.get_visible_accelerator_ids_env_var() for manager in get_all_accelerator_managers()}
    assert variables - {None} == {family.visible_devices for family in in_ray} - {""}


def test_a_type_has_the_resource_of_its_chip():
    (gpu, neuron_claim) = claims_of(
        {"GPU": 1, "neuron_cores": 2, "accelerator_type:Trainium2": 1, "accelerator_type:T4": 1}, CHIPS.values()
    )
    assert (gpu.resource, gpu.types) == ("GPU", ("T4",))
    assert (neuron_claim.resource, neuron_claim.types) == ("neuron_cores", ("Trainium2",))
