"""Whatever a YAML file looks like, a fill puts lines into it and leaves every other byte."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.errors import AccelScalingError
from accel_scaling.kuberay.check import findings
from accel_scaling.kuberay.fill import fill
from accel_scaling.kuberay.manifest import groups

DATA = Path(__file__).parents[1] / "data" / "kuberay"
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DATA.glob("*.yaml"))}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What the operator wants elsewhere, and the mapping on one line that it leaves or goes into.
MAY_MOVE = re.compile(r"num-cpus|num-gpus|labels: |resources: '|rayStartParams:|^ *\{\}")

# What people leave in such files; none of it is in the value of a key.
DECORATIONS = [
    "",
    "   ",
    "# a comment",
    "      # deeper: than it looks",
    "#\ttabs\tin it",
    "# {{ not a template }}",
    "# ünïcode 🚀 '\"",
    "# resources:",
    "#---",
]
OTHERS = [
    "apiVersion: v1\nkind: ConfigMap\ndata:\n  a.yaml: |\n    kind: RayCluster\n    # no comment\n\n    spec:  {}\n",
    "a: &x {b: [1, 2]}\nc: *x\n<<: *x\n",
    "kind: Service\nspec: {type: 'ClusterIP',   ports: [ ]}  # spaced\n",
    "? complex\n: key\n",
    "- 1\n- !custom tagged\n",
]


@st.composite
def wild(draw: st.DrawFn) -> str:
    """One of the manifests among other documents, with comments and blank lines anywhere, in any style of line."""
    chooser = draw(st.randoms(use_true_random=False))
    lines, literal = [], False
    for line in TEXTS[draw(st.sampled_from(sorted(TEXTS)))].splitlines():
        literal = line.endswith("|") or (literal and line.startswith("    "))
        decoration = [chooser.choice(DECORATIONS)] if not literal and chooser.random() < 0.3 else []
        behind = chooser.choice(["", "", "  ", "  # why", "\t# tab"]) if not literal and _takes_comment(line) else ""
        lines += [*decoration, line + behind]
    documents = [*draw(st.lists(st.sampled_from(OTHERS), max_size=2)), "\n".join(lines) + "\n"]
    chooser.shuffle(documents)
    text = draw(st.sampled_from(["", "---\n", "%YAML 1.1\n---\n", "# head\n---\n"])) + "---\n".join(documents)
    if draw(st.booleans()):
        text = text.rstrip("\n")
    text = text.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n"])))
    return draw(st.sampled_from(["", "\ufeff"])) + text


def _takes_comment(line: str) -> bool:
    return bool(line.strip()) and "#" not in line and not line.endswith(("|", ">", "-", "---"))


@settings(max_examples=50)
@given(wild(), st.sampled_from([None, "1.4"]))
def test_only_lines_are_put_in_and_a_second_fill_changes_nothing(text: str, version: str | None) -> None:
    done = fill(text, "wild.yaml", shipped_catalog(), version)
    before, after = text.splitlines(), done.text.splitlines()
    lost, added = Counter(before) - Counter(after), Counter(after) - Counter(before)
    assert [line for line in lost if not MAY_MOVE.search(line)] == []
    changed = {*lost, *added}
    assert [line for line in before if line not in changed] == [line for line in after if line not in changed]
    assert done.text.endswith("\n") == text.endswith("\n") or not done.added
    assert ("\r\n" in text) == ("\r\n" in done.text)
    assert "\n" not in done.text.replace("\r\n", "") or "\r\n" not in text
    again = fill(done.text, "wild.yaml", shipped_catalog(), version)
    assert (again.text, again.added) == (done.text, ())


@settings(max_examples=20)
@given(wild())
def test_a_fill_is_the_same_with_and_without_comments(text: str) -> None:
    plain = yaml.dump_all(yaml.load_all(text.removeprefix("\ufeff"), Loader=_Lenient), Dumper=yaml.SafeDumper)
    values = [yaml.load(document, Loader=_Lenient) for document in _documents(fill(plain, "a", shipped_catalog()).text)]
    expected = [
        yaml.load(document, Loader=_Lenient) for document in _documents(fill(text, "a", shipped_catalog()).text)
    ]
    assert values == expected


class _Lenient(LOADER):
    """Reads a tag that nobody knows as text."""


_Lenient.add_multi_constructor("!", lambda loader, suffix, node: node.value)


def _documents(text: str) -> list[str]:
    documents = list(yaml.compose_all(text.removeprefix("\ufeff"), Loader=_Lenient))
    return [yaml.serialize(document, Dumper=yaml.SafeDumper) for document in documents if document is not None]


@settings(max_examples=60)
@given(st.sampled_from(sorted(TEXTS)), st.integers(0, 2**32))
def test_a_damaged_file_is_one_sentence_or_is_filled(name: str, seed: int) -> None:
    chooser = random.Random(seed)
    text = list(TEXTS[name])
    for _ in range(chooser.randint(1, 4)):
        place = chooser.randrange(len(text))
        text[place : place + chooser.randint(0, 30)] = chooser.choice(
            ["", "\t", ": ", "- ", "{", "*x", "&x ", "<<: ", "\u2028", "'", "|\n"]
        )
    try:
        done = fill("".join(text), "damaged.yaml", shipped_catalog())
        for group in groups(done.text, "damaged.yaml"):
            findings(group, shipped_catalog())
    except AccelScalingError as error:
        assert "\n" not in str(error)


SHARED = """\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: shared}
x-params: &params {num-gpus: "1"}
spec:
  headGroupSpec: {template: {spec: {containers: [{name: head}]}}}
  workerGroupSpecs:
  - groupName: a
    rayStartParams: *params
    template: &pod
      spec:
        nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}
        containers: [{name: worker, resources: {limits: {cpu: 1, nvidia.com/gpu: 1}}}]
  - groupName: b
    rayStartParams: {}
    template: *pod
