"""Templates of manifests, for envsubst or Helm: what does not depend on it is filled, and the rest is named."""

from __future__ import annotations

import pytest

from accel_scaling.errors import ClusterConfigError
from accel_scaling.kuberay.templates import is_open_text
from tests.support.kuberay import GKE, GPU, HEAD, MACHINE, filled, found, group_of, manifest, types_of

L4 = f"{GKE}: nvidia-l4"
MIG = "cloud.google.com/gke-gpu-partition-size"
SHARING = "cloud.google.com/gke-gpu-sharing-strategy"
TPU = "cloud.google.com/gke-tpu-accelerator"
TOPOLOGY = "cloud.google.com/gke-tpu-topology"
SLICE = f"{TPU}: tpu-v4-podslice, {TOPOLOGY}: 2x2x2"
RENDER = (
    "left open by a template: render the file first (with envsubst, `helm template` or what fills it in), then fill it"
)


@pytest.mark.parametrize("value", ["${N}", "$N", '"${N}"', "{{ .Values.n }}", "'{{ n }}'", "$(N)", "<N>", "__N__"])
@pytest.mark.parametrize("key", ["minReplicas: 0", "maxReplicas: 2", "cpu: 8", "memory: 32Gi", "groupName: workers"])
def test_what_the_promise_does_not_depend_on_may_be_left_open(key: str, value: str) -> None:
    name = key.partition(":")[0]
    in_braces = name in ("cpu", "memory") and value == "${N}"  # no YAML without quotes
    text = manifest(limits=GPU, selector=L4).replace(key, f"{name}: " + (f"'{value}'" if in_braces else value))
    assert filled(text).notes == ()
    assert '"accelerator_type:L4": "1"' in filled(text).text
    assert found(text) == []
    assert filled(filled(text).text).added == ()


def test_the_lines_of_a_template_stay_as_they_are() -> None:
    text = manifest(limits=GPU, selector=L4).replace("minReplicas: 0", "minReplicas: {{ .Values.min | default 0 }}")
    lines = iter(filled(text).text.splitlines())
    assert [line for line in text.splitlines() if line not in lines] == []


@pytest.mark.parametrize(
    ("selector", "named"),
    [
        (f"{GKE}: '${{GPU_TYPE}}'", f"{GKE}: ${{GPU_TYPE}} is"),
        (f"{GKE}: $GPU_TYPE", f"{GKE}: $GPU_TYPE is"),
        (f"{GKE}: nvidia-$TYPE", f"{GKE}: nvidia-$TYPE is"),
        (f"{GKE}: {{{{ .Values.gpu }}}}", f"{GKE}: {{{{ .Values.gpu }}}} is"),
        (f"{MACHINE}: $(INSTANCE_TYPE)", f"{MACHINE}: $(INSTANCE_TYPE) is"),
        ("nvidia.com/gpu.product: <your-gpu>", "nvidia.com/gpu.product: <your-gpu> is"),
        ("karpenter.k8s.aws/instance-gpu-name: __GPU__", "karpenter.k8s.aws/instance-gpu-name: __GPU__ is"),
        # What is left open may make parts of the devices.
        (f"{L4}, cloud.google.com/gke-gpu-partition-size: $SIZE", "cloud.google.com/gke-gpu-partition-size: $SIZE is"),
        (
            f"{L4}, cloud.google.com/gke-gpu-sharing-strategy: $HOW",
            "cloud.google.com/gke-gpu-sharing-strategy: $HOW is",
        ),
    ],
)
def test_an_accelerator_that_is_left_open_is_said_in_one_sentence_and_is_no_mistake(selector: str, named: str) -> None:
    text = manifest(limits=GPU, selector=selector)
    assert filled(text).notes == (f"demo.yaml:14: RayCluster demo, group workers: {named} {RENDER}",)
    assert filled(text).text == text
    assert found(text) == []


