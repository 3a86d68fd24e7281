"""The labels of a node that say how its machine was bought: whoever starts it says so, and the hook makes labels."""

from __future__ import annotations

import pytest

from accel_scaling.boot.bought_labels import BOUGHT, bought_labels, with_bought
from accel_scaling.cluster.capacity import LABEL_CAPACITY, CapacityType


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
