"""The version of Ray in an image, and what a group with an old one gets: nothing that its Ray cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _node_type_from_group_spec

from accel_scaling.cli.main import main
from accel_scaling.kuberay.ray_version import version_in
from accel_scaling.kuberay.user_values import custom_resources
from tests.support.kuberay import GKE, GPU, filled, found, group_of, manifest
from tests.support.kuberay_operator import groups_of, ray_start, refusals

L4 = f"{GKE}: nvidia-l4"
OLD = "rayproject/ray:2.9.3-gpu"


def with_ray(text: str, image: str = "", *, head: str = "", ray_version: str = "", autoscaling: bool = False) -> str:
    """The manifest with images and a `rayVersion`."""
    for name, of in (("ray-worker", image), ("ray-head", head)):
        text = text.replace(f"- name: {name}\n", f"- name: {name}\n          image: {of}\n") if of else text
    fields = f"  rayVersion: {ray_version}\n" if ray_version else ""
    fields += "  enableInTreeAutoscaling: true\n" if autoscaling else ""
    return text.replace("spec:\n  headGroupSpec", f"spec:\n{fields}  headGroupSpec")


@pytest.mark.parametrize(
    ("image", "ray_version", "number"),
    [
        ("rayproject/ray:2.9.3-gpu", "", (2, 9)),
        ("rayproject/ray:2.9.3-py310-tpu", "2.46.0", (2, 9)),
        ("rayproject/ray:2.60.0", "2.9.0", (2, 60)),
        ("rayproject/ray-ml:2.44.1-py39-gpu", "", (2, 44)),
        ("rayproject/ray-llm:2.46.0-py311-cu124", "", (2, 46)),
        ("docker.io/rayproject/ray:1.13.0", "", (1, 13)),
        ("localhost:5000/ray:2.40.0", "", (2, 40)),
        ("us-docker.pkg.dev/p/r/ray:v2.37.0", "", (2, 37)),
        ("rayproject/ray:2.9.3@sha256:00ff", "2.60.0", (2, 9)),
        # The tag names Ray among other things.
        ("verlai/verl:vemlp-th2.4.0-cu124-vllm0.6.3-ray2.10-te1.7-v0.0.3", "", (2, 10)),
        ("me/app:ray-2.44.1", "2.60.0", (2, 44)),
        ("me/ray-2.9.3:v7", "", (2, 9)),
        # An image with versions of its own, which ended long before.
        ("anyscale/ray-llm:0.5.0", "", (2, 9)),
        ("anyscale/ray-llm:latest", "2.60.0", (2, 9)),
        ("anyscale/aviary:0.3.1", "", (2, 9)),
        # The tag says nothing: then rayVersion does.
        ("rayproject/ray@sha256:00ff", "2.9.3", (2, 9)),
        ("vllm/vllm-openai:v0.6.3", "2.44.1", (2, 44)),
        ("me/ray:1.0.7", "2.52.0", (2, 52)),
        ("me/my-ray:2.9.3", "2.60.0", (2, 60)),
        ("${IMAGE}", "2.40.0", (2, 40)),
        ("", "v2.9", (2, 9)),
        # A user's image of Ray whose tag may be Ray's version.
        ("me/my-ray:2.9.3", "", (2, 9)),
    ],
)
def test_an_image_says_its_ray(image: str, ray_version: str, number: tuple[int, int]) -> None:
    assert version_in(image, ray_version).number == number


@pytest.mark.parametrize(
    ("image", "ray_version"),
    [
        ("rayproject/ray:latest", "2.9.0"),
        ("rayproject/ray:nightly-py311-gpu", ""),
        ("rayproject/ray", "2.9.0"),
        ("vault.habana.ai/gaudi-docker/ray:latest", ""),
        ("rayproject/ray:a1b2c3-py39", ""),
        ("rayproject/ray@sha256:00ff", ""),
        ("rayproject/ray:${RAY}-gpu", ""),
        ("me/app:1.2.3", ""),
        ("me/array:2.1.0", ""),
        ("me/my-ray:2024.05.01", ""),
        ("", "${RAY_VERSION}"),
        ("", ""),
    ],
)
def test_a_newest_or_unknown_ray_is_treated_as_one_that_reads_everything(image: str, ray_version: str) -> None:
    version = version_in(image, ray_version)
    assert version.number is None
    assert version.reads_labels
    assert version.reads_fields


@pytest.mark.parametrize(
    ("image", "ray_version"),
    [(OLD, ""), ("rayproject/ray:2.44.1", "2.60.0"), ("rayproject/ray@sha256:00ff", "2.40.0"), ("a/app:1", "2.9.0")],
)
@pytest.mark.parametrize("params", ["{}", "{num-gpus: '1', num-cpus: '7'}", r"""{resources: '"{\"own\": 1}"'}"""])
def test_an_old_ray_gets_resources_where_it_reads_them_and_no_labels(image: str, ray_version: str, params: str) -> None:
    text = with_ray(manifest(limits=GPU, selector=L4, params=params), image, ray_version=ray_version)
    group = group_of(text)
    assert "labels" not in group
    assert "resources" not in group
    resources, _ = custom_resources(group["rayStartParams"]["resources"])
    assert resources["accelerator_type:L4"] == "1"
    assert {name: group["rayStartParams"].get(name) for name in ("num-gpus", "num-cpus")} == {
        name: yaml.safe_load(params).get(name) for name in ("num-gpus", "num-cpus")
    }
    (note,) = filled(text).notes
    assert (
        "whose `ray start` ends with an error at labels as KubeRay writes them (Ray 2.45 and later read them)" in note
    )
    assert "no labels are written; resources go into rayStartParams, where its autoscaler reads them" in note
    assert found(text) == []
    again = filled(filled(text).text)
    assert (again.text, again.added) == (filled(text).text, ())


def test_the_operator_takes_the_old_form_and_ray_reads_it() -> None:
    text = filled(with_ray(manifest(limits=GPU, selector=L4), OLD)).text
    group = groups_of(yaml.safe_load(text))["workers"]
    assert refusals(group) == []
    assert "--labels" not in ray_start(group, head=False)
    assert _node_type_from_group_spec(group, is_head=False)["resources"]["accelerator_type:L4"] == 1


@pytest.mark.parametrize("version", ["2.45.0", "2.46.0-py311", "2.50.1"])
def test_a_ray_between_keeps_its_labels_and_gets_resources_in_the_old_form(version: str) -> None:
    text = with_ray(manifest(limits=GPU, selector=L4), f"rayproject/ray:{version}")
    group = group_of(text)
    assert group["labels"] == {"ray.io/accelerator-type": "L4"}
    assert "accelerator_type:L4" in group["rayStartParams"]["resources"]
    assert "resources" not in group
    assert refusals(group) == []
    (note,) = filled(text).notes
    assert "whose autoscaler reads rayStartParams only (Ray 2.51 and later read a group's `resources`" in note


@pytest.mark.parametrize("image", ["rayproject/ray:2.51.0", "rayproject/ray:2.60.0-gpu", "rayproject/ray:latest"])
@pytest.mark.parametrize("ray_version", ["", "2.9.0"])
def test_a_new_image_gets_everything_whatever_ray_version_says(image: str, ray_version: str) -> None:
    text = with_ray(manifest(limits=GPU, selector=L4), image, ray_version=ray_version)
    group = group_of(text)
    assert (group["resources"], group["labels"]) == ({"accelerator_type:L4": "1"}, {"ray.io/accelerator-type": "L4"})
    assert filled(text).notes == ()


def test_an_image_that_says_nothing_is_as_old_as_the_heads() -> None:
    text = with_ray(manifest(limits=GPU, selector=L4), "me/app:1", head=OLD, ray_version="2.60.0")
    assert "labels" not in group_of(text)


def test_where_nothing_says_which_ray_it_is_the_labels_are_written_with_a_note() -> None:
    text = with_ray(manifest(limits=GPU, selector=L4), "me/app:1")
    assert group_of(text)["labels"] == {"ray.io/accelerator-type": "L4"}
    (note,) = filled(text).notes
    assert note.endswith(
        "neither its image nor rayVersion says which Ray it has; labels need Ray 2.45, and a group's resources 2.51: "
        "for an older one, write rayVersion before you fill"
    )
    assert filled(filled(text).text).notes == ()


def test_the_old_operator_gets_no_note_on_labels_that_it_would_not_read_anyway() -> None:
    assert filled(with_ray(manifest(limits=GPU, selector=L4), OLD), "1.4").notes == ()


def test_labels_of_the_users_that_an_old_ray_cannot_read_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = with_ray(manifest(limits=GPU, selector=L4, fields="labels:\n  team: a"), OLD)
    ((line, said),) = found(text)
    assert text.splitlines()[line - 1] == "    labels:"
    assert said.startswith(
        f"{OLD} has Ray 2.9, whose `ray start` ends with an error at labels as KubeRay writes them, so its"
    )
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    assert main(["kuberay", "check", str(tmp_path / "c.yaml")]) == 2
    assert "remove the labels, or take Ray 2.45 or later" in capsys.readouterr().out


def test_resources_of_the_users_that_an_old_autoscaler_does_not_read_are_found() -> None:
    text = manifest(limits=GPU, selector=L4, fields="resources:\n  GPU: '1'")
    ((_, said),) = found(with_ray(text, "rayproject/ray:2.46.0", autoscaling=True))
    assert "whose autoscaler does not read a group's `resources`; write them into rayStartParams, or take" in said
    assert found(with_ray(text, "rayproject/ray:2.46.0")) == []
    # KubeRay refuses resources in both places.
    assert group_of(with_ray(text, OLD))["resources"] == {"GPU": "1", "accelerator_type:L4": "1"}


def test_labels_in_json_are_read_as_ray_reads_them() -> None:
    text = manifest(limits=GPU, selector=L4, params="""{labels: '{"team": "a"}'}""")
    group = group_of(with_ray(text, "rayproject/ray:2.60.0"))
    assert group["labels"] == {"team": "a", "ray.io/accelerator-type": "L4"}
    # There they would have to go, for KubeRay since 1.5, and have no other place.
    old = with_ray(text, OLD)
    assert group_of(old)["rayStartParams"]["labels"] == '{"team": "a"}'
    ((_, said),) = found(old)
    assert said.startswith("rayStartParams.labels is refused by KubeRay 1.5")
    assert "remove it" in said