def test_an_affinity_that_is_left_open_is_said() -> None:
    terms = f"[{{matchExpressions: [{{key: {GKE}, operator: In, values: [nvidia-l4, $OTHER]}}]}}]"
    text = manifest(limits=GPU, terms=terms)
    assert filled(text).notes[0].endswith(f"{GKE}: nvidia-l4 or $OTHER is {RENDER}")
    text = manifest(limits=GPU, terms="{{ .Values.terms }}")
    assert filled(text).notes[0].endswith(f"nodeSelectorTerms: {{{{ .Values.terms }}}} is {RENDER}")
    text = manifest(limits=GPU, selector=L4).replace(f"nodeSelector: {{{L4}}}", "nodeSelector: {{ .Values.nodes }}")
    assert filled(text).notes[0].endswith(f"nodeSelector: {{{{ .Values.nodes }}}} is {RENDER}")


def test_what_another_selector_tells_needs_nothing_that_is_left_open() -> None:
    text = manifest(limits=GPU, selector=f"{MACHINE}: g2-standard-8, {GKE}: $GPU_TYPE")
    assert types_of(text) == {"L4"}
    assert filled(text).notes == ()


def test_places_that_are_left_open_are_no_labels() -> None:
    selector = f"{L4}, topology.kubernetes.io/zone: $ZONE, cloud.google.com/gke-spot: '${{SPOT}}'"
    text = manifest(limits=GPU, selector=selector)
    assert group_of(text)["labels"] == {"ray.io/accelerator-type": "L4"}
    (note,) = filled(text).notes
    assert note.endswith(f"topology.kubernetes.io/zone: $ZONE and cloud.google.com/gke-spot: ${{SPOT}} are {RENDER}")


@pytest.mark.parametrize("count", ["'${N}'", "$N", "'{{ gpus }}'"])
def test_a_number_of_devices_that_is_left_open_leaves_the_type(count: str) -> None:
    gpus = manifest(limits=f"nvidia.com/gpu: {count}", selector=L4, requests=f"nvidia.com/gpu: {count}")
    assert (types_of(gpus), filled(gpus).notes, found(gpus)) == ({"L4"}, (), [])
    # Ray does not count these itself.
    neuron = manifest(limits=f"aws.amazon.com/neuron: {count}", selector=f"{MACHINE}: trn1.32xlarge")
    assert types_of(neuron) == {"aws-neuron-core", "Trainium"}
    assert "neuron_cores" not in group_of(neuron)["resources"]
    (note,) = filled(neuron).notes
    assert note.endswith(f"aws.amazon.com/neuron: {yaml_text(count)} is {RENDER}")
    assert found(neuron) == []


def yaml_text(value: str) -> str:
    return value.strip("'")


def test_limits_that_are_left_open_are_said_and_nothing_in_them_is_missed() -> None:
    text = manifest(limits=GPU, selector=SLICE, params="{num-gpus: '1'}")
    text = text.replace("limits: {cpu: 8, memory: 32Gi, nvidia.com/gpu: 1}", "limits: {{ toYaml .Values.limits }}")
    text = text.replace("spec:\n  headGroupSpec", "spec:\n  enableInTreeAutoscaling: true\n  headGroupSpec")
    (note,) = filled(text).notes
    assert note.endswith(f"limits: {{{{ toYaml .Values.limits }}}} is {RENDER}")
    assert found(text) == []


@pytest.mark.parametrize(
    ("fields", "limits", "selector", "labels", "note"),
    [
        # The hosts follow from the chips and the topology.
        ("numOfHosts: $HOSTS", "google.com/tpu: 4", SLICE, True, ""),
        ("numOfHosts: 2", "google.com/tpu: $CHIPS", SLICE, True, ""),
        ("numOfHosts: $HOSTS", "google.com/tpu: $CHIPS", SLICE, True, "numOfHosts is"),
        ("numOfHosts: 2", "google.com/tpu: 4", SLICE.replace("2x2x2", "$SIZE"), False, f"{TOPOLOGY}: $SIZE is"),
    ],
)
def test_of_a_slice_what_is_known_is_filled(fields: str, limits: str, selector: str, labels: bool, note: str) -> None:
    text = manifest(limits=limits, selector=selector, fields=fields)
    group = group_of(text)
    assert group["resources"] == {"accelerator_type:TPU-V4": "1"}
    assert ("ray.io/tpu-topology" in group["labels"]) is labels
    assert "ray.io/tpu-worker-id" not in group["labels"]
    assert [said.partition("group workers: ")[2] for said in filled(text).notes] == (
        [f"{note} {RENDER}"] if note else []
    )
    assert found(text) == []


