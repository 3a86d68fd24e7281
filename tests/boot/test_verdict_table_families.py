"""Every family x every verdict that can happen to it. NVIDIA, Neuron and TPU have a table of their own."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from accel_scaling import timeouts
from accel_scaling.boot.compare import compare
from accel_scaling.boot.verdicts import Verdict, VerdictWord
from accel_scaling.families.built_in import apple
from accel_scaling.families.inventory import detect
from accel_scaling.families.registry import built_in
from tests.support.families import ONE, OTHER

OTHER_TABLE = {"nvidia", "neuron", "tpu"}

# Family: the type that is promised, and that of the other product.
TYPES = {
    "amd": ("AMD-Instinct-MI300X-OAM", "AMD-Instinct-MI210"),
    "intel": ("Intel-GPU-Max-1550", "Intel-GPU-Flex-170"),
    "gaudi": ("Intel-GAUDI2", "Intel-GAUDI"),
    "ascend": ("Ascend910B3", "Ascend910B4"),
    "rbln": ("RBLN-CA25", "RBLN-CA22"),
    "metax": ("MXC500", "MXC550"),
    "furiosa": ("FURIOSA_RNGD", "FURIOSA_RNGDPLUS"),
    "mobilint": ("MOBILINT_ARIES", "MOBILINT_REGULUS"),
    "tenstorrent": ("Blackhole", "Wormhole"),
    "apple": ("M2-Pro", "M1"),
    "fpga": ("VU47P", "VU9P"),
    "media": ("U30", ""),
    "qaic": ("AI100", ""),
}
NO_PACKAGE = ("tenstorrent", "fpga", "media", "qaic")  # nothing to ask: neither errors nor silence

COUNTS = (1, 8, 16)


def happens(n: int) -> dict[tuple[str, int], tuple[VerdictWord, str]]:
    """Fault of a machine with so many devices, and promised units: the verdict, and a part of its sentence."""
    table = {
        ("", n): (VerdictWord.CONFIRMED, f"promised {n}"),
        ("no-device", n): (VerdictWord.NO_DEVICE, "0 on the PCI bus, 0 seen by a driver"),
        ("no-driver", n): (VerdictWord.DRIVER_MISSING, "driver is not loaded (no /dev/"),
        ("other", n): (VerdictWord.OTHER_TYPE, "not accelerator_type:"),
        ("unhealthy", n): (VerdictWord.UNHEALTHY, f"device {n - 1} does not respond"),
        ("not-yet", n): (VerdictWord.NOT_YET, "gave no answer within"),
        ("hidden", n): (VerdictWord.NOT_VISIBLE_IN_CONTAINER, "was given none of the machine's"),
    }
    if n == 1:  # one device less of one is none
        return {
            **table,
            ("fewer", n): (VerdictWord.NO_DEVICE, "this machine has none"),
            ("driver-fewer:0", n): (VerdictWord.DRIVER_MISSING, "driver is not loaded (no /dev/"),
            ("no-node", n): (VerdictWord.DRIVER_MISSING, "driver is not loaded (no /dev/"),
        }
    return {
        **table,
        ("", n // 2): (VerdictWord.MORE_THAN_PROMISED, "not promised will not be used"),
        ("fewer", n): (VerdictWord.FEWER_THAN_PROMISED, "missing"),
        ("driver-fewer:3", n): (VerdictWord.FEWER_THAN_PROMISED, "missing"),
        ("no-node", n): (VerdictWord.FEWER_THAN_PROMISED, "missing"),
        ("hidden:3", n): (VerdictWord.NOT_VISIBLE_IN_CONTAINER, "of the machine's"),
        ("hidden:3", 3): (VerdictWord.CONFIRMED, "promised 3"),  # a container that was given what was promised for it
    }


HAPPENS = happens(8)
OWN_WORDS = {
    ("gaudi", "unhealthy"): "is Malfunction",
    ("ascend", "unhealthy"): "aclrtGetDeviceCount returned 507033",
}
# What cannot happen, and why.
CANNOT = {
    **{
        (family, fault): "it has no package that could be silent or fail"
        for family in NO_PACKAGE
        for fault in ("unhealthy", "not-yet")
    },
    **{
        ("fpga", fault): "it is used without a driver"
        for fault in ("no-driver", "driver-fewer:0", "driver-fewer:3", "no-node")
    },
    **{("fpga", fault): "it has no node that a container could lack" for fault in ("hidden", "hidden:3")},
    ("media", "other"): "the catalog has one product",
    ("qaic", "other"): "the catalog has one product",
}
# An Apple machine has one GPU, no bus and no container that sees it.
APPLES = {
    ("", 1): (VerdictWord.CONFIRMED, "promised 1 x M2-Pro"),
    ("no-device", 1): (VerdictWord.NO_DEVICE, "this machine has none"),
    ("driver-fewer:0", 1): (VerdictWord.DRIVER_MISSING, "macOS lists no GPU with Metal"),
    ("", 2): (VerdictWord.FEWER_THAN_PROMISED, "1 missing"),
    ("other", 1): (VerdictWord.OTHER_TYPE, "that is M1, not accelerator_type:M2-Pro"),
    ("not-yet", 1): (VerdictWord.NOT_YET, "system_profiler gave no answer"),
}
ROWS = [
    *(
        (family, count, fault, units, row)
        for family in ONE
        if family != "apple"
        for count in COUNTS
        for (fault, units), row in happens(count).items()
        if (family, fault) not in CANNOT
    ),
    *(("apple", 1, fault, units, row) for (fault, units), row in APPLES.items()),
]


@pytest.fixture(name="verdict_on")
def verdict_on_fixture(boot, monkeypatch):
    """Boot a machine of a family and return the verdict on a promise of so many units and its type."""

    def verdict_on(family: str, count: int, fault: str, units: float) -> Verdict:
        if fault == "not-yet":
            monkeypatch.setattr(timeouts, "DRIVER_PACKAGE_TIMEOUT_S", 0.2)
            monkeypatch.setattr(timeouts, "APPLE_TOOL_S", 0.2)
        if family == "apple" and fault != "no-device":
            mac = SimpleNamespace(system=lambda: "Darwin", machine=lambda: "arm64")
            monkeypatch.setattr(apple, "platform", mac)
        hardware = replace((OTHER if fault == "other" else ONE)[family], count=count)
        boot(hardware, None if fault == "other" else fault)
        resource = next(each.resource for each in built_in() if each.name == family)
        return compare({resource: units, f"accelerator_type:{TYPES[family][0]}": 1}, detect())

    return verdict_on


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(map(str, row[:4])))
def test_the_table(verdict_on, row):
    family, count, fault, units, (word, words) = row
    verdict = verdict_on(family, count, fault, units)
    assert verdict.word is word, verdict.message
    assert OWN_WORDS.get((family, fault), words) in verdict.message
    if word is VerdictWord.OTHER_TYPE:
        assert TYPES[family][1] in verdict.message


def test_every_family_is_in_one_of_the_two_tables():
    assert {family.name for family in built_in()} == OTHER_TABLE | set(ONE)


def test_every_verdict_happens_to_every_family_or_there_is_a_reason_why_it_cannot():
    of_a_word: dict[VerdictWord, set[str]] = {}
    for (fault, _), (word, _) in HAPPENS.items():
        of_a_word.setdefault(word, set()).add(fault)
    words = set(VerdictWord) - {VerdictWord.TOO_SLOW}  # of the active check: test_deep_check.py
    assert set(of_a_word) == words
    for family in set(ONE) - {"apple"}:
        happens = {word for name, _, _, _, (word, _) in ROWS if name == family}
        for word in words - happens:
            assert all((family, fault) in CANNOT for fault in of_a_word[word]), (family, word)


@pytest.mark.parametrize("family", sorted(ONE))
def test_no_family_is_left_unchecked(verdict_on, family):
    assert "NOT checked" not in verdict_on(family, 1, "", 1).message
