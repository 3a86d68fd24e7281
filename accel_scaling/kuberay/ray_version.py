"""Tells the version of Ray in a container's image, from its name and from the manifest's ``rayVersion``.

Older versions cannot read what a group of KubeRay 1.5 says: `ray start` took JSON for ``--labels``, and ends with an
error at KEY=VALUE; Ray's autoscaler read ``rayStartParams`` and limits alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from accel_scaling._ray.facts import FIRST_WITH_GROUP_FIELDS, FIRST_WITH_LABEL_PAIRS


class RayVersion(NamedTuple):
    """The version of Ray that a container has.

    Attributes:
        number: its first two numbers; None for the newest, and where it is not known.
        source: what says so, for messages: the image or ``rayVersion``; empty where nothing does.
    """

    number: tuple[int, int] | None = None
    source: str = ""

    @property
    def reads_labels(self) -> bool:
        """Whether its `ray start` reads the labels of a group; True where the version is not known."""
        return self.number is None or self.number >= FIRST_WITH_LABEL_PAIRS

    @property
    def reads_fields(self) -> bool:
        """Whether its autoscaler reads ``resources`` and ``labels`` of a group; True where it is not known."""
        return self.number is None or self.number >= FIRST_WITH_GROUP_FIELDS

    def __str__(self) -> str:
        return (
            f"{self.source} {'says' if self.source == _STATED else 'has'} Ray {'.'.join(map(str, self.number or ()))}"
        )


_STATED = "rayVersion"


# Images of Ray's own releases, under any registry: their tag begins with Ray's version.
_RELEASES = ("ray", "ray-ml", "ray-llm")
_PUBLISHERS = ("rayproject/", "anyscale/")
# Images that ended before Ray read KEY=VALUE labels, with versions of their own: ray-llm 0.5.0 is of January 2024.
_ENDED = ("anyscale/ray-llm", "anyscale/aviary")
_ENDED_WITH = (2, 9)
_NUMBER = re.compile(r"v?(\d{1,3})\.(\d{1,3})(?=\D|$)")
# `vllm0.6.3-ray2.10-v0.3` and `ray-2.9.3`, wherever they are; not the end of another word, as in `xray2.1`.
_NAMED = re.compile(r"(?<![a-z])ray[-_.:]?v?(\d{1,3})[.-](\d{1,3})(?=\D|$)")
_OWN = re.compile(r"(?:^|[-_.])ray(?:[-_.]|$)")  # a user's image of Ray: `my-ray`, `ray-worker`
_LIKELY_MAJOR = 2  # a user's `ray:1.0.7` is hardly Ray 1.0, if rayVersion says something else
_NEWEST = ("latest", "nightly", "master")


def version_in(image: str, ray_version: str = "") -> RayVersion:
    """Return the version of Ray that an image has.

    The container runs the image, whatever ``rayVersion`` says; the latter decides where the image says nothing.

    Args:
        image: the container's image; empty where it has none.
        ray_version: the cluster's ``rayVersion``; empty where it has none.
    """
    repository, tag = _parts(image)
    name = repository.rpartition("/")[2]
    of_tag, stated = _NUMBER.match(tag), _NUMBER.match(ray_version.strip())
    likely = of_tag is not None and int(of_tag[1]) >= _LIKELY_MAJOR
    named = _NAMED.search(tag) or _NAMED.search(name)
    if repository.endswith(_ENDED) and not (named or likely):
        return RayVersion(_ENDED_WITH, image)
    if not named and name in _RELEASES and (likely or _is_published(repository) or not stated):
        named = of_tag
    if named:
        return RayVersion(_pair(named), image)
    newest = "@" not in image and (not tag or tag.startswith(_NEWEST))
    if newest and _is_published(repository):
        return RayVersion(None, image)
    if stated:
        return RayVersion(_pair(stated), _STATED)
    if name in _RELEASES and newest:
        return RayVersion(None, image)
    return RayVersion(_pair(of_tag), image) if of_tag and likely and _OWN.search(name) else RayVersion()


def _is_published(repository: str) -> bool:
    """Return whether Ray's own people publish an image, or it is a mirror under the same name."""
    owner, _, name = repository.rpartition("/")
    return name in _RELEASES and f"{owner}/".endswith(_PUBLISHERS)


def _parts(image: str) -> tuple[str, str]:
    """Return an image's repository, in lower case, and its tag; without its digest."""
    named = image.strip().lower().partition("@")[0]
    repository, colon, tag = named.rpartition(":")
    # A colon before a slash is that of a registry's port.
    return (repository, tag) if colon and "/" not in tag else (named, "")


def _pair(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]), int(match[2])
