"""The plan: Ray's answer, told with the reader's words; and why something stays pending."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from accel_scaling import _ray
from accel_scaling.plan import caveats
from accel_scaling.plan.demands import in_sum
from accel_scaling.plan.limits import Limits
from accel_scaling.plan.model import Answer, Demand, Gang, Kind, Pending, Row, counted
from accel_scaling.plan.nearest_miss import asks, nearest_miss, wanted
from accel_scaling.plan.suggestions import would

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from accel_scaling.plan.cluster import Cluster
    from accel_scaling.plan.scheduler_request import Question

_OFFERED = {Kind.NEVER_LAUNCHED, Kind.NO_SUCH_LABEL, Kind.OVER_SEVERAL_HOSTS}  # no other machine type would help


def answer(cluster: Cluster, question: Question) -> Answer:
    """Return the plan.

    Args:
        cluster: the cluster file.
        question: what is asked, as ``asked.question_of`` or ``running.question_of`` makes it.
    """
    found = question.answer()
    limits = Limits(cluster, question)
    rows = _rows(cluster, question, found)
    pending = [part for key, count in _keys(found.pending) for part in _pending(cluster, question, limits, key, count)]
    pending += [_pending_gang(cluster, question, limits, key, count) for key, count in _keys(found.pending_gangs)]
    distinct = _distinct(found)
    of_chips = {number for number, each in distinct.items() if "TPU" in _ray.read_request(each).resources}
    chips = {node.node_type for node in found.nodes if any(id(each) in of_chips for each in node.requests)}
    said = [*caveats.of_slices(cluster, rows, chips), *caveats.of_rounds(cluster, rows), *_ended(found)]
    return Answer(tuple(rows), tuple(pending), tuple(_limits(cluster, limits)), tuple(said))


def _rows(cluster: Cluster, question: Question, found: _ray.Scheduled) -> list[Row]:
    rows = []
    texts = {number: _text(question, request) for number, request in _distinct(found).items()}
    for launched in (True, False):
        names = dict.fromkeys(node.node_type for node in found.nodes if node.launched == launched)
        for name in sorted(names, key=lambda each: list(question.types).index(each)):
            nodes = [node for node in found.nodes if (node.node_type, node.launched) == (name, launched)]
            uses = Counter(texts[id(request)] for node in nodes for request in node.requests)
            known = cluster.types.get(name)
            rows.append(
                Row(
                    node_type=name,
                    instance_type=known.instance_type if known else "",
                    count=len(nodes),
                    launched=launched,
                    uses=tuple(uses.items()),
                    for_min_workers=sum(not node.requests for node in nodes) if launched else 0,
                )
            )
    return rows


def _distinct(found: _ray.Scheduled) -> dict[int, Any]:
    """Return the requests that are placed, by id: 50,000 of one demand are one object."""
    return {id(each): each for node in found.nodes for each in node.requests}


def _text(question: Question, request: Any) -> str:
    read = _ray.read_request(request)
    if read.strategy == "STRICT_PACK":
        return f"({question.strict[read.group].text})"
    return question.demands[_ray.key_of(request)].text


def _keys(requests: Iterable[Any]) -> list[tuple[bytes, int]]:
    return list(Counter(_ray.key_of(each) for each in requests).items())


def _pending(cluster: Cluster, question: Question, limits: Limits, key: bytes, count: int) -> list[Pending]:
    """Return what to say of one demand that stays pending: those kept by a limit, and those that fit nowhere."""
    demand = question.demands[key]
    found = []
    for kinds, kept in limits.biting(key, count):
        reason = f"waits until something else is done: {_which(cluster, limits, kinds, _fitting(question, [demand]))}"
        found.append(Pending(demand.text, kept, demand.resources, "", kinds[0], reason))
    never = count - sum(one.count for one in found)
    if never:  # no limit is what keeps them
        found.append(Pending(demand.text, never, demand.resources, "", *_never(cluster, demand)))
    return found


def _pending_gang(cluster: Cluster, question: Question, limits: Limits, key: bytes, count: int) -> Pending:
    gang = question.groups[key]
    bitten = limits.biting(key, count)
    if bitten:
        kinds = bitten[0][0]
        which = _which(cluster, limits, kinds, _fitting(question, gang.bundles))
        kind, reason = kinds[0], f"the whole group waits: {which}"
    else:
        kind, reason = _never_gang(cluster, question, gang)
    return Pending(gang.text, count, in_sum(gang.bundles), gang.strategy, kind, reason)


def _never_gang(cluster: Cluster, question: Question, gang: Gang) -> tuple[Kind, str]:
    for bundle in gang.bundles:
        request = _ray.resource_request(bundle.resources, bundle.selectors)
        if not any(_ray.fits(one, request) for one in question.types.values()):
            kind, reason = _never(cluster, bundle)
            return kind, f"bundle {bundle.text} {reason}"
    if gang.strategy == "STRICT_PACK":
        whole = Demand(gang.text, 1, in_sum(gang.bundles), gang.bundles[0].selectors)
        _, reason = _never(cluster, whole)
        return Kind.GROUP_TOO_BIG, f"all bundles on one node: {reason}"
    return Kind.GROUP_TOO_BIG, "each bundle fits a node type, but Ray's scheduler does not place them all together"


def _never(cluster: Cluster, demand: Demand) -> tuple[Kind, str]:
    miss = nearest_miss(demand, list(cluster.types.values()), cluster.known)
    words = [f"asks {asks(demand, cluster.known)}", miss.said]
    if miss.kind not in _OFFERED:
        machines = [one.instance_type for one in cluster.types.values() if not one.is_head]
        if miss.kind is not Kind.NO_SUCH_ACCELERATOR:
            words.append("no node type of the file offers it")
        words.append(would(wanted(demand, cluster.known), cluster.cloud, cluster.catalog, machines))
    return miss.kind, "; ".join(words)


def _fitting(question: Question, demands: Iterable[Demand]) -> frozenset[str]:
    """Return the node types that one of the demands fits: another's max_workers says nothing of them."""
    requests = [_ray.resource_request(each.resources, each.selectors) for each in demands]
    return frozenset(name for name, one in question.types.items() if any(_ray.fits(one, each) for each in requests))


