"""A whole plan, from a cluster config and the words of the command line to the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel_scaling.accs.types import Known
from accel_scaling.cluster.cluster import read_config
from accel_scaling.errors import PlanError
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.plan import live_cluster
from accel_scaling.plan.answer import answer
from accel_scaling.plan.cluster import checked, cluster_of
from accel_scaling.plan.demands import Reader, check_strategy
from accel_scaling.plan.labels import check, labels_of
from accel_scaling.plan.model import Answer, Asked, Gang
from accel_scaling.plan.scheduler_request import question_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.plan.cluster import Cluster


@dataclass(frozen=True)
class Words:
    """What is asked, as it is written.

    Attributes:
        demands: tasks and actors, such as ``A100:8x16``.
        gangs: placement groups: a strategy and its bundles each. One without bundles makes a group of all demands;
            one without a strategy, too, by PACK.
        labels: label selectors for every demand, ``KEY=VALUE``.
        address: ``HOST:PORT`` of a running cluster, which is asked instead.
    """

    demands: Sequence[str] = ()
    gangs: Sequence[Sequence[str]] = ()
    labels: Sequence[str] = ()
    address: str | None = None


def planned(config: dict[str, Any], catalog: Catalog, words: Words) -> tuple[Cluster, Answer]:
    """Return the cluster and its plan; what is wrong with the words is said before Ray is imported.

    Args:
        config: the cluster config, as it is written.
        catalog: where the promises come from.
        words: what is asked.

    Raises:
        PlanError: words that mean nothing, or nobody at the address.
        AccelScalingError: a config that cannot be filled or that Ray refuses; it names the key.
    """
    if words.address is not None:
        if words.demands or words.gangs or words.labels:
            raise PlanError("--address takes the demands from the cluster; leave --demand, --gang and --label out")
        live_cluster.check_address(words.address)
    read = read_config(checked(config), catalog)
    filled, notes = fill_cluster(read)
    promised = [name for one in filled["available_node_types"].values() for name in one["resources"]]
    labels = labels_of(words.labels)
    asked = _asked(words, Reader(Known(catalog.chips), promised, labels))
    check(labels)
    cluster = cluster_of(read, filled, notes)
    if words.address is not None:
        return cluster, answer(cluster, live_cluster.question_of(cluster, words.address))
    return cluster, answer(cluster, question_of(cluster, asked))


def _asked(words: Words, reader: Reader) -> Asked:
    gangs = [list(gang) for gang in words.gangs]
    of_all = [gang for gang in gangs if len(gang) < 2]
    if not of_all:
        demands = tuple(reader.demand(text) for text in words.demands)
        return Asked(demands, tuple(reader.gang(gang) for gang in gangs))
    strategy = of_all[0][0] if of_all[0] else "PACK"
    check_strategy(strategy)
    if not words.demands or len(of_all) > 1:
        raise PlanError(
            f"--gang {' '.join(of_all[-1])}".rstrip()
            + ": it has no demands of its own, and "
            + ("there is another such --gang" if words.demands else "there is no --demand")
            + "; write them after the strategy, such as --gang STRICT_SPREAD A100:8x4"
        )
    whole = Gang(strategy.upper(), tuple(reader.demand(text, bundle=True) for text in words.demands))
    return Asked((), (whole, *(reader.gang(gang) for gang in gangs if len(gang) > 1)))
