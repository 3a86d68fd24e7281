"""Finds contradictions in a group, each with its line; it looks at nothing outside of the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import (
    ACCELERATOR_TYPE_PREFIX,
    LABEL_ACCELERATOR_TYPE,
    LABEL_MARKET_TYPE,
    LABEL_TPU_WORKER_ID,
    tpu_head_pod_type,
)
from accel_scaling.catalog.kubernetes import Says
from accel_scaling.catalog.suggest import hint
from accel_scaling.catalog.tpu_slices import slice_of_chip
from accel_scaling.errors import UnknownTpuError
from accel_scaling.fill.promise import LABEL_VARIANT
from accel_scaling.kuberay import templates
from accel_scaling.kuberay.by_hand import families_of
from accel_scaling.kuberay.candidates import candidates
from accel_scaling.kuberay.device_names import device_resources
from accel_scaling.kuberay.devices import amount, devices_of, whole
from accel_scaling.kuberay.manifest import OLD_API
from accel_scaling.kuberay.notes import together
from accel_scaling.kuberay.old_ray import unread_findings, version_notes
from accel_scaling.kuberay.other_devices import uncounted
from accel_scaling.kuberay.promise import market_of, propose
from accel_scaling.kuberay.selectors import Term, chips_of, open_selectors, terms_of, tpu_keys
from accel_scaling.kuberay.user_values import CUSTOM, LABELS, PARAMS, user_values
from accel_scaling.kuberay.validation import Finding, line_of, wrong_types
from accel_scaling.yaml_text import nodes as yt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.kuberay.devices import Devices
    from accel_scaling.kuberay.group import Group
    from accel_scaling.kuberay.promise import Proposal
    from accel_scaling.kuberay.user_values import UserValues


_TPU_KEYS = {Says.CHIP: "cloud.google.com/gke-tpu-accelerator", Says.TOPOLOGY: "cloud.google.com/gke-tpu-topology"}


def findings(group: Group, catalog: Catalog) -> list[Finding]:
    """Return the contradictions in a group, by line."""
    if wrong := wrong_types(group):
        return wrong  # other findings would be guesses
    terms, devices = terms_of(group), devices_of(group)
    # For devices of several families nothing is promised, and there is nothing to compare.
    only_device = devices[0] if len(devices) == 1 and devices[0].amount else None
    all_findings = [
        *_params(group, user_values(group)),
        *_cpus(group),
        *unread_findings(group),
        *_limits(group, devices),
        *_counts(group, devices),
        *_ruled_out(terms),
        *_market(group, terms),
        *_labels(group, catalog),
    ]
    if only_device:
        all_findings += [*_nowhere(terms, only_device, catalog), *_types(group, terms, only_device, catalog)]
    if only_device or not devices:
        all_findings += tpu_findings(group, terms, only_device, catalog)
    # A set: several alternatives of an affinity may have the same contradiction.
    return sorted({Finding(finding.line, f"{group.title}: {finding.text}", finding.mended) for finding in all_findings})


def notes(groups: Iterable[Group], catalog: Catalog) -> list[Finding]:
    """Return what the fill notes about groups and is no contradiction: what cannot be promised, and what to add."""
    readable = [group for group in groups if not wrong_types(group)]
    return together((group, note) for group in readable for note in group_notes(group, propose(group, catalog)))


def group_notes(group: Group, proposal: Proposal, *, fields: bool = True) -> list[str]:
    """Return the notes about one group.

    Args:
        group: the group.
        proposal: its promise.
        fields: whether the operator takes ``resources`` and ``labels`` of the group.
    """
    return [*proposal.notes, *(version_notes(group, proposal) if fields and group.api != OLD_API else ())]


def _params(group: Group, mine: UserValues) -> Iterator[Finding]:
    """Find parameters that KubeRay's operator refuses or Ray cannot read."""
    params = yt.pairs(yt.at(group.node, "rayStartParams"))
    both = [name for name in (*PARAMS, CUSTOM) if yt.word(params.get(name, (None, None))[1])]
    if mine.resources and both:
        line = yt.line(params[both[0]][0])
        text = f"rayStartParams has {', '.join(both)} and the group has `resources`, which KubeRay refuses together"
        yield Finding(line, f"{text}; `kuberay fill` moves it", mended=True)
    if LABELS in params and LABELS not in mine.wrong:
        text = "rayStartParams.labels is refused by KubeRay 1.5, and Ray's autoscaler does not read it"
        moves = group.autoscalers_ray.reads_fields
        advice = "`kuberay fill` moves it to `labels`" if moves else f"remove it: {group.ray}, which is too old for it"
        yield Finding(yt.line(params[LABELS][0]), f"{text}; {advice}", mended=moves)
    for name in PARAMS:
        number = group.params.get(name, "")
        if number and not number.strip().isdecimal() and not templates.is_open_text(number):
            said = f"rayStartParams.{name}: {number} is not a whole number; `ray start` and Ray's autoscaler fail on it"
            yield Finding(yt.line(params[name][0]), said)
    if mine.wrong:
        yield Finding(yt.line(params[CUSTOM if CUSTOM in mine.wrong else LABELS][0]), mine.wrong)
    for name, (key, _) in yt.pairs(yt.at(group.node, "resources")).items():
        if name != name.upper() and name.lower() in ("cpu", "gpu", "tpu"):
            text = f"resources.{name}: Ray's autoscaler reads it as a resource of that name; write {name.upper()}"
            yield Finding(yt.line(key), text)