def test_a_slice_whose_accelerator_is_left_open_is_no_mistake() -> None:
    text = manifest(limits="google.com/tpu: 4", selector=f"{TPU}: $ACC, {TOPOLOGY}: 2x2x2", fields="numOfHosts: 2")
    assert found(text) == []
    assert filled(text).notes[0].endswith(f"{TPU}: $ACC is {RENDER}")


def test_the_users_own_values_that_are_left_open_contradict_nothing() -> None:
    fields = "labels: {ray.io/market-type: '${M}', ray.io/accelerator-type: $T}\n"
    fields += "resources: {'accelerator_type:$T': '1', GPU: $N}"
    text = manifest(limits=GPU, selector=f"{L4}, cloud.google.com/gke-spot: 'true'", fields=fields)
    assert found(text) == []
    assert filled(text).text == text


@pytest.mark.parametrize(
    ("params", "named"),
    [
        (r"""{num-gpus: $G, resources: '"{\"a\": ${N}}"'}""", "rayStartParams.resources"),
        ("{labels: 'team=$TEAM'}", "rayStartParams.labels"),
        ("{{ .Values.params }}", "rayStartParams"),
    ],
)
def test_what_would_have_to_move_and_is_left_open_stays(params: str, named: str) -> None:
    text = manifest(limits=GPU, selector=L4, params=params)
    assert filled(text).text == text
    assert filled(text).notes[0].endswith(f"not filled: {named} is {RENDER}")
    assert all("is refused by KubeRay" in said for _, said in found(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            manifest().replace("apiVersion: ray.io/v1", "apiVersion: {{ .Values.api }}"),
            "1: apiVersion: {{ .Values.api }} is",
        ),
        (HEAD.replace("workerGroupSpecs:", "workerGroupSpecs: {{ .Values.groups }}"), "13: RayCluster demo: worker"),
        (HEAD + "  - {{ .Values.group }}\n", "14: RayCluster demo: workerGroupSpecs[0] has no groupName; render the"),
        (
            manifest().replace(
                "containers:\n        - name: ray-worker", "containers: {{ c }}\n        x:\n        - name: x"
            ),
            "14: RayCluster demo, group workers has no template.spec.containers; render the file first",
        ),
        (
            manifest(limits="nvidia.com/gpu: ${N}"),
            "24: is not YAML: expected ',' or '}', but got '{'; it is a template:",
        ),
        (manifest().replace("minReplicas: 0", "{{- if .x }}"), "it holds {{ }}: render the chart first"),
        (manifest().replace("    minReplicas: 0", "{% if x %}"), "it is a template: render the file first"),
    ],
)
def test_a_file_that_cannot_be_read_before_it_is_rendered_says_so(text: str, words: str) -> None:
    with pytest.raises(ClusterConfigError) as refused:
        filled(text)
    assert words in str(refused.value)
    assert "render" in str(refused.value)


@pytest.mark.parametrize("text", ["8", "32Gi", "nvidia-l4", "a_b", "1.5", "p5.48xlarge", "v4-podslice", "", "__", "a$"])
def test_values_of_kubernetes_are_no_placeholders(text: str) -> None:
    assert not is_open_text(text)


def test_names_that_are_left_open_are_shown_as_they_are() -> None:
    text = (
        manifest(limits=GPU)
        .replace("groupName: workers", "groupName: {{ .Values.name }}")
        .replace("name: demo", "name: $N")
    )
    assert filled(text).notes[0].startswith("demo.yaml:14: RayCluster $N, group {{ .Values.name }}: not filled: ")
