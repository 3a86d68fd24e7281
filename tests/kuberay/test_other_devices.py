"""Devices that are no whole ones, or have no row: claims, shares and unknown names; `fill` and `check` say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.catalog.kubernetes import other_resource
from accel_scaling.cli.main import main
from tests.support.kuberay import GKE, GPU, filled, found, group_of, manifest, types_of

CLAIM = "resourceClaims: [{name: gpu, resourceClaimTemplateName: one-gpu}]"
L4 = f"{GKE}: nvidia-l4"


def with_claim(text: str, *, used: bool = True) -> str:
    """The manifest with a resource claim of its pods, which the Ray container names or not."""
    container = "        containers:\n        - name: ray-worker\n          resources:\n"
    assert container in text
    claims = "            claims: [{name: gpu}]\n" if used else ""
    return text.replace(container, f"        {CLAIM}\n{container}{claims}")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (f"{GPU}, nvidia.com/gpumem: 4000", "nvidia.com/gpumem: 4000"),
        (f"{GPU}, nvidia.com/gpucores: 30", "nvidia.com/gpucores: 30"),
        (f"{GPU}, nvidia.com/gpumem-percentage: 50", "nvidia.com/gpumem-percentage: 50"),
        ("nvidia.com/gpu.shared: 1", "nvidia.com/gpu.shared: 1"),
    ],
)
def test_a_part_by_memory_or_cores_is_counted_without_the_type_of_a_whole_one(limits: str, reason: str) -> None:
    text = manifest(limits=limits, selector=L4)
    assert types_of(text) == set()
    (note,) = filled(text).notes
    assert f"its pods get a part of a device ({reason}), so L4, of a whole one, is not promised" in note


@pytest.mark.parametrize(
    "selector",
    [
        f"{L4}, cloud.google.com/gke-gpu-sharing-strategy: time-sharing",
        f"{L4}, cloud.google.com/gke-gpu-sharing-strategy: mps",
        f"{L4}, cloud.google.com/gke-max-shared-clients-per-gpu: '3'",
        "nvidia.com/gpu.product: NVIDIA-L4-SHARED",
        "nvidia.com/gpu.product: NVIDIA-L4, nvidia.com/gpu.sharing-strategy: time-slicing",
        "nvidia.com/gpu.product: NVIDIA-L4, nvidia.com/gpu.replicas: '4'",
    ],
)
def test_a_shared_gpu_is_not_promised_as_a_whole_one(selector: str) -> None:
    text = manifest(limits=GPU, selector=selector)
    assert types_of(text) == set()
    assert "ray.io/accelerator-type" not in group_of(text).get("labels", {})
    (note,) = filled(text).notes
    assert "of a whole one, is not promised; if your tasks may take it for one, write resources:" in note


@pytest.mark.parametrize(
    "selector",
    [
        "nvidia.com/gpu.product: NVIDIA-L4, nvidia.com/gpu.sharing-strategy: none",
        "nvidia.com/gpu.product: NVIDIA-L4, nvidia.com/gpu.replicas: '1'",
    ],
)
def test_labels_that_say_that_nothing_is_shared_change_nothing(selector: str) -> None:
    text = manifest(limits=GPU, selector=selector)
    assert (types_of(text), filled(text).notes) == ({"L4"}, ())


def test_a_shared_gpu_of_a_plug_in_that_ray_does_not_count_is_counted() -> None:
    text = manifest(limits="nvidia.com/gpu.shared: 1", selector="nvidia.com/gpu.product: Tesla-T4-SHARED")
    assert group_of(text)["resources"] == {"GPU": "1"}


def test_a_type_that_the_user_wrote_for_a_part_stays_without_a_note() -> None:
    text = manifest(
        limits=f"{GPU}, nvidia.com/gpumem: 4000", selector=L4, fields='resources: {"accelerator_type:L4": "1"}'
    )
    assert filled(text).notes == ()
    assert types_of(text) == {"L4"}


@pytest.mark.parametrize("selector", ["", L4])
def test_devices_by_claim_are_named_with_the_way_out(selector: str) -> None:
    (note,) = filled(with_claim(manifest(selector=selector))).notes
    assert "its devices come through resourceClaims gpu, which neither this fill nor" in note
    assert "Ray's autoscaler counts; write" in note
    assert ('resources: {GPU: "1", "accelerator_type:L4": "1"}' in note) is bool(selector)
    assert "its pods get none" not in note


def test_a_claim_that_the_ray_container_does_not_name_gives_it_nothing() -> None:
    (note,) = filled(with_claim(manifest(), used=False)).notes
    assert "the Ray container gets none of it: its resources.claims names none" in note


def test_a_claim_is_no_contradiction_to_the_users_own_count() -> None:
    text = with_claim(manifest(selector=L4, fields='resources: {GPU: "1"}'))
    assert filled(text).notes == ()
    assert found(text) == []


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ("aliyun.com/gpu-mem: 8", "aliyun.com/gpu-mem: 8 is a part of a device, which Ray's autoscaler does not count"),
        ("volcano.sh/vgpu-number: 1", "volcano.sh/vgpu-number: 1 is a part of a device"),
        ("tencent.com/vcuda-core: 50", "tencent.com/vcuda-core: 50 is a part of a device"),
        ("example.com/dongle: 1", "example.com/dongle: 1 is not known; if it is an accelerator, write what Ray shall"),
        ("cambricon.com/mlu: 1", "cambricon.com/mlu: 1 is not known; if it is an accelerator"),
        (
            "iluvatar.example/gpu: 2",
            "iluvatar.example/gpu: 2 is not known; as its name ends in gpu, Ray's autoscaler counts it as GPU: 2, and",
        ),
        (
            "koordinator.sh/gpu: 100",
            "koordinator.sh/gpu: 100 is a part of a device, or several; as its name ends in gpu, Ray's autoscaler",
        ),
    ],
)
def test_a_resource_that_no_row_counts_is_named_with_the_way_out(limits: str, says: str) -> None:
    text = manifest(limits=limits)
    assert any(says in note for note in filled(text).notes)
    assert "resources" not in group_of(text)
    own = manifest(limits=limits, fields='resources: {GPU: "1"}')
    assert filled(own).notes == ()
    assert found(own) == []


def test_ray_makes_gpu_of_a_name_that_ends_in_gpu_as_the_note_says() -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _get_num_gpus

    limits = {"intel.com/gpu": 2}
    assert _get_num_gpus({}, {}, {"limits": limits}, "g") == 2


@pytest.mark.parametrize(
    "limits",
    [
        f"{GPU}, vpc.amazonaws.com/efa: 4",
        f"{GPU}, rdma/hca_shared_devices_a: 1",
        f"{GPU}, hugepages-2Mi: 1Gi",
        f"{GPU}, ephemeral-storage: 1Gi",
        f"{GPU}, nvidia.com/gpumem: 0",
        f"{GPU}, example.com/dongle: 0",
    ],
)
def test_what_is_no_accelerator_needs_no_note(limits: str) -> None:
    text = manifest(limits=limits, selector=L4)
    assert (types_of(text), filled(text).notes) == ({"L4"}, ())


def test_an_unknown_resource_beside_a_gpu_is_noted_and_the_gpu_filled() -> None:
    text = manifest(limits=f"{GPU}, example.com/dongle: 1", selector=L4)
    assert types_of(text) == {"L4"}
    (note,) = filled(text).notes
    assert "example.com/dongle: 1 is not known" in note


def test_karpenters_name_of_a_gpu_selects_parts_of_it_too_and_the_note_says_how_to_rule_them_out() -> None:
    text = manifest(limits=GPU, selector="karpenter.k8s.aws/instance-gpu-name: l4")
    assert types_of(text) == {"L4"}
    (note,) = filled(text).notes
    assert "karpenter.k8s.aws/instance-gpu-name: l4 selects g6f." in note
    assert "exclude g6f and gr6f with a NotIn of karpenter.k8s.aws/instance-family" in note


@pytest.mark.parametrize(
    ("limits", "selector"),
    [
        ("nvidia.com/gpu: 4", "karpenter.k8s.aws/instance-gpu-name: l4"),  # no part has four
        (GPU, "karpenter.k8s.aws/instance-gpu-name: l4, karpenter.k8s.aws/instance-family: g6"),
        (GPU, "karpenter.k8s.aws/instance-gpu-name: l4, karpenter.k8s.aws/instance-gpu-memory: '22888'"),
        (GPU, "karpenter.k8s.aws/instance-gpu-name: a100"),
    ],
)
def test_a_name_that_selects_whole_ones_alone_needs_no_note(limits: str, selector: str) -> None:
    assert filled(manifest(limits=limits, selector=selector)).notes == ()


def test_check_notes_what_fill_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    for text in (
        with_claim(manifest(selector=L4)),
        manifest(limits=f"{GPU}, nvidia.com/gpumem: 4000", selector=L4),
        manifest(limits="aliyun.com/gpu-mem: 8"),
        manifest(limits=GPU, selector="karpenter.k8s.aws/instance-gpu-name: l4"),
    ):
        path.write_text(text, encoding="utf-8")
        assert main(["kuberay", "check", str(path)]) == 0
        out, err = capsys.readouterr()
        assert out.startswith("ok: ")
        main(["kuberay", "fill", str(path)])
        noted = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"note: {path}")]
        assert err.splitlines() == noted
        assert noted


def test_names_of_the_table_match_as_they_stand() -> None:
    assert other_resource("volcano.sh/vgpu-memory").is_share  # type: ignore[union-attr]
    assert not other_resource("rdma/ib").is_share  # type: ignore[union-attr]
    assert other_resource("nvidia.com/gpu") is None