def _which(cluster: Cluster, limits: Limits, kinds: Iterable[Kind], of: frozenset[str] | None = None) -> str:
    """Return which limits these are: those of these node types; or of all, with how many would be wanted."""
    of_types = limits.exceeded() if Kind.MAX_WORKERS_OF_TYPE in kinds else []
    said = [(f"node type {name}", most, many) for name, many, most in of_types if of is None or name in of]
    if Kind.MAX_WORKERS in kinds or not said:
        said.insert(0, ("the cluster", cluster.max_workers, limits.workers_wanted()))
    return "; ".join(
        f"max_workers of {what} is {most}" + (f", and {many} would be wanted" if of is None else "")
        for what, most, many in said
    )


def _limits(cluster: Cluster, limits: Limits) -> list[str]:
    return [
        _which(cluster, limits, (kind,))
        for kind in (Kind.MAX_WORKERS, Kind.MAX_WORKERS_OF_TYPE)
        if kind in limits.bitten
    ]


def _ended(found: _ray.Scheduled) -> list[str]:
    gone = Counter(found.ended)
    return [f"{count} of {name} would be terminated: there are more than max_workers" for name, count in gone.items()]


def said_uses(row: Row) -> str:
    """Return what a row's nodes are for."""
    said = [counted(text, count) for text, count in row.uses]
    if row.for_min_workers:
        said.append(f"min_workers ({row.for_min_workers} with nothing to do)")
    return ", ".join(said) or ("nothing" if row.launched else "")
