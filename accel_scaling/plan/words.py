"""The words of a plan for the parts of a cluster file, and of a manifest of KubeRay."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The words for the parts of a file.

    Attributes:
        node_type: a node type.
        file: the file itself.
        most: the key with the most nodes of a node type.
        add: how a node type is added, as the end of a sentence.
    """

    node_type: str
    file: str
    most: str
    add: str


CLUSTER_FILE = Words("node type", "file", "max_workers", "add one under available_node_types")
MANIFEST = Words("group", "manifest", "maxReplicas", "add one to workerGroupSpecs")
