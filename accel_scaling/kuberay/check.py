"""What contradicts itself in a group: each a line and a sentence. Nothing is looked up outside of the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import (
    ACCELERATOR_TYPE_PREFIX,
    LABEL_ACCELERATOR_TYPE,
    LABEL_MARKET_TYPE,
    LABEL_TPU_WORKER_ID,
)
from accel_scaling.catalog.kubernetes import Says, device_resources
from accel_scaling.catalog.suggest import hint
from accel_scaling.fill.promise import LABEL_VARIANT
from accel_scaling.kuberay import yaml_text as yt
from accel_scaling.kuberay.candidates import candidates
from accel_scaling.kuberay.check_tpu import tpu_findings
from accel_scaling.kuberay.devices import devices_of
from accel_scaling.kuberay.finding import Finding, line_of
from accel_scaling.kuberay.label_values import chips_of
from accel_scaling.kuberay.promise import market_of, propose
from accel_scaling.kuberay.quantity import amount, whole
from accel_scaling.kuberay.selectors import terms_of
from accel_scaling.kuberay.user_values import CUSTOM, LABELS, PARAMS, own
from accel_scaling.kuberay.validation import misshapen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.kuberay.devices import Devices
    from accel_scaling.kuberay.manifest import Group
    from accel_scaling.kuberay.selectors import Term
    from accel_scaling.kuberay.user_values import Own


def findings(group: Group, catalog: Catalog) -> list[Finding]:
    """Return everything in a group that contradicts itself, by line."""
    if wrong := misshapen(group):
        return wrong  # all else would be read into it
    terms, devices = terms_of(group), devices_of(group)
    one = devices[0] if len(devices) == 1 and devices[0].amount else None
    found = [
        *_params(group, own(group)),
        *_limits(group, devices),
        *_counts(group, devices),
        *_ruled_out(terms),
        *_market(group, terms),
        *_labels(group, catalog),
    ]
    if one:
        found += [*_nowhere(terms, one, catalog), *_types(group, terms, one, catalog)]
    if one or not devices:
        found += tpu_findings(group, terms, one, catalog)
    return sorted({Finding(each.line, f"{group.title}: {each.text}", each.mended) for each in found})


def _params(group: Group, mine: Own) -> Iterator[Finding]:
    """What KubeRay's operator refuses, and what Ray cannot read."""
    params = yt.pairs(yt.at(group.node, "rayStartParams"))
    both = [name for name in (*PARAMS, CUSTOM) if yt.word(params.get(name, (None, None))[1])]
    if mine.resources and both:
        line = yt.line(params[both[0]][0])
        text = f"rayStartParams has {', '.join(both)} beside the group's `resources`, which KubeRay refuses"
        yield Finding(line, f"{text}; `kuberay fill` moves it", mended=True)
    if LABELS in params and LABELS not in mine.wrong:
        text = "rayStartParams.labels is refused by KubeRay 1.5, and Ray's autoscaler does not read it"
        yield Finding(yt.line(params[LABELS][0]), f"{text}; `kuberay fill` moves it to `labels`", mended=True)
    if mine.wrong:
        yield Finding(yt.line(params[CUSTOM if CUSTOM in mine.wrong else LABELS][0]), mine.wrong)
    for name, (key, _) in yt.pairs(yt.at(group.node, "resources")).items():
        if name != name.upper() and name.lower() in ("cpu", "gpu", "tpu"):
            text = f"resources.{name}: Ray's autoscaler takes it for a resource of that name; write {name.upper()}"
            yield Finding(yt.line(key), text)


def _limits(group: Group, devices: Sequence[Devices]) -> Iterator[Finding]:
    """What Kubernetes refuses: the requests of devices are their limits."""
    limits = {each.name: each for each in devices}
    for each in devices_of(group, "requests"):
        limit = limits.get(each.name)
        if limit is None:
            text = f"requests has {each.name}: {each.text} and limits has none; Kubernetes wants the limit"
            yield Finding(each.line, text)
        elif amount(limit.text) != amount(each.text):
            text = f"requests has {each.name}: {each.text} and limits {limit.text}; for devices they must be equal"
            yield Finding(each.line, text)


