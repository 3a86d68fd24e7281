"""One group of pods of a Ray manifest: its name, its container, its limits, and the version of Ray in its pods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel_scaling.kuberay.ray_version import RayVersion, version_in
from accel_scaling.kuberay.templates import has_open_key, is_open, shown
from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    import yaml


@dataclass(frozen=True)
class Group:
    """One group of pods: the head's, or a worker group.

    Attributes:
        manifest: the kind and the name of its manifest, for messages.
        name: ``headgroup``, as Ray calls it, or its ``groupName``.
        is_head: whether it is the head group.
        node: its mapping.
        key: its key; None for an item of a list.
        api: the manifest's ``apiVersion``.
        shared: ids of the nodes of its document that an anchor puts into several places.
        cluster: the spec of its cluster.
    """

    manifest: str
    name: str
    is_head: bool
    node: yaml.Node
    key: yaml.Node | None
    api: str
    shared: frozenset[int]
    cluster: yaml.Node

    @property
    def line(self) -> int:
        """Its first line, counted from 1."""
        return yt.line(self.key or self.node)

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"{self.manifest}, {'head group' if self.is_head else f'group {self.name}'}"

    @property
    def pod(self) -> yaml.Node | None:
        """The pod's spec."""
        return yt.at(self.node, "template", "spec")

    @property
    def container(self) -> yaml.Node | None:
        """The container that Ray runs in: the first one."""
        return next(iter(yt.items(yt.at(self.pod, "containers"))), None)

    @property
    def params(self) -> dict[str, str]:
        """Its ``rayStartParams``."""
        return texts_of(yt.at(self.node, "rayStartParams"))

    @property
    def ray(self) -> RayVersion:
        """The version of Ray in its pods."""
        return self._ray(self.container, self._head_container, yt.at(self.cluster, "autoscalerOptions"))

    @property
    def autoscalers_ray(self) -> RayVersion:
        """The version of Ray that the autoscaler has: the head's, where no image is named for it (KubeRay, pod.go)."""
        return self._ray(yt.at(self.cluster, "autoscalerOptions"), self._head_container, self.container)

    @property
    def _head_container(self) -> yaml.Node | None:
        return next(iter(yt.items(yt.at(self.cluster, "headGroupSpec", "template", "spec", "containers"))), None)

    @property
    def autoscaling(self) -> bool:
        """Whether Ray's autoscaler runs for its cluster."""
        return yt.word(yt.at(self.cluster, "enableInTreeAutoscaling")) == "true"

    def _ray(self, *holders: yaml.Node | None) -> RayVersion:
        """Return what the first image says that says it: all pods of a cluster have one version of Ray."""
        stated = yt.word(yt.at(self.cluster, "rayVersion")) or ""
        images = [yt.word(yt.at(holder, "image")) or "" for holder in holders]
        versions = [version_in(image, stated) for image in images]
        # The container runs the image, so another group's image is better than `rayVersion`, which may be old.
        of_image = next((v for v, image in zip(versions, images, strict=True) if v.source and v.source == image), None)
        return of_image or next((version for version in versions if version.source), RayVersion())

    @property
    def hosts(self) -> int | None:
        """The number of pods of one replica: ``numOfHosts``, which ``validation.wrong_types`` must have passed.

        None where a template leaves it open.
        """
        node = yt.at(self.node, "numOfHosts")
        return None if is_open(node) else int(yt.word(node) or "1")

    def limits(self, key: str = "limits") -> dict[str, tuple[int, str]]:
        """Return the container's limits, or its ``requests``: name -> line and quantity."""
        limits = yt.at(self.container, "resources", key)
        entries = yt.pairs(limits)
        return {name: (yt.line(entries[name][0]), text) for name, text in texts_of(limits).items()}

    @property
    def limits_are_open(self) -> bool:
        """Whether a template leaves open which limits the container has."""
        resources = yt.at(self.container, "resources")
        return is_open(self.container) or is_open(resources) or has_open_key(yt.at(resources, "limits"))


def texts_of(node: yaml.Node | None) -> dict[str, str]:
    """Return the scalars of a mapping by key, and what a template leaves open, as they are written."""
    values = {key: value for key, (_, value) in yt.pairs(node).items()}
    texts = {key: shown(value) if is_open(value) else yt.word(value) for key, value in values.items()}
    return {key: text for key, text in texts.items() if text is not None}