def _cpus(group: Group) -> Iterator[Finding]:
    """Find a group without a number of CPUs: with autoscaling, Ray's autoscaler raises on it, and never starts."""
    user, reads_fields = user_values(group), group.autoscalers_ray.reads_fields
    given = ("CPU" in user.resources and reads_fields) or "num-cpus" in group.params
    if not group.autoscaling or given or "cpu" in {**group.limits(), **group.limits("requests")}:
        return
    if group.limits_are_open or templates.has_open_key(yt.at(group.container, "resources", "requests")):
        return
    resources = yt.pairs(group.container).get("resources", (group.container, None))[0]
    text = (
        "nothing says how many CPUs its pods have; with enableInTreeAutoscaling, Ray's autoscaler then raises "
        "ValueError and never starts; write a limit `cpu` of the Ray container, or num-cpus in rayStartParams"
    )
    yield Finding(yt.line(resources) if resources is not None else group.line, text)


def _limits(group: Group, devices: Sequence[Devices]) -> Iterator[Finding]:
    """Find requests that Kubernetes refuses: for devices they must equal the limits."""
    limits = {device.name: device for device in devices}
    for device in devices_of(group, "requests"):
        limit = limits.get(device.name)
        if limit is None and group.limits_are_open:
            continue
        if limit is None:
            text = f"requests has {device.name}: {device.text} and limits has none; Kubernetes requires the limit"
            yield Finding(device.line, text)
        elif amount(limit.text) != amount(device.text) and not (limit.is_open or device.is_open):
            text = f"requests has {device.name}: {device.text} and limits {limit.text}; for devices they must be equal"
            yield Finding(device.line, text)


def _counts(group: Group, devices: Sequence[Devices]) -> Iterator[Finding]:
    """Find devices that are promised to Ray and not requested from Kubernetes."""
    given = {item.resource.resource: item for item in devices}
    resources = {item.resource for item in device_resources()}
    for name, text in user_values(group).all_resources.items():
        count = whole(text)
        if name not in resources or not count:
            continue
        line = line_of(group, name)
        device = given.get(name)
        if device is None:
            # A claim, or a resource without a row, may be these devices: only the user knows.
            if uncounted(group) or group.limits_are_open:
                continue
            yield Finding(line, f"{name}: {count} is promised, but the container's limits have no device for it")
        elif not _is_several_units(device) and not device.is_open and 0 < device.amount < count:
            yield Finding(line, f"{name}: {count} is promised, but the limits have only {device.name}: {device.amount}")


