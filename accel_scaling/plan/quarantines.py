"""The quarantines of a running cluster in its plan: a node type that is in quarantine is not launched."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling._ray.facts import BOOTSTRAP_CONFIG
from accel_scaling.quarantine import messages
from accel_scaling.quarantine.max_workers import ORIGINALS
from accel_scaling.quarantine.store import StateError, Store, default_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.plan.cluster import AutoscalerCluster
    from accel_scaling.quarantine.ledger import Ledger
    from accel_scaling.quarantine.machine import Machine

_ON_TRIAL = "limited by the head after a quarantine, until one machine has passed its boot check"

_NOT_KNOWN = (
    "whether a node type is quarantined is not known here: this cluster's autoscaler does not report it; run "
    "`accel-scaling status` on the head"
)


def reported_quarantines(state: _ray.ClusterState) -> dict[str, str] | None:
    """Return the node types in quarantine, with the reason: as the cluster's v2 says, or this head's state file.

    None where neither says anything: then it is not known.
    """
    if state.blocked is not None:
        return dict(state.blocked)
    return _of_this_head()


def of_config(provider: Mapping[str, Any], reported: Mapping[str, str]) -> dict[str, str]:
    """Return the node types in quarantine: the reported ones, and those that a head's config limits.

    Args:
        provider: the provider section; that of a head's config has the limits of the quarantine.
        reported: node types with the reason.
    """
    limited = provider.get(ORIGINALS)
    names = list(limited) if isinstance(limited, dict) else []
    known = {**((_of_this_head() or {}) if names and not reported else {}), **reported}
    return {**{str(name): known.get(name, _ON_TRIAL) for name in names}, **reported}


def with_quarantines(
    cluster: AutoscalerCluster, quarantined: Mapping[str, str], there: Mapping[str, int]
) -> AutoscalerCluster:
    """Return a cluster of which node types in quarantine keep the nodes that they have, and get no more.

    Args:
        cluster: the cluster file.
        quarantined: node types with the reason.
        there: the number of nodes that a node type has, the head among them.
    """
    names = [name for name in quarantined if name in cluster.types and not cluster.types[name].is_head]
    types, in_ray = dict(cluster.types), dict(cluster.in_ray)
    for name in names:
        most = there.get(name, 0)
        types[name] = replace(types[name], max_workers=most, quarantined=quarantined[name])
        in_ray[name] = _ray.without_launches(in_ray, [name], "")[name]
        in_ray |= _ray.with_most({name: in_ray[name]}, [name], most)
    return replace(cluster, types=types, in_ray=in_ray) if names else cluster


def quarantine_notes(cluster: AutoscalerCluster, *, known: bool) -> tuple[str, ...]:
    """Return a note for each node type in quarantine, or that nobody here knows of any."""
    if not known:
        return (_NOT_KNOWN,)
    return tuple(
        f"{name} is {one.quarantined}: none of it is launched now; `accel-scaling status` on the head has the reasons"
        for name, one in cluster.types.items()
        if one.quarantined
    )


def records_of_machines() -> dict[str, Machine]:
    """Return the records of the machines in this head's state file; none where this is no head."""
    ledger = _ledger_of_this_head()
    return dict(ledger.machines) if ledger else {}


def _of_this_head() -> dict[str, str] | None:
    """Return the quarantines in this machine's state file; None where it is no head, or has none."""
    ledger, now_s = _ledger_of_this_head(), time.time()
    if ledger is None:
        return None
    return {
        name: messages.blocked(record.active(now_s))
        for name, record in ledger.types.items()
        if record.quarantined(now_s)
    }


def _ledger_of_this_head() -> Ledger | None:
    store = Store(default_path())
    if not store.exists or not (Path.home() / BOOTSTRAP_CONFIG).exists():
        return None
    try:
        return store.read()
    except StateError:
        return None
