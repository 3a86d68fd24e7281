"""The labels of a node that say how its machine was bought: whoever starts it says so, and the hook makes labels."""

from __future__ import annotations

import pytest

from accel_scaling.boot.announcement import name_machine_type
from accel_scaling.boot.bought_labels import BOUGHT, MACHINE, bought_labels, with_bought
from accel_scaling.cluster.capacity import LABEL_CAPACITY, CapacityType
from accel_scaling.fill.promise import LABEL_INSTANCE_TYPE


@pytest.mark.parametrize("type_", list(CapacityType))
def test_a_start_command_tells_its_node_and_the_node_has_the_label(type_: CapacityType) -> None:
    command = with_bought("ray start", type_.value)
    assert command == f"export {BOUGHT}={type_.value}; ray start"
    labels = bought_labels({BOUGHT: type_.value}, {})
    assert labels.pop(LABEL_CAPACITY) == type_.value
    assert labels == ({"ray.io/market-type": type_.value} if type_.value in ("spot", "on-demand") else {})


@pytest.mark.parametrize("word", ["", "x; rm -rf /", "SPOT", "$(id)"])
def test_a_word_of_another_programs_tag_reaches_no_shell_and_no_label(word: str) -> None:
    assert with_bought("ray start", word) == "ray start"
    assert bought_labels({BOUGHT: word}, {}) == {}


def test_a_label_that_the_user_gave_stays() -> None:
    assert bought_labels({BOUGHT: "spot"}, {LABEL_CAPACITY: "mine", "ray.io/market-type": "x"}) == {}


def test_a_machine_of_a_list_says_which_machine_type_came() -> None:
    command = with_bought("ray start", "spot", "p5en.48xlarge")
    assert command == f"export {BOUGHT}=spot; export {MACHINE}=p5en.48xlarge; ray start"
    environment = {MACHINE: "p5en.48xlarge"}
    assert bought_labels(environment, {}) == {LABEL_INSTANCE_TYPE: "p5en.48xlarge"}
    assert bought_labels(environment, {LABEL_INSTANCE_TYPE: "mine"}) == {}
    name_machine_type(environment)
    assert environment["RAY_CLOUD_INSTANCE_TYPE_NAME"] == "p5en.48xlarge", "by which `ray status` names it"


@pytest.mark.parametrize("machine", ["", "$(id)", "a b", "x;y", "A", "-x", "x" * 64])
def test_a_machine_type_of_another_programs_tag_reaches_no_shell(machine: str) -> None:
    assert with_bought("ray start", "", machine) == "ray start"
