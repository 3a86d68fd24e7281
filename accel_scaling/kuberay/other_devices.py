"""Devices of a group that cannot be counted as whole ones: claims, unknown resources, and parts of a device.

Ray's autoscaler counts what it knows by name, and makes ``GPU`` of any other resource whose name ends in ``gpu``
(autoscaling_config.py). For the rest, the user says what Ray shall count; here is said that, and where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog.kubernetes import Says, other_resource
from accel_scaling.kuberay.by_hand import types_by_hand
from accel_scaling.kuberay.device_names import device_resources
from accel_scaling.kuberay.devices import known_device, whole
from accel_scaling.kuberay.selectors import SHARED
from accel_scaling.kuberay.user_values import user_values
from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel_scaling.kuberay.group import Group
    from accel_scaling.kuberay.selectors import Term

_NOT_SHARED = ("none", "0", "1", "false")  # values of labels about sharing on nodes that share nothing


def uncounted(group: Group) -> list[str]:
    """Return what the group asks for and cannot be counted here, as words: claims, and resources without a row."""
    return [*_claims(group), *(f"{name}: {text}" for name, text in _unknown(group))]


def uncounted_notes(group: Group, types: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the notes on what cannot be counted, with the way out; none where the user's resources have it.

    Args:
        group: the group.
        types: the accelerator types that its selectors name.
    """
    own, known = user_values(group).all_resources, {row.resource for row in device_resources()}
    if any(whole(text) for name, text in own.items() if name in known):
        return ()
    notes = []
    kind = f', "accelerator_type:{types[0]}": "1"' if types else ""
    advice = (
        f'write what Ray shall count into the group, such as resources: {{GPU: "1"{kind}}} (before KubeRay 1.5: '
        "num-gpus and resources in rayStartParams)"
    )
    if claims := _claims(group):
        unused = "" if _claimed(group) else ", and the Ray container gets none of it: its resources.claims names none"
        notes.append(
            f"its devices come through {' and '.join(claims)}, which neither this fill nor Ray's autoscaler "
            f"counts{unused}; "
            f"{advice}"
        )
    for name, text in _unknown(group):
        if name.endswith("gpu") and types_by_hand(group):
            continue
        if name.endswith("gpu"):
            notes.append(_as_gpu(name, text, advice))
        elif (row := other_resource(name)) is not None and row.is_share:
            notes.append(f"{name}: {text} is a part of a device, which Ray's autoscaler does not count; {advice}")
        else:
            notes.append(f"{name}: {text} is not known; if it is an accelerator, {advice}")
    return tuple(notes)


def _as_gpu(name: str, text: str, advice: str) -> str:
    """Return the note on a resource of which Ray's autoscaler makes GPUs for the end of its name."""
    if (row := other_resource(name)) is not None and row.is_share:
        return (
            f"{name}: {text} is a part of a device, or several; as its name ends in gpu, Ray's autoscaler counts it as "
            f"GPU: {text}; {advice}"
        )
    return (
        f"{name}: {text} is not known; as its name ends in gpu, Ray's autoscaler counts it as GPU: {text}, and no type "
        "is promised; if it is one, write its type into the group, such as resources: "
        '{"accelerator_type:NAME": "1"}, else resources: {GPU: "0"}'
    )


def shared_by(group: Group, terms: Sequence[Term]) -> str | None:
    """Return what says that the group's devices are shared with other pods; None where nothing does."""
    for name, (_, text) in group.limits().items():
        row = other_resource(name)
        if row is not None and row.is_share and whole(text) != 0:
            return f"{name}: {text}"
        if name.endswith(".shared") and known_device(name) and whole(text) != 0:
            return f"{name}: {text}"
    for term in terms:
        for requirement in term.of(Says.SHARING):
            if not all(value.lower() in _NOT_SHARED for value in requirement.values):
                return str(requirement)
        for requirement in term.of(Says.CHIP):
            # Where a node with shared devices is one of several, the pods may get a part.
            if any(value.endswith(SHARED) for value in requirement.values):
                return str(requirement)
    return None


def share_note(reason: str, types: Sequence[str]) -> str:
    """Return the note on devices that are parts.

    Args:
        reason: what says so, as ``shared_by`` returns it.
        types: the types of the whole device.
    """
    whole_types = " and ".join(types) or "its type"
    are = "are" if len(types) > 1 else "is"
    note = f"its pods get a part of a device ({reason}), so {whole_types}, of a whole one, {are} not promised"
    if not types:
        return note
    return f'{note}; if your tasks may take it for one, write resources: {{"accelerator_type:{types[0]}": "1"}}'


def _claims(group: Group) -> list[str]:
    """Return the resource claims of the pod (dynamic resource allocation)."""
    names = [yt.word(yt.at(claim, "name")) for claim in yt.items(yt.at(group.pod, "resourceClaims"))]
    return [f"resourceClaims {', '.join(name or '?' for name in names)}"] if names else []


def _claimed(group: Group) -> bool:
    return bool(yt.items(yt.at(group.container, "resources", "claims")))


def _unknown(group: Group) -> Iterator[tuple[str, str]]:
    """Yield the limits that no row counts, with their amounts; beside counted devices, a part says only how large."""
    counted = any(known_device(name) and whole(text) != 0 for name, (_, text) in group.limits().items())
    for name, (_, text) in group.limits().items():
        if "/" not in name or known_device(name) or whole(text) == 0:
            continue
        row = other_resource(name)
        if row is None or (row.is_share and not counted):
            yield name, text