def _counts(group: Group, devices: Sequence[Devices]) -> Iterator[Finding]:
    """Devices that are promised to Ray and not asked of Kubernetes."""
    given = {each.kind.resource: each for each in devices}
    known = {each.resource for each in device_resources()}
    for name, text in own(group).all_resources.items():
        count = whole(text)
        if name not in known or not count:
            continue
        line = line_of(group, name)
        device = given.get(name)
        if device is None:
            yield Finding(line, f"{name}: {count} is promised, and the container's limits have no device for it")
        elif not _is_several_units(device) and device.amount and count > device.amount:
            yield Finding(line, f"{name}: {count} is promised, and the limits have {device.name}: {device.amount} only")


def _is_several_units(devices: Devices) -> bool:
    """Return whether one device may be several units of Ray's resource."""
    return devices.kind.family == "neuron"


def _ruled_out(terms: Sequence[Term]) -> Iterator[Finding]:
    for each in (each for term in terms for each in term.wanted if each.ruled_out):
        yield Finding(each.line, f"it selects {each}, and a NotIn beside it rules that out; no node is both")


def _market(group: Group, terms: Sequence[Term]) -> Iterator[Finding]:
    said = own(group).all_labels.get(LABEL_MARKET_TYPE)
    for term in terms:
        wanted, market = term.of(Says.MARKET), market_of(term)
        if len(wanted) > 1 and market is None:
            named = " and ".join(map(str, wanted))
            if len({each.label.markets.get(each.values[0]) for each in wanted if len(each.values) == 1}) > 1:
                yield Finding(wanted[-1].line, f"it selects {named}; no node is both")
        if said and market and said != market:
            text = f"the label {LABEL_MARKET_TYPE}: {said} contradicts {wanted[0]} in line {wanted[0].line}"
            yield Finding(line_of(group, LABEL_MARKET_TYPE), text)


def _labels(group: Group, catalog: Catalog) -> Iterator[Finding]:
    """Labels that say something else than limits and selectors do; types have a sentence of their own."""
    promised, said = propose(group, catalog).labels, own(group).all_labels
    passed = {LABEL_MARKET_TYPE, LABEL_TPU_WORKER_ID}
    for name, value in promised.items():
        if name not in passed and said.get(name, value) != value and not _is_type(name, said[name], promised):
            text = f"the label {name}: {said[name]} contradicts limits and selectors, which make it {value}"
            yield Finding(line_of(group, name), text)


def _is_type(name: str, said: str, promised: dict[str, str]) -> bool:
    """Return whether a label of the type names the exact variant, which is right too."""
    return name == LABEL_ACCELERATOR_TYPE and said == promised.get(LABEL_VARIANT)


def _nowhere(terms: Sequence[Term], devices: Devices, catalog: Catalog) -> Iterator[Finding]:
    found = candidates(terms, devices, catalog)
    if found.trouble:
        yield Finding(found.trouble_line, _with_hint(found.trouble, terms, catalog))


def _with_hint(trouble: str, terms: Sequence[Term], catalog: Catalog) -> str:
    """Add the nearest names to a sentence about one that nobody knows."""
    if "no accelerator that the catalog knows" not in trouble:
        return trouble
    for term in terms:
        for each in term.of(Says.CHIP):
            how, _, of = each.label.names.partition(":")
            if how == "api" and not chips_of(each.label.names, each.values[0], catalog):
                names = {name.lower() for chip in catalog.chips.values() for name in chip.api_names.get(of, ())}
                return trouble + hint(each.values[0], names)
    return trouble


def _types(group: Group, terms: Sequence[Term], devices: Devices, catalog: Catalog) -> Iterator[Finding]:
    """An accelerator_type of the user's that is none of what the selectors name."""
    found = candidates(terms, devices, catalog)
    known = {name for chip in found.chips for name in (chip.detected_type, chip.variant) if name}
    if not found.named or not known:
        return
    for name, text in own(group).all_resources.items():
        said = name.removeprefix(ACCELERATOR_TYPE_PREFIX)
        if name.startswith(ACCELERATOR_TYPE_PREFIX) and whole(text) and said not in known:
            named = " or ".join(sorted(known))
            yield Finding(line_of(group, name), f"{name} is promised, and the selectors name {named}")
