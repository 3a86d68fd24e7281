"""Finds contradictions in a group of TPU hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling._ray.facts import LABEL_TPU_WORKER_ID, tpu_head_pod_type
from accel_scaling.catalog.kubernetes import Says
from accel_scaling.catalog.tpu_slices import slice_of_chip
from accel_scaling.errors import UnknownTpuError
from accel_scaling.kuberay.label_values import chips_of
from accel_scaling.kuberay.selectors import tpu_keys
from accel_scaling.kuberay.user_values import user_values
from accel_scaling.kuberay.validation import Finding, line_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel_scaling.catalog.lookup import Catalog
    from accel_scaling.kuberay.devices import Devices
    from accel_scaling.kuberay.manifest import Group
    from accel_scaling.kuberay.selectors import Term

_KEYS = {Says.CHIP: "cloud.google.com/gke-tpu-accelerator", Says.TOPOLOGY: "cloud.google.com/gke-tpu-topology"}


def tpu_findings(group: Group, terms: Sequence[Term], devices: Devices | None, catalog: Catalog) -> Iterator[Finding]:
    """Find contradictions: a missing selector, one outside of the nodeSelector, or another number of chips."""
    if devices is None:
        if not any(map(tpu_keys, terms)):
            return
        line = next(requirement.line for term in terms for requirement in term.of(Says.CHIP, Says.TOPOLOGY))
        yield Finding(line, "it selects TPU nodes, but the container's limits have no google.com/tpu")
        return
    if devices.resource.family != "tpu":
        return
    for term in terms:
        keys = tpu_keys(term)
        for lacking in _KEYS.keys() - keys if keys else ():
            (there,) = keys
            line = next(requirement.line for requirement in term.of(there))
            yield Finding(line, f"it selects by {_KEYS[there]} and not by {_KEYS[lacking]}; GKE and Ray need both")
        if len(keys) == len(_KEYS):
            yield from _chips(group, term, devices, catalog)
    yield from _on_every_host(group)


def _chips(group: Group, term: Term, devices: Devices, catalog: Catalog) -> Iterator[Finding]:
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
    if devices.amount * group.hosts != tpu.chips:
        given = (
            f"google.com/tpu: {devices.amount} with numOfHosts: {group.hosts} is {devices.amount * group.hosts} chips"
        )
        hosts = tpu.chips // devices.amount if tpu.chips % devices.amount == 0 else None
        advice = f"; write numOfHosts: {hosts}" if hosts and hosts != group.hosts else ""
        yield Finding(devices.line, f"{given}, and topology {topology} has {tpu.chips}{advice}")
    if group.hosts > 1 and not all(requirement.in_selector for requirement in term.of(Says.CHIP, Says.TOPOLOGY)):
        text = "put both TPU selectors into the nodeSelector: Ray's autoscaler reads them only there"
        yield Finding(line, text)


def _on_every_host(group: Group) -> Iterator[Finding]:
    """Find what only host 0 may announce, in a group of several hosts: it would reach all of them."""
    if group.hosts == 1:
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
