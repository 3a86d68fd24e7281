"""A family of a package in manifests: its device plug-in's name is known, and its groups are filled like others."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.families.catalog import load_catalog
from accel_scaling.kuberay.check import findings
from accel_scaling.kuberay.fill import fill
from accel_scaling.kuberay.manifest import groups
from tests.support.kuberay import manifest
from tests.support.plugins import FAMILY, forget, write_metadata, write_package

N1 = "ferrum.example.com/n1"
CHIPS = (
    "Ferrum-N1: {family: ferrum, resource: FERRUM, detected_type: Ferrum-N1, pci_ids: ['fe00:0001']}\n"
    "Ferrum-N2: {family: ferrum, resource: FERRUM, detected_type: Ferrum-N2, pci_ids: ['fe00:0002']}\n"
)


def added(text: str) -> tuple[str, ...]:
    return fill(text, "demo.yaml", load_catalog()).added


def noted(text: str) -> tuple[str, ...]:
    return fill(text, "demo.yaml", load_catalog()).notes


def test_the_example_fills_a_group_from_its_limits(ferrum: Any) -> None:
    text = manifest(limits=f"{N1}: 4")
    answer = (
        "demo.yaml:14: RayCluster demo, group workers\n"
        "  + resources: FERRUM: 4, accelerator_type:Ferrum-N1: 1\n"
        "  + labels: ray.io/accelerator-type: Ferrum-N1"
    )
    assert added(text) == (answer,)
    filled = fill(text, "demo.yaml", load_catalog()).text
    assert fill(filled, "demo.yaml", load_catalog()).added == ()
    assert [each for group in groups(filled, "demo.yaml") for each in findings(group, load_catalog())] == []


def test_contradictions_of_such_a_group_are_found(ferrum: Any) -> None:
    text = manifest(fields='resources: {FERRUM: "4"}')
    (found,) = [each.text for group in groups(text, "demo.yaml") for each in findings(group, load_catalog())]
    assert found.endswith("FERRUM: 4 is promised, but the container's limits have no device for it")
    text = manifest(limits=f"{N1}: 8", selector="node.kubernetes.io/instance-type: fe1.4xlarge")
    assert any("fe1.4xlarge" in each.text for group in groups(text, "") for each in findings(group, load_catalog()))


def test_without_the_package_a_note_says_that_nobody_counts_its_devices() -> None:
    (note,) = noted(manifest(limits=f"{N1}: 4"))
    assert f"{N1}: 4" in note


@pytest.fixture(name="two_chips")
def two_chips_fixture(tmp_path: Any, plugged: Any) -> Any:
    """A package with two chips; takes the value of ``device_plugin``."""

    def write(value: str) -> None:
        text = FAMILY.replace("{more}", f", device_plugin={value}")
        write_package(tmp_path, text=text, chips_dot_yaml=CHIPS)
        write_metadata(tmp_path, "ferrum-n1", "FERRUM = ferrum:FAMILY")
        plugged(tmp_path)

    return write


def test_each_chip_may_have_a_name_of_its_own(two_chips: Any) -> None:
    two_chips(f"{{'{N1}': 'Ferrum-N1', 'ferrum.example.com/n2': 'Ferrum-N2'}}")
    assert "accelerator_type:Ferrum-N2: 1" in added(manifest(limits="ferrum.example.com/n2: 1"))[0]


def test_one_name_for_several_chips_needs_a_word_from_the_user(two_chips: Any) -> None:
    two_chips(f"'{N1}'")
    (note,) = noted(manifest(limits=f"{N1}: 1"))
    assert note.endswith(
        f"no accelerator_type is promised: {N1} does not name the accelerator; name it in the group, such as "
        'resources: {"accelerator_type:Ferrum-N1": "1"} (before KubeRay 1.5 or Ray 2.51: rayStartParams)'
    )
    assert "FERRUM: 1" in added(manifest(limits=f"{N1}: 1"))[0]
    by_hand = manifest(limits=f"{N1}: 1", fields='resources: {"accelerator_type:Ferrum-N2": "1"}')
    assert "ray.io/accelerator-type: Ferrum-N2" in added(by_hand)[0]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("'ferrum'", "device_plugin has 'ferrum'; expected a name with its domain, such as ferrum.example.com/n1"),
        ("7", "device_plugin has 7; expected a name with its domain"),
        ("{'a.b/c': 7}", "device_plugin has the chip 7; expected a chip's name, such as Ferrum-N1"),
    ],
)
def test_a_wrong_name_leaves_the_plug_in_out(
    two_chips: Any, value: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two_chips(value)
    load_catalog()
    assert f"is left out: {reason}" in capsys.readouterr().err
    forget()