def _is_several_units(devices: Devices) -> bool:
    """Return whether one device may be several units of Ray's resource."""
    # The limits count Neuron devices; Ray counts their cores, of which a device has several.
    return devices.resource.family == "neuron"


def _ruled_out(terms: Sequence[Term]) -> Iterator[Finding]:
    for requirement in (requirement for term in terms for requirement in term.requirements if requirement.ruled_out):
        yield Finding(
            requirement.line, f"it selects {requirement}, and a NotIn in the same term excludes that; no node has both"
        )


def _market(group: Group, terms: Sequence[Term]) -> Iterator[Finding]:
    label = user_values(group).all_labels.get(LABEL_MARKET_TYPE)
    for term in terms:
        requirements, market = term.of(Says.MARKET), market_of(term)
        if len(requirements) > 1 and market is None:
            named = " and ".join(map(str, requirements))
            if (
                len(
                    {
                        requirement.label.markets.get(requirement.values[0])
                        for requirement in requirements
                        if len(requirement.values) == 1
                    }
                )
                > 1
            ):
                yield Finding(requirements[-1].line, f"it selects {named}; no node has both")
        if label and market and label != market and not templates.is_open_text(label):
            text = (
                f"the label {LABEL_MARKET_TYPE}: {label} contradicts {requirements[0]} in line {requirements[0].line}"
            )
            yield Finding(line_of(group, LABEL_MARKET_TYPE), text)


def _labels(group: Group, catalog: Catalog) -> Iterator[Finding]:
    """Find labels that contradict limits and selectors; types have a check of their own."""
    promised, written = propose(group, catalog).labels, user_values(group).all_labels
    # Both have findings of their own: the market in `_market`, the host's number in `_on_every_host`.
    passed = {LABEL_MARKET_TYPE, LABEL_TPU_WORKER_ID}
    for name, value in promised.items():
        other = written.get(name, value)
        if (
            name not in passed
            and other != value
            and not _is_type(name, other, promised)
            and not templates.is_open_text(other)
        ):
            text = f"the label {name}: {written[name]} contradicts limits and selectors, which give {value}"
            yield Finding(line_of(group, name), text)


def _is_type(name: str, written: str, promised: dict[str, str]) -> bool:
    """Return whether a label of the type names the exact variant, which is correct too."""
    return name == LABEL_ACCELERATOR_TYPE and written == promised.get(LABEL_VARIANT)


def _nowhere(terms: Sequence[Term], devices: Devices, catalog: Catalog) -> Iterator[Finding]:
    result = candidates(terms, devices, catalog)
    if result.trouble:
        yield Finding(result.trouble_line, _with_hint(result.trouble, terms, catalog))


def _with_hint(trouble: str, terms: Sequence[Term], catalog: Catalog) -> str:
    """Add the nearest names to a sentence about an unknown name."""
    if "not an accelerator of the catalog" not in trouble:
        return trouble
    for term in terms:
        for requirement in term.of(Says.CHIP):
            how, _, of = requirement.label.names.partition(":")
            if how == "api" and not chips_of(requirement.label.names, requirement.values[0], catalog):
                names = {name.lower() for chip in catalog.chips.values() for name in chip.api_names.get(of, ())}
                return trouble + hint(requirement.values[0], names)
    return trouble