"""


def test_what_an_anchor_shares_is_read_and_not_written() -> None:
    done = fill(SHARED, "a.yaml", shipped_catalog())
    (note,) = done.notes
    assert note.startswith(
        "a.yaml:8: RayCluster shared, group a: not filled: rayStartParams is shared through an anchor"
    )
    first, second = yaml.safe_load(done.text)["spec"]["workerGroupSpecs"]
    assert "resources" not in first
    assert second["resources"] == {"accelerator_type:L4": "1"}


def test_a_group_with_a_merge_key_is_read_with_it() -> None:
    text = SHARED.replace("    rayStartParams: {}\n    template: *pod\n", "    <<: {template: *pod, minReplicas: 0}\n")
    second = yaml.safe_load(fill(text, "a.yaml", shipped_catalog()).text)["spec"]["workerGroupSpecs"][1]
    assert second["resources"] == {"accelerator_type:L4": "1"}


def test_an_anchor_of_its_own_does_not_hang_it() -> None:
    text = SHARED.replace("x-params: &params {num-gpus", "x-params: &params {<<: *params, num-gpus")
    with pytest.raises(AccelScalingError, match=r"a\.yaml:4: an anchor contains itself"):
        fill(text, "a.yaml", shipped_catalog())


JSON = """\
{
  "apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "json"},
  "spec": {
    "headGroupSpec": {"template": {"spec": {"containers": [{"name": "head"}]}}},
    "workerGroupSpecs": [
      {
        "groupName": "t4",
        "rayStartParams": {"num-gpus": "1"},
        "template": {"spec": {
          "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"},
          "containers": [{"name": "w", "resources": {"limits": {"nvidia.com/gpu": 1}}}]
        }}
      }
    ]
  }
}
"""


def test_a_manifest_in_json_stays_json() -> None:
    import json

    done = fill(JSON, "a.json", shipped_catalog())
    (group,) = json.loads(done.text)["spec"]["workerGroupSpecs"]
    assert group["resources"] == {"GPU": "1", "accelerator_type:T4": "1"}
    assert group["rayStartParams"] == {}
    assert '\n        "labels": {"ray.io/accelerator-type": "T4"},\n' in done.text


PLACEHOLDERS = ['"${X}"', "$X", "{{ .Values.x }}", "'{{ x }}'", "$(X)"]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(TEXTS)), st.sampled_from(PLACEHOLDERS), st.integers(0, 2**32))
def test_a_value_that_a_template_leaves_open_is_never_a_mistake(name: str, open_: str, seed: int) -> None:
    text = fill(TEXTS[name], name, shipped_catalog()).text
    values = [node for root in yaml.compose_all(text, Loader=LOADER) for node in _values(root)]
    value = random.Random(seed).choice(values)
    text = text[: value.start_mark.index] + open_ + text[value.end_mark.index :]
    try:
        assert [each.text for group in groups(text, name) for each in findings(group, shipped_catalog())] == []
        done = fill(text, name, shipped_catalog())
        assert fill(done.text, name, shipped_catalog()).text == done.text
    except AccelScalingError as error:
        assert "render the file first" in str(error)


def _values(node: yaml.Node) -> list[yaml.Node]:
    """The values of all mappings and lists that are on one line."""
    parts = [value for _, value in node.value] if isinstance(node, yaml.MappingNode) else []
    parts += node.value if isinstance(node, yaml.SequenceNode) else []
    on_a_line = [part for part in parts if part.start_mark.line == part.end_mark.line]
    return on_a_line + [value for part in parts for value in _values(part)]
