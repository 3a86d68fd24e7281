"""Google's documents as router and validator: what they allow passes, what they forbid is refused, whatever it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling.testing.gce.api_errors import ApiError
from accel_scaling.testing.gce.documents import resolve
from accel_scaling.testing.gce.lists import parse_filter
from tests.support.gce_client import body

ZONE_PATH = "/compute/v1/projects/p/zones/us-central1-a"


@pytest.mark.parametrize(
    ("http", "path", "method", "parameters"),
    [
        ("GET", f"{ZONE_PATH}/instances", "compute.instances.list", {"project": "p", "zone": "us-central1-a"}),
        ("POST", f"{ZONE_PATH}/instances/i/setLabels", "compute.instances.setLabels", {"instance": "i"}),
        ("POST", f"{ZONE_PATH}/operations/o/wait", "compute.zoneOperations.wait", {"operation": "o"}),
        ("GET", "/v1/projects/p", "cloudresourcemanager.projects.get", {"projectId": "p"}),
        ("POST", "/v1/projects/p:getIamPolicy", "cloudresourcemanager.projects.getIamPolicy", {"resource": "p"}),
        ("POST", "/v1/projects/p/serviceAccounts", "iam.projects.serviceAccounts.create", {"name": "projects/p"}),
        ("POST", "/v2/projects/p/locations/z/nodes", "tpu.projects.locations.nodes.create", {"parent": "projects/p/locations/z"}),  # noqa: E501 - a table
        ("POST", "/v2/projects/p/locations/z/nodes/n:stop", "tpu.projects.locations.nodes.stop", {"name": "projects/p/locations/z/nodes/n"}),  # noqa: E501 - a table
        ("GET", "/v2alpha1/projects/p/locations/z/nodes/n", "tpu.projects.locations.nodes.get", {}),
    ],
)  # fmt: skip
def test_a_path_finds_its_method_and_its_parameters(http, path, method, parameters):
    call = resolve(http, path, {}, None)
    assert call.method.id == method
    assert parameters.items() <= call.parameters.items()


@pytest.mark.parametrize(
    ("http", "path", "query", "code"),
    [
        ("GET", "/compute/v1/nothing", {}, 404),
        ("PUT", f"{ZONE_PATH}/instances", {}, 404),
        ("GET", f"{ZONE_PATH}/instances", {"filtre": ["x"]}, 400),
        ("GET", f"{ZONE_PATH}/instances", {"maxResults": ["many"]}, 400),
    ],
)
def test_what_no_document_has_is_refused(http, path, query, code):
    with pytest.raises(ApiError) as error:
        resolve(http, path, query, None)
    assert error.value.code == code


def test_a_list_that_stands_for_one_message_is_taken_as_rays_own_defaults_need_it():
    asked = body("a", scheduling=[{"preemptible": True}])
    call = resolve("POST", f"{ZONE_PATH}/instances", {}, asked)
    assert call.body["scheduling"] == {"preemptible": True}


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in items for found in paths_of(item, (*path, key)))]


VALID = body("a", labels={"x": "y"}, scheduling={"preemptible": True, "onHostMaintenance": "TERMINATE"})


@given(
    path=st.sampled_from([path for path in paths_of(VALID) if path]),
    wrong=st.one_of(st.floats(), st.just({"no": {"such": "message"}}), st.just([["x"]])),
)
def test_a_body_with_any_part_of_the_wrong_kind_is_refused_in_a_sentence(path, wrong):
    broken = copy.deepcopy(VALID)
    inside = broken
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = wrong
    with pytest.raises(ApiError) as error:
        resolve("POST", f"{ZONE_PATH}/instances", {}, broken)
    assert error.value.code == 400
    assert "\n" not in error.value.message


WORD = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)


@given(labels=st.dictionaries(WORD, WORD, max_size=4), key=WORD, value=WORD)
def test_a_filter_by_label_takes_exactly_those_that_have_it(labels, key, value):
    item = {"labels": labels, "status": "RUNNING"}
    assert parse_filter(f"labels.{key} = {value}")(item) is (labels.get(key) == value)
    assert parse_filter(f"NOT labels.{key}:*")(item) is (key not in labels)
    both = f"(labels.{key} = {value}) AND (status = RUNNING OR status = STAGING)"
    assert parse_filter(both)(item) is (labels.get(key) == value)


@given(text=st.text(max_size=40))
def test_any_text_is_a_filter_or_is_refused(text):
    try:
        parse_filter(text)({"labels": {}})
    except ApiError as error:
        assert error.code == 400
