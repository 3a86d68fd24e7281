"""`accel-scaling kuberay` as people use it: what is printed, what is written, and each mistake in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from accel_scaling.kuberay.manifest import CLUSTER_OF
from tests.support.kuberay import HEAD, manifest

L4 = manifest(limits="nvidia.com/gpu: 1", selector="cloud.google.com/gke-accelerator: nvidia-l4")
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


@pytest.fixture(name="file")
def file_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("ray.yaml").write_text(L4, encoding="utf-8")
    return Path("ray.yaml")


def test_fill_prints_the_file_and_says_what_it_added(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kuberay", "fill", str(file)]) == 0
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if line not in L4.splitlines()] == [
        "    resources:",
        '      "accelerator_type:L4": "1"',
        "    labels:",
        '      ray.io/accelerator-type: "L4"',
    ]
    assert err == (
        "ray.yaml:14: RayCluster demo, group workers\n"
        "  + resources: accelerator_type:L4: 1\n"
        "  + labels: ray.io/accelerator-type: L4\n"
        "note: written for KubeRay 1.5 and later; for an earlier one: --kuberay-version 1.4\n"
    )


def test_fill_writes_the_bytes_as_they_were(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + L4.replace("\n", "\r\n").encode())
    assert main(["kuberay", "fill", str(file), "-o", "filled.yaml"]) == 0
    after = Path("filled.yaml").read_bytes()
    assert after.startswith(b"\xef\xbb\xbfapiVersion: ray.io/v1\r\n")
    assert after.count(b"\r\n") == after.count(b"\n") == L4.count("\n") + 4
    assert main(["kuberay", "fill", "filled.yaml", "-o", "again.yaml"]) == 0
    assert Path("again.yaml").read_bytes() == after
    assert "filled.yaml: nothing to add" in capsys.readouterr().err


def test_check_is_silent_but_for_a_count_where_all_is_well(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kuberay", "check", str(file)]) == 0
    assert capsys.readouterr().out == "ok: 2 groups, no contradictions\n"


def test_check_reads_each_file_and_ends_with_2(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("b.yaml").write_text(CONFIG_MAP, encoding="utf-8")
    Path("c.yaml").write_text(manifest(params="{num-gpus: '1'}"), encoding="utf-8")
    assert main(["kuberay", "check", "b.yaml", str(file), "c.yaml"]) == 2
    out, err = capsys.readouterr()
    sentence = "b.yaml:1: has no RayCluster, RayJob, RayService, RayCronJob of ray.io; it has ConfigMap in line 1"
    assert err == f"accel-scaling: {sentence}\n"
    assert out.splitlines() == [
        "c.yaml:15: RayCluster demo, group workers: GPU: 1 is promised, but the container's limits have no device for it",  # noqa: E501 - as it is printed
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            CONFIG_MAP,
            f"ray.yaml:1: has no {', '.join(CLUSTER_OF)} of ray.io; it has ConfigMap in line 1",
        ),
        ("", "ray.yaml:1: this is not a Kubernetes manifest: it has no `kind`"),
        ("- a\n- b\n", "ray.yaml:1: this is not a Kubernetes manifest: it has no `kind`"),
        ("just text", "ray.yaml:1: this is not a Kubernetes manifest: it has no `kind`"),
        ("a: [1\nb: 2\n", "ray.yaml:2: is not YAML: "),
        ("metadata:\n  {{- if .Values.name }}\n  name: a\n", "render the chart first (`helm template`)"),
        (
            "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: a}\nspec:\n  headGroupSpec:\n",
            "ray.yaml:5: RayCluster a has no spec.headGroupSpec with keys in it",
        ),
        (
            "apiVersion: ray.io/v1\nkind: RayJob\nspec: {entrypoint: python a.py}\n",
            "ray.yaml:1: RayJob without a name has no spec.rayClusterSpec.headGroupSpec with keys in it",
        ),
        (HEAD + "  - replicas: 1\n", "ray.yaml:14: RayCluster demo: workerGroupSpecs[0] has no groupName"),
        (
            HEAD + "  - groupName: a\n    template: {}\n",
            "ray.yaml:14: RayCluster demo, group a has no template.spec.containers",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence_with_its_line(
    file: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    file.write_text(text, encoding="utf-8")
    assert main(["kuberay", "fill", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("accel-scaling: ray.yaml:")
    assert sentence in err
    assert err.count("\n") == 1
    assert main(["kuberay", "check", str(file)]) == 2
    assert capsys.readouterr() == ("", err)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fill", "no.yaml"], "accel-scaling: no.yaml does not exist\n"),
        (["fill", "latin.yaml"], "accel-scaling: latin.yaml is not UTF-8; save it as UTF-8\n"),
        (
            ["fill", "ray.yaml", "-o", "no/a.yaml"],
            "accel-scaling: no/a.yaml cannot be written: No such file or directory\n",
        ),
        (
            ["fill", "ray.yaml", "--kuberay-version", "new"],
            "accel-scaling: --kuberay-version is 'new'; expected the operator's, such as 1.4 or v1.5.1\n",
        ),
    ],
)
def test_other_mistakes_are_one_sentence_too(
    file: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    Path("latin.yaml").write_bytes(b"a: \xe9")
    assert main(["kuberay", *words]) == 2
    assert capsys.readouterr().err.endswith(sentence)


def test_a_job_on_a_cluster_that_is_declared_elsewhere_has_nothing_to_fill(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = "apiVersion: ray.io/v1\nkind: RayJob\nspec: {clusterSelector: {ray.io/cluster: a}}\n"
    file.write_text(job, encoding="utf-8")
    assert main(["kuberay", "fill", str(file)]) == 0
    assert capsys.readouterr() == (job, "ray.yaml: nothing to add\n")


def test_what_kubectl_prints_as_a_list_is_read_too(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = "".join(f"  {line}\n" for line in L4.splitlines())
    file.write_text(f"apiVersion: v1\nkind: List\nitems:\n- {body.lstrip()}", encoding="utf-8")
    assert main(["kuberay", "fill", str(file)]) == 0
    assert '"accelerator_type:L4": "1"' in capsys.readouterr().out


def test_neither_ray_nor_a_cloud_sdk_is_imported(file: Path) -> None:
    code = (
        "import sys; from accel_scaling.cli.main import main; main(['kuberay', 'fill', 'ray.yaml', '-o', 'b.yaml']); "
        "print({'ray', 'boto3', 'google', 'googleapiclient'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
