"""The text of a filled file: the author's, in each form that YAML has, with the lines that the fill adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.fill.defaults import with_keys_needed_by_ray
from accel_scaling.fill.fill import fill
from tests.support.cluster_texts import TOP, filled_text, values

KEYS = "max_workers: 2\nsetup_commands: []\nhead_setup_commands: []\nworker_setup_commands: []\nhead_node_type: head\n"
HEAD = "available_node_types:\n  head:\n    node_config:\n      InstanceType: m5.large\n"
GCP = """\
cluster_name: demo
provider:
  type: external
  module: accel_scaling.providers.gcp.GCPAcceleratorNodeProvider
  project_id: p
  region: us-central1
  availability_zone: us-central1-a
head_node_type: head
available_node_types:
  head:
    node_config: {machineType: n2-standard-2}
  l4:
    node_config:
      machineType: g2-standard-4
      disks:
      - boot: true # the system
        initializeParams:
          diskSizeGb: 500 # mine
      metadata:
        items:
        - key: a
          value: b # c
"""
FORMS = {
    "two node types with the config of one anchor": KEYS
    + HEAD
    + "  a:\n    node_config: &c {InstanceType: g5.xlarge} # c\n  b:\n    node_config: *c\n",
    "two equal node types by an alias": KEYS + HEAD + "  a: &a\n    node_config: {InstanceType: g5.xlarge}\n  b: *a\n",
    "a node type that merges another": KEYS
    + HEAD
    + "  a: &a\n    node_config: &n\n      InstanceType: g5.xlarge\n  b:\n    <<: *a\n    node_config:\n      <<: *n\n"
    "      InstanceType: p4d.24xlarge # of its own\n",
    "a config in braces that merges another": KEYS
    + HEAD.replace("node_config:", "node_config: &n")
    + "  a:\n    node_config: {<<: *n, InstanceType: g5.xlarge} # c\n",
    "an alias at the end of a node type": KEYS
    + HEAD
    + "      SecurityGroupIds: &s\n      - sg-1\n  a:\n    node_config:\n      InstanceType: g5.xlarge\n"
    "      SecurityGroupIds: *s # same\n",
    "a text in | at the end, without a line break": HEAD + "head_node_type: head\nsetup_commands:\n- |\n  echo a",
    "empty lines that belong to a text in |+": HEAD + "head_node_type: head\nsetup_commands:\n- |+\n  echo a\n\n\n",
    "the end of a document": HEAD + "head_node_type: head\n...\n# after it\n",
    "keys with a question mark": "? head_node_type\n: head\n"
    "available_node_types:\n  ? head\n  : node_config:\n      InstanceType: m5.large\n",
    "tags": "head_node_type: !!str head\n" + HEAD.replace("types:", "types: !!map").replace("m5", "!!str m5"),
    "one line for all node types": "head_node_type: head\n"
    "available_node_types: {head: {node_config: {InstanceType: m5.large}},\n"
    "  a: {node_config: {InstanceType: g5.xlarge}},}\n",
    "container options in brackets": KEYS
    + HEAD.replace("m5.large", "trn1.2xlarge")
    + "docker: {container_name: c, image: x/y, head_run_options: [--ipc=host]} # d\n",
    "container options in lines": KEYS
    + HEAD.replace("m5.large", "trn1.2xlarge")
    + "docker:\n  container_name: c\n  image: x/y\n  head_run_options:\n  - --ipc=host # mine\n",
}


def check(path: Path, text: str, *, notes: str = "") -> str:
    """Fill a text; it must mean the filled values, and stay as it is when it is filled again."""
    filled, said = filled_text(path, text)
    assert values(filled) == with_keys_needed_by_ray(fill(values(text), shipped_catalog())[0])
    assert notes in said
    assert notes or not said
    assert filled_text(path, filled)[0] == filled
    return filled


@pytest.mark.parametrize("form", FORMS)
def test_a_form_of_yaml_is_kept_and_filled_once(form: str, tmp_path: Path) -> None:
    text = TOP + FORMS[form]
    filled = check(tmp_path / "c.yaml", text)
    assert all(part in filled for part in text.split() if "}" not in part and part not in ("InstanceType:", "head"))
    assert filled.startswith(TOP)


def test_comments_stay_beside_their_lines_and_the_new_lines_come_after_them(tmp_path: Path) -> None:
    text = (
        TOP + KEYS + HEAD + "      # ImageId: ami-1\n\n    # of the head\n  # of g5\n  g5: # here\n    resources: {}\n"
    )
    text += "    node_config: {InstanceType: g5.xlarge}\n# the end\n"
    filled = check(tmp_path / "c.yaml", text)
    assert "m5.large\n      # ImageId: ami-1\n      ImageId: resolve" in filled
    assert "    # of the head\n    resources:  # accel-scaling fill\n      CPU: 2  # accel-scaling fill: 2\n" in filled
    assert "us-west-2\n  # of g5\n  g5: # here\n    resources:\n      CPU: 4  # accel" in filled
    assert filled.endswith("\n# the end\n")


def test_the_four_keys_that_ray_needs_come_last_in_the_files_own_style_and_say_why(tmp_path: Path) -> None:
    text = TOP + "head_node_type: head\n" + HEAD + "initialization_commands:\n    - echo\n# the end"
    filled = check(tmp_path / "c.yaml", text)
    added = filled.split("# the end\n")[1].splitlines()
    assert added[0] == "max_workers: 2  # Ray needs this key; accel-scaling fill: 2"
    assert added[1].startswith("setup_commands:  # Ray needs this key; accel-scaling fill: ")
    assert added[2].startswith("    - python3 -m pip --version ")
    assert added[-1] == "worker_setup_commands: []  # Ray needs this key; accel-scaling fill: []"
    assert not filled.endswith("\n")


def test_disks_and_metadata_of_google_cloud_get_only_what_they_lack(tmp_path: Path) -> None:
    filled = check(tmp_path / "c.yaml", GCP)
    assert "diskSizeGb: 500 # mine\n          diskType: pd-balanced  # accel-scaling fill: pd-balanced\n" in filled
    assert "          value: b # c\n        - {key: install-nvidia-driver, value: 'True'}  # accel-scaling" in filled


def test_a_byte_order_mark_and_the_line_breaks_of_windows_stay(tmp_path: Path) -> None:
    text = ("\ufeff" + TOP + KEYS + HEAD).replace("\n", "\r\n")
    filled = check(tmp_path / "c.yaml", text)
    assert filled.startswith("\ufeff#")
    assert filled.count("\n") == filled.count("\r\n")


def test_a_json_file_stays_json_and_a_note_says_that_it_takes_no_marks(tmp_path: Path) -> None:
    text = (
        '{"cluster_name": "x", "provider": {"type": "aws", "region": "us-west-2"},\n "head_node_type": "h",\n'
        ' "available_node_types": {\n  "h": {"node_config": {"InstanceType": "m5.large"}}\n }\n}\n'
    )
    import json

    path = tmp_path / "c.json"
    filled, notes = filled_text(path, text)
    assert json.loads(filled) == with_keys_needed_by_ray(fill(json.loads(text), shipped_catalog())[0])
    assert notes.endswith("JSON has no comments, so the written lines carry no mark; a later fill treats them as yours")
    assert filled_text(path, filled)[0] == filled


def test_a_head_and_workers_of_one_alias_get_their_own_promises_by_a_merge_key(tmp_path: Path) -> None:
    text = TOP + KEYS + HEAD.replace("head:", "head: &h # both") + "  a: *h # as the head\n"
    filled = check(tmp_path / "c.yaml", text)
    types = values(filled)["available_node_types"]
    assert "memory" not in types["head"]["resources"]
    assert types["a"]["resources"]["memory"] == 6012954214
    assert "  a: # as the head\n    <<: *h\n    resources:  # accel-scaling fill\n      CPU: 2  # accel" in filled


def test_a_list_that_an_anchor_shares_with_one_that_needs_less_has_the_file_printed_again(tmp_path: Path) -> None:
    text = TOP + KEYS + "# ours\n" + HEAD.replace("m5.large", "trn1.2xlarge") + "docker:\n  container_name: c\n"
    text += "  image: x/y\n  head_run_options: &o\n  - --ipc=host\n  worker_run_options: *o\n"
    filled = check(tmp_path / "c.yaml", text, notes="printed again, without its comments and layout: it shares values")
    assert "# ours" not in filled
    assert "    accelerator_type:Trainium: 1  # accel-scaling fill: 1\n" in filled
