"""What `ray up` has read before a provider is called is checked against the same bounds; and JSON is."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.cluster.shape import check_shape
from accel_scaling.errors import ClusterConfigError
from accel_scaling.inputs.json_text import NotJsonError, loads
from accel_scaling.inputs.values import UnusableValueError, check
from tests.hostile.structures import bomb, deep


def itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (bomb(), "provider.x holds more than 150,000 values"),
        (itself(), "provider.x contains itself"),
        (deep(150), "is nested too deeply, in more than 100 levels"),
        pytest.param(10**400, "provider.x is a whole number of 401 digits", id="number"),
        ({"k" * 5000: 1}, r"provider.x has the key 'kkk.*\(5,002 characters\); a key has at most 1,024"),
        ({"a\x1bb": 1}, r"provider.x has the key 'a\\x1bb' with a control character"),
    ],
)
def test_a_config_from_ray_up_is_refused_with_the_place(value: Any, said: str) -> None:
    config = {"provider": {"x": value}}
    with pytest.raises(UnusableValueError, match=f"^{said}|{said}"):
        check(config)
    with pytest.raises(ClusterConfigError, match=said):
        check_shape({"provider": {"x": value}, "available_node_types": {"a": {}}})


def test_a_value_in_many_places_is_counted_once_and_is_fine() -> None:
    shared = {"a": [1, 2, 3]}
    check({f"k{n}": shared for n in range(1000)})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1" + "0" * 400, "has 401 digits"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 120 + "]" * 120, "nested too deeply"),
        ("{", "Expecting property name"),
        ('{"' + "k" * 5000 + '": 1}', "a key has at most"),
    ],
)
def test_json_beyond_a_bound_is_one_error(text: str, said: str) -> None:
    with pytest.raises(NotJsonError, match=said):
        loads(text)
