"""Every door takes the same cluster files: `fill`, `plan`, the reading of `rehearse`, and the way of `ray up`."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling._ray.cluster_schema import cluster_schema
from accel_scaling._ray.facts import EXTERNAL_NODE_TYPES
from tests.support.cluster import config_of, gcp_config_of
from tests.support.doors import OF_RAY, of_fill, of_plan, of_ray_up

NEEDED_BY_RAY = {"setup_commands": [], "head_setup_commands": [], "worker_setup_commands": [], "max_workers": 4}
HEAD, WORKER = EXTERNAL_NODE_TYPES

SCHEMA = cluster_schema()
NODE_TYPE = SCHEMA["properties"]["available_node_types"]["patternProperties"][".*"]
# Ray reads or drops these before it asks a provider. A project and credentials of Google's are for `ray up` alone.
NOT_SEEN = {"cluster_name", "min_workers", "no_restart", "project_id", "gcp_credentials"}


def ours(*, of_gcp: bool) -> dict[str, Any]:
    """A valid file of a cloud, whose node types have the names that Ray gives by itself."""
    config: Any = gcp_config_of({WORKER: "g2-standard-4"}) if of_gcp else config_of({WORKER: "g4dn.xlarge"})
    types = config["available_node_types"]
    config["available_node_types"] = {HEAD: types["head"], WORKER: types[WORKER]}
    return {**config, "head_node_type": HEAD, **copy.deepcopy(NEEDED_BY_RAY)}


def keys(schema: dict[str, Any]) -> list[str]:
    return sorted(set(schema["properties"]) - NOT_SEEN)


OF_FILE = SCHEMA["properties"]
OF_WORKER = f"available_node_types/{WORKER}"
LEVELS = {
    "": keys(SCHEMA),
    "provider": keys(OF_FILE["provider"]),
    "auth": keys(OF_FILE["auth"]),
    "docker": keys(OF_FILE["docker"]),
    OF_WORKER: keys(NODE_TYPE),
    f"available_node_types/{HEAD}": keys(NODE_TYPE),
    f"{OF_WORKER}/resources": ["CPU", "GPU", "memory", "own"],
    f"{OF_WORKER}/labels": ["a", "ray.io/market-type"],
    f"{OF_WORKER}/docker": keys(NODE_TYPE["properties"]["docker"]),
}
VALUES = [None, True, 0, -1, 3, 1.5, "x", "2", "", [], ["a"], [1], {}, {"GPU": "1"}]


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, str, str, Any]:
    """One change of a file: a key misspelt, missing, or with a value that may be of the wrong kind."""
    level = draw(st.sampled_from(list(LEVELS)))
    key = draw(st.sampled_from(LEVELS[level]))
    how = draw(st.sampled_from(["misspelt", "value", *([] if key in NEEDED_BY_RAY else ["missing"])]))
    return level, key, how, draw(st.sampled_from(VALUES))


def changed(config: dict[str, Any], change: tuple[str, str, str, Any]) -> None:
    level, key, how, value = change
    place: Any = config
    for part in level.split("/") if level else ():
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            return  # another change has made it something else
    if how == "value":
        place[key] = copy.deepcopy(value)
        return
    was = place.pop(key, value)
    if how == "misspelt":
        place[f"{key}s"] = was


def one_mistake(change: tuple[str, str, str, Any]) -> bool:
    """Whether a change is one mistake: a node_config of other keys lacks its machine besides."""
    return change[1] != "node_config" or not isinstance(change[3], dict) or not change[3]


@pytest.mark.parametrize("of_gcp", [False, True], ids=["aws", "gcp"])
def test_the_valid_file_is_taken_by_every_door(*, of_gcp: bool) -> None:
    config = ours(of_gcp=of_gcp)
    assert (of_fill(config), of_plan(config), of_ray_up(config)) == (None, None, None)


@pytest.mark.parametrize("of_gcp", [False, True], ids=["aws", "gcp"])
@given(change=changes().filter(one_mistake))
def test_every_door_takes_the_same_files_and_refuses_the_others_in_the_same_words(
    change: tuple[str, str, str, Any], *, of_gcp: bool
) -> None:
    config = ours(of_gcp=of_gcp)
    changed(config, change)
    by_fill, by_plan, by_ray_up = of_fill(config), of_plan(config), of_ray_up(config)
    assert by_plan == by_fill
    if by_ray_up == OF_RAY:  # a traceback of its own: whoever fills the file first is told why
        assert by_fill is not None
    else:
        assert by_ray_up == by_fill


@given(of_gcp=st.booleans(), several=st.lists(changes(), min_size=2, max_size=3))
def test_with_several_mistakes_every_door_still_takes_the_same_files(
    several: list[tuple[str, str, str, Any]], *, of_gcp: bool
) -> None:
    config = ours(of_gcp=of_gcp)
    for change in several:
        changed(config, change)
    taken = of_fill(config) is None
    assert (of_plan(config) is None, of_ray_up(config) is None) == (taken, taken)


def without(*keys: str, **more: Any) -> dict[str, Any]:
    return {**{key: value for key, value in ours(of_gcp=False).items() if key not in keys}, **more}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (without("head_node_type"), None),
        (without("head_node_type", head_node_type="x"), "head_node_type is 'x', which is not one of"),
        (without("head_node_type", head_node_type=None), "head_node_type is None, which is not one of"),
        (without("available_node_types"), "`available_node_types` is missing or empty"),
        (without("available_node_types", "head_node_type"), "`available_node_types` is missing or empty"),
        (without(available_node_types={HEAD: {}, WORKER: {}}), "`available_node_types` is missing or empty"),
        (without(head_node={"InstanceType": "m5.large"}), "head_node is a key that Ray's cluster files do not have"),
        (without(head_node={}, worker_nodes={}), None),
        (without("available_node_types", "head_node_type", head_node={}, worker_nodes={}), "is missing or empty"),
        (
            without("available_node_types", "head_node_type", head_node={"a": 1}, worker_nodes={"b": 1}),
            "head_node and worker_nodes are keys that Ray's cluster files do not have",
        ),
        (without(docker={"image": "rayproject/ray"}), "docker.container_name is missing"),
        (without(docker={"container_name": "ray"}), "docker.image is missing"),
        (without(max_workers=1, available_node_types={
            HEAD: {"node_config": {"InstanceType": "m5.large"}},
            WORKER: {"node_config": {"InstanceType": "g4dn.xlarge"}, "min_workers": 2, "max_workers": 2},
        }), "max_workers is 1, and the min_workers of all node types are 2 together"),
        (without(available_node_types={
            HEAD: {"node_config": {"InstanceType": "m5.large"}},
            WORKER: {"node_config": {"InstanceType": "g4dn.xlarge"}, "min_workers": 3, "max_workers": 2},
        }), f"available_node_types.{WORKER}.min_workers is 3, above its max_workers, 2"),
    ],
)  # fmt: skip
def test_what_files_lack_and_what_contradicts_itself_is_told_alike(config: dict[str, Any], said: str | None) -> None:
    by_fill, by_plan, by_ray_up = of_fill(config), of_plan(config), of_ray_up(config)
    assert by_plan == by_fill
    assert by_ray_up in (by_fill, OF_RAY if by_fill else by_fill)
    assert (by_fill is None) == (said is None)
    assert (said or "") in (by_fill or "")