def _types(group: Group, terms: Sequence[Term], devices: Devices, catalog: Catalog) -> Iterator[Finding]:
    """Find an accelerator_type of the user's that the selectors do not name."""
    result = candidates(terms, devices, catalog)
    names = {name for chip in result.chips for name in (chip.detected_type, chip.variant) if name}
    for name, text in user_values(group).all_resources.items():
        type_name = name.removeprefix(ACCELERATOR_TYPE_PREFIX)
        if not name.startswith(ACCELERATOR_TYPE_PREFIX) or not whole(text) or templates.is_open_text(type_name):
            continue
        families = families_of(type_name, catalog)
        if result.named and names and type_name not in names:
            named = " or ".join(sorted(names))
            yield Finding(line_of(group, name), f"{name} is promised, but the selectors name {named}")
        elif families and devices.resource.family not in families:
            said = f"{name} is promised, of {' and '.join(sorted(families))}"
            yield Finding(line_of(group, name), f"{said}, and {devices.name} are devices of {devices.resource.family}")


def tpu_findings(group: Group, terms: Sequence[Term], devices: Devices | None, catalog: Catalog) -> Iterator[Finding]:
    """Find contradictions: a missing selector, one outside of the nodeSelector, or another number of chips."""
    if devices is None:
        if not any(map(tpu_keys, terms)) or group.limits_are_open:
            return
        line = next(item.line for term in terms for item in (*term.requirements, *term.left_open))
        yield Finding(line, "it selects TPU nodes, but the container's limits have no google.com/tpu")
        return
    if devices.resource.family != "tpu":
        return
    for term in terms:
        keys = tpu_keys(term)
        for lacking in _TPU_KEYS.keys() - keys if keys and not open_selectors(group, [Term()]) else ():
            (there,) = keys
            line = next(item.line for item in (*term.requirements, *term.left_open) if item.label.says is there)
            yield Finding(
                line, f"it selects by {_TPU_KEYS[there]} and not by {_TPU_KEYS[lacking]}; GKE and Ray need both"
            )
        if len(keys) == len(_TPU_KEYS) and term.of(Says.CHIP) and term.of(Says.TOPOLOGY):
            yield from _tpu_chips(group, term, devices, catalog)
    yield from _on_every_host(group)


def _tpu_chips(group: Group, term: Term, devices: Devices, catalog: Catalog) -> Iterator[Finding]:
    topology, accelerator = term.only(Says.TOPOLOGY), term.only(Says.CHIP)
    chips = [
        chip
        for requirement in term.of(Says.CHIP)
        for chip in chips_of(requirement.label.names, accelerator or "", catalog)
    ]
    line = next(requirement.line for requirement in term.of(Says.TOPOLOGY))
    if topology is None or not chips:
        return
    try:
        tpu = slice_of_chip(catalog, chips[0].name, topology)
    except UnknownTpuError as error:
        yield Finding(line, str(error))
        return
    if group.hosts is None or devices.is_open:
        return
    given = devices.amount * group.hosts
    if given != tpu.chips:
        hosts = tpu.chips // devices.amount if tpu.chips % devices.amount == 0 else None
        advice = f"; write numOfHosts: {hosts}" if hosts and hosts != group.hosts else ""
        text = f"google.com/tpu: {devices.amount} with numOfHosts: {group.hosts} is {given} chips"
        yield Finding(devices.line, f"{text}, and topology {topology} has {tpu.chips}{advice}")
    if group.hosts > 1 and not all(requirement.in_selector for requirement in term.of(Says.CHIP, Says.TOPOLOGY)):
        text = "put both TPU selectors into the nodeSelector: Ray's autoscaler reads them only there"
        yield Finding(line, text)


def _on_every_host(group: Group) -> Iterator[Finding]:
    """Find what only host 0 may announce, in a group of several hosts: it would reach all of them."""
    if group.hosts is None or group.hosts == 1:
        return
    user = user_values(group)
    for name in user.all_resources:
        if tpu_head_pod_type(name):
            text = f"{name} reaches each of {group.hosts} hosts; remove it, Ray adds it for host 0"
            yield Finding(line_of(group, name), text)
    if LABEL_TPU_WORKER_ID in user.all_labels:
        text = (
            f"the label {LABEL_TPU_WORKER_ID} reaches each of {group.hosts} hosts; remove it, each host detects its own"
        )
        yield Finding(line_of(group, LABEL_TPU_WORKER_ID), text)
