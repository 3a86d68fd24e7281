"""Texts of cluster files as people write them: comments, blocks, braces, quotes, anchors, kinds of lines and lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import strategies as st

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cluster.cluster_file import read_cluster
from accel_scaling.fill.file_text import fill_file

if TYPE_CHECKING:
    from pathlib import Path

    from hypothesis.strategies import DrawFn

TOP = """\
# Our team's cluster. Ask Maria before you change max_workers.
cluster_name: demo
provider:
  type: external
  module: accel_scaling.providers.aws.AWSAcceleratorNodeProvider
  region: us-west-2
"""
MACHINES = ["m5.large", "g5.xlarge", "trn1.2xlarge", "p4d.24xlarge"]
COMMENTS = ["", "", "  # why", "  # 'a' {b}: c"]
LINES = ["", "# of everybody", "    # inside", "  # a node type  \n  # of old"]


CONFIGS = [
    "    node_config: {InstanceType: MACHINE}  # C\n",
    "    node_config:  # C\n      InstanceType: 'MACHINE'  # C\n",
    '    node_config: {\n      "InstanceType": "MACHINE",\n      "KeyName": "k"\n    }\n',
    "    node_config:\n        # the key\n        KeyName: >\n          k\n        InstanceType: MACHINE\n",
    "    node_config:\n      InstanceType: MACHINE\n      UserData: |\n        #!/bin/sh\n        # {}\n\n",
]
RESOURCES = [
    "",
    "    resources: {}  # C\n",
    "    resources:  # C\n",
    "    resources: ~\n",
    "    resources: {CPU: 0, custom: 1}\n",
    "    resources: {CPU: 0,\n                custom: 1,}\n",
    "    resources:\n      # of ours\n      custom: 1  # C\n      CPU: 2\n",
]
TOP_KEYS = [
    "setup_commands: []\n",
    "setup_commands:\n- echo 'it''s'\n# none\n- |\n  echo a\n  echo b\n",
    "setup_commands:\n    - &one echo one\n    - *one\n",
    "max_workers: 3 # of Maria\n",
    "docker: {image: x/y:z, container_name: c, run_options: [--ipc=host]}\n",
    "docker:\n  image: x/y:z\n  container_name: c\n  head_run_options: &o []\n  worker_run_options: *o\n",
    "docker:\n  image: x/y:z\n  container_name: c\n  worker_run_options:\n  - --ipc=host # shared\n",
    "head_setup_commands: [\n  echo a,\n  echo b,\n]\n",
    "idle_timeout_minutes: 0x0A\n",
]


@st.composite
def cluster_texts(draw: DrawFn) -> str:
    """Draw the text of a cluster file that can be filled."""
    names = ["head", *draw(st.lists(st.sampled_from(["a", "b.c", "'q'", "g5"]), unique=True, max_size=3))]
    types = "".join(draw(node_type(name)) for name in names)
    tops = draw(st.lists(top_keys(), max_size=3, unique_by=lambda text: text.split(":")[0]))
    top = draw(st.sampled_from(["", "---\n", "%YAML 1.1\n---\n", "\n\n"])) + TOP
    text = top + "head_node_type: head\n" + "".join(tops) + f"available_node_types:{draw(comment())}\n" + types
    text += "".join(f"{line}\n" for line in draw(st.lists(st.sampled_from(["", "# the end"]), max_size=2)))
    if draw(st.booleans()):
        text = text.rstrip("\n")
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


def comment() -> st.SearchStrategy[str]:
    """Draw a comment behind a value, or none."""
    return st.sampled_from(COMMENTS)


@st.composite
def node_type(draw: DrawFn, name: str) -> str:
    """Draw the lines of one node type."""
    machine = draw(st.sampled_from(MACHINES[:1] if name == "head" else MACHINES))
    if draw(st.integers(0, 4)) == 0:
        return f"  {name}: {{node_config: {{InstanceType: {machine}}}, max_workers: 0}}{draw(comment())}\n"
    config = draw(st.sampled_from(CONFIGS)).replace("MACHINE", machine).replace("  # C", draw(comment()))
    given = draw(st.sampled_from(RESOURCES)).replace("  # C", draw(comment()))
    others = draw(st.lists(st.sampled_from(["    max_workers: 0\n", "    labels: {mine: 'yes'}\n"]), unique=True))
    parts = draw(st.permutations([part for part in [config, given, *others] if part]))
    between = [draw(st.sampled_from(LINES)) for _ in parts]
    return f"  {name}:{draw(comment())}\n" + "".join(
        part + (f"{line}\n" if line else "") for part, line in zip(parts, between, strict=True)
    )


def top_keys() -> st.SearchStrategy[str]:
    """Draw lines of a key of the whole file."""
    return st.sampled_from(TOP_KEYS)


def filled_text(path: Path, text: str) -> tuple[str, str]:
    """Write a text to a file, and fill it; return the new text, and the notes."""
    path.write_bytes(text.encode())
    filled, notes = fill_file(read_cluster(path), shipped_catalog())
    return filled, "\n".join(notes)


def values(text: str) -> Any:
    """Return what `ray up` reads."""
    return yaml.safe_load(text)
