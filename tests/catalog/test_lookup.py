"""How look-ups answer: by every name, never a slice for a whole, and with the way out where they cannot."""

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import UnknownAcceleratorError, UnknownInstanceTypeError


def names(machines):
    return {machine.name for machine in machines}


def test_an_unknown_type_names_itself_the_version_near_names_and_the_way_out():
    catalog = shipped_catalog()
    with pytest.raises(UnknownInstanceTypeError) as error:
        catalog.machine_type("aws", "p4d.24xlrage")
    for part in ("p4d.24xlrage", catalog.version, "p4d.24xlarge", "provider.catalog", "~/.accel_scaling"):
        assert part in str(error.value)


def test_an_unknown_cloud_names_the_clouds():
    with pytest.raises(UnknownInstanceTypeError, match=r"cloud 'azure' .* aws"):
        shipped_catalog().machine_type("azure", "p4d.24xlarge")


def test_a_chip_answers_to_every_name_in_any_case():
    for name in ("a100-80g", "A100-80G", "NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB", "nvidia-a100-80gb"):
        assert shipped_catalog().chip(name).name == "A100-80G"


def test_a_name_of_several_chips_is_asked_back():
    with pytest.raises(UnknownAcceleratorError, match="may be any of A100-40G, A100-80G"):
        shipped_catalog().chip("A100")


def test_a_misspelt_accelerator_gets_the_nearest_names():
    with pytest.raises(UnknownAcceleratorError, match=r"'Tranium2' .*nearest: Trainium2"):
        shipped_catalog().find("Tranium2")


def test_find_by_a_detected_type_finds_every_variant():
    assert names(shipped_catalog().find("a100", cloud="aws")) == {"p4d.24xlarge", "p4de.24xlarge"}
    assert names(shipped_catalog().find("A100-80G", cloud="aws")) == {"p4de.24xlarge"}


def test_find_by_the_whole_chip_never_finds_a_slice():
    found = names(shipped_catalog().find("L4", cloud="aws"))
    assert {"g6.xlarge", "gr6.4xlarge"} <= found
    assert not any(name.startswith(("g6f", "gr6f")) for name in found)
    assert names(shipped_catalog().find("NVIDIA L4-3Q")) == {"g6f.large", "g6f.xlarge"}


def test_find_b200_does_not_find_what_ec2_merely_calls_b200():
    assert names(shipped_catalog().find("B200", cloud="aws")) == {"p6-b200.48xlarge"}
    assert names(shipped_catalog().find("RTX PRO Server 6000", 8, "aws")) == {"g7e.48xlarge"}


def test_find_counts_devices_and_without_a_name_finds_every_type():
    catalog = shipped_catalog()
    assert names(catalog.find("A10G", 8, "aws")) == {"g5.48xlarge"}
    assert len(catalog.find(cloud="aws")) == len(catalog.machine_types("aws"))
    assert all(machine.count >= 8 for machine in catalog.find(min_count=8))


def test_find_sorts_a_family_by_size():
    found = [machine.name for machine in shipped_catalog().find("Inferentia2", cloud="aws")]
    assert found == ["inf2.xlarge", "inf2.8xlarge", "inf2.24xlarge", "inf2.48xlarge"]
