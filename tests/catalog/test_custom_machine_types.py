"""Custom machine types: the examples of Google's documentation, right and wrong, and the edges of each rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling.catalog.custom_machine_types import is_custom
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import UnknownInstanceTypeError
from accel_scaling.message_text import shown

CATALOG = shipped_catalog()
GIB = 1024


def machine(name):
    return CATALOG.machine_type("gcp", name)


# Examples of valid types in "General-purpose machine family", custom machine types; then of extended memory.
@pytest.mark.parametrize(
    ("name", "vcpus", "mib", "arch"),
    [
        (f"n4a-custom-36-{72 * GIB}", 36, 72 * GIB, "arm64"),
        (f"n4a-custom-5-{14 * GIB}", 5, 14 * GIB, "arm64"),
        (f"n4d-custom-32-{16 * GIB}", 32, 16 * GIB, "x86_64"),
        (f"n4d-custom-2-{7 * GIB}", 2, 7 * GIB, "x86_64"),
        (f"n4-custom-36-{72 * GIB}", 36, 72 * GIB, "x86_64"),
        (f"n4-custom-2-{14 * GIB}", 2, 14 * GIB, "x86_64"),
        (f"n2d-custom-32-{16 * GIB}", 32, 16 * GIB, "x86_64"),
        (f"n2-custom-36-{18 * GIB}", 36, 18 * GIB, "x86_64"),
        (f"n2-custom-2-{7 * GIB}", 2, 7 * GIB, "x86_64"),
        (f"e2-custom-32-{16 * GIB}", 32, 16 * GIB, "x86_64"),
        ("e2-custom-2-1280", 2, 1280, "x86_64"),
        (f"n1-custom-32-{29 * GIB}", 32, 29 * GIB, "x86_64"),
        ("n1-custom-1-1024", 1, 1024, "x86_64"),
        ("custom-8-32768", 8, 32768, "x86_64"),
        ("n1-custom-10-9216", 10, 9216, "x86_64"),
        ("e2-custom-micro-2048", 2, 2048, "x86_64"),
        ("e2-custom-medium-8192", 2, 8192, "x86_64"),
        ("n2-custom-8-65536-ext", 8, 65536, "x86_64"),
        (f"n2-custom-2-{864 * GIB}-ext", 2, 864 * GIB, "x86_64"),
        ("n4d-custom-32-524288-ext", 32, 524288, "x86_64"),
        (f"n1-custom-96-{624 * GIB}", 96, 624 * GIB, "x86_64"),
    ],
)
def test_a_custom_type_is_what_its_name_says(name, vcpus, mib, arch):
    made = machine(name)
    assert (made.name, made.cloud, made.vcpus, made.memory_mib, made.arch) == (name, "gcp", vcpus, mib, arch)
    assert (made.chip, made.count, made.layer) == (None, 0, "gcp_custom.csv")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("n4a-custom-2-512", "n4a-custom with 2 vCPUs has 4 to 16 GiB of memory in steps of 1024 MiB"),
        (f"n4a-custom-5-{14 * GIB + 256}", "in steps of 1024 MiB"),
        (f"n4a-custom-100-{200 * GIB}", "n4a-custom comes with 1 to 64 vCPUs, not 100"),
        (f"n4d-custom-34-{34 * GIB}", "2, 4, 8 or 16 to 96 in steps of 16 vCPUs, not 34"),
        ("n4-custom-1-8192", "2 to 80 in steps of 2 vCPUs, not 1"),
        (f"n2d-custom-34-{34 * GIB}", "n2d-custom comes with 2, 4, 8 or 16 to 96 in steps of 16 vCPUs, not 34"),
        ("n2-custom-2-512", "n2-custom with 2 vCPUs has 1 to 16 GiB"),
        (f"n2-custom-34-{34 * GIB}", "2 to 32 in steps of 2 or 36 to 128 in steps of 4 vCPUs, not 34"),
        ("n2-custom-1-1024", "vCPUs, not 1"),
        ("e2-custom-32-1024", "e2-custom with 32 vCPUs has 16 to 128 GiB"),
        ("e2-custom-4-8192-ext", "e2-custom has no extended memory"),
        ("n1-custom-1-256", "n1-custom with 1 vCPU has 1 to 6.5 GiB"),
        ("n1-custom-3-4096", "1 or 2 to 96 in steps of 2 vCPUs, not 3"),
        ("n1-custom-1-7168", "(up to 624 GiB with -ext), not 7168 MiB (7 GiB)"),
        ("n1-custom-1-921", "in steps of 256 MiB"),
        (f"n2-custom-2-{865 * GIB}-ext", "to 864 GiB"),
        ("e2-custom-micro-4096", "e2-custom-micro has 1 to 2 GiB"),
        ("n2-custom", "it is written n2-custom-VCPUS-MEMORY_MIB, e.g. n2-custom-2-16384"),
        ("n2-custom-04-8192", "it is written n2-custom-VCPUS-MEMORY_MIB"),
        ("n2-custom-4-8192x", "it is written n2-custom-VCPUS-MEMORY_MIB"),
        ("e2-custom-small-2-4096", "it is written e2-custom-small-MEMORY_MIB"),
        ("c4-custom-4-8192", "the kinds are custom, e2-custom, "),
        ("n22-custom-4-8192", "nearest: n2-custom"),
    ],
)
def test_a_wrong_custom_type_is_refused_with_the_rule_that_it_breaks(name, rule):
    with pytest.raises(UnknownInstanceTypeError) as error:
        machine(name)
    assert str(error.value).startswith(f"instance type {name!r} of gcp is not a custom machine type")
    assert rule in str(error.value)


# GPU machine types, G2: vCPUs, smallest and largest custom memory in GiB, L4s.
G2 = [
    (4, 16, 32, 1),
    (8, 32, 54, 1),
    (12, 48, 54, 1),
    (16, 54, 64, 1),
    (24, 96, 108, 2),
    (32, 96, 128, 1),
    (48, 192, 216, 4),
    (96, 384, 432, 8),
]


@pytest.mark.parametrize(("vcpus", "least", "most", "count"), G2)
def test_a_custom_g2_has_the_gpus_of_its_size(vcpus, least, most, count):
    for gib in (least, most):
        made = machine(f"g2-custom-{vcpus}-{gib * GIB}")
        assert (made.chip.name, made.count, made.memory_mib) == ("L4", count, gib * GIB)
    for mib in (least * GIB - 256, most * GIB + 256):
        with pytest.raises(UnknownInstanceTypeError, match=f"has {least} to {most} GiB"):
            machine(f"g2-custom-{vcpus}-{mib}")


def test_only_names_with_the_word_custom_go_by_the_rules():
    assert is_custom("custom-1-1024")
    assert not any(is_custom(name) for name in CATALOG.machine_types("gcp"))
    with pytest.raises(UnknownInstanceTypeError, match="is not in the catalog"):
        machine("n2-customs-4-8192")
    with pytest.raises(UnknownInstanceTypeError, match="of aws is not in the catalog"):
        CATALOG.machine_type("aws", "n2-custom-4-8192")


NUMBERS = st.integers(-1, 10**6).map(str) | st.sampled_from(["", "0", "04", "4.5", "x", "9" * 500, "4", "16384"])
NAMES = st.builds(
    lambda kind, *rest: "-".join([kind, *rest]),
    st.sampled_from(["custom", "n1-custom", "n2-custom", "g2-custom", "e2-custom-micro", "x-custom", "custom-custom"]),
    NUMBERS,
    NUMBERS,
    st.sampled_from(["ext", "", "EXT", "ext-ext"]),
)


@given(name=NAMES | st.text(max_size=30).map(lambda text: f"n2-custom{text}"))
def test_any_name_is_either_made_as_it_says_or_refused_in_one_sentence(name):
    try:
        made = machine(name)
    except UnknownInstanceTypeError as error:
        assert shown(name) in str(error)
    else:
        assert f"-{made.memory_mib}" in name
        assert made.memory_mib % 256 == 0
