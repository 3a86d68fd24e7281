"""The keys of a provider section: a key that nothing reads is a limit, or a saving, that is not there.

Ray takes any key there, as a provider of your own may read it. Of the providers of this package all keys are known.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from accel_scaling._ray.cluster_schema import PROVIDER_KEYS, cluster_schema
from accel_scaling.catalog.suggest import nearest
from accel_scaling.cluster.policies import OURS
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from accel_scaling.clouds import Cloud

# Of difflib: a letter or two may be wrong, or the word be cut short.
_LOOKS_LIKE = 0.7
# Begin the keys that Ray and this package write themselves: `_has_tpus`, `accel_scaling_limits`.
_WRITTEN_BY_PROGRAMS = ("_", "accel_scaling_")


def check_names(provider: Mapping[str, object], cloud: Cloud) -> None:
    """Refuse a key of a provider section that is nearly one that is read, as it was certainly meant to be that one.

    Raises:
        ClusterConfigError: it names the key and the one that is read.
    """
    read = _read(cloud, ours=True)
    for name in _unread(provider, read):
        # A key for another cloud is correct: the note says that nothing reads it here.
        if name in _of_schema() or not _may_look_like(name, read):
            continue
        if near := nearest(name, read, at_most=1, cutoff=_LOOKS_LIKE):
            raise ClusterConfigError(f"provider.{name} is a key that nothing reads; nearest: {near[0]}")


def unread_notes(provider: Mapping[str, object], cloud: Cloud) -> list[str]:
    """Return a note for each key of a provider section that nothing reads, and that looks like none that is read."""
    if not cloud.provider_keys:
        return []  # nobody knows what the provider of that cloud reads
    ours = provider.get("type") == "external"
    read = _read(cloud, ours=ours)
    notes = []
    for name in _unread(provider, read):
        if name in cluster_schema().get("properties", {}):
            remedy = "it belongs to the top level of the file"
        elif name in OURS:
            remedy = f"it belongs to `type: external` with module: {cloud.module}"
        else:
            alike = _of_like_words(name, read)
            remedy = f"perhaps {' or '.join(alike)} is meant" if alike else "leave it out"
        notes.append(f"provider.{_short(name)} is a key that nothing reads on {cloud.title}; {remedy}")
    return notes


def _read(cloud: Cloud, *, ours: bool) -> tuple[str, ...]:
    return (*PROVIDER_KEYS, *cloud.provider_keys, *(OURS if ours else ()))


def _unread(provider: Mapping[str, object], read: Collection[str]) -> Iterator[str]:
    names = (str(name) for name in provider if name not in read)
    return (name for name in names if not name.startswith(_WRITTEN_BY_PROGRAMS))


def _of_schema() -> Collection[str]:
    of_schema: Mapping[str, object] = cluster_schema().get("properties", {}).get("provider", {}).get("properties", {})
    return of_schema


def _of_like_words(name: str, read: Collection[str]) -> list[str]:
    """Return up to two of the keys that share a word with a name: `zone`, `use_private_ips`."""
    words = {word.rstrip("s") for word in name.casefold().split("_")} - {"use", "node"}
    shared = {key: len(words & {word.rstrip("s") for word in key.split("_")}) for key in read}
    return sorted((key for key in shared if shared[key]), key=lambda key: -shared[key])[:2]


def _may_look_like(name: str, read: Collection[str]) -> bool:
    """Return whether `nearest` can find a key near a name: it takes 0.1 ms for each, and a file may have many."""
    # By difflib, letters in common count twice, of the letters of both.
    letters = Counter(name.casefold())
    return any(2 * sum((letters & Counter(key)).values()) >= _LOOKS_LIKE * (len(name) + len(key)) for key in read)


def _short(name: str) -> str:
    return name if name.isidentifier() and len(name) <= 60 else shown(name)
