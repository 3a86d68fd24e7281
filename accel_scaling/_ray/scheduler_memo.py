"""Ray's v2 scheduler with a memo: its own code decides, and nodes in the same state are tried once.

Ray tries each node type for each node that it launches, over all demands that are left. Two nodes in the same state
take the same from the same demands, and a node continues taking the same while what it took is still there to be taken:
demands only become fewer. So a try is remembered by the node's state, with what it took of each run of like demands:

    takes(run) = min(left(run), fits(run))

With left' <= left for every run and left' >= takes, the minimum is the same, run after run, and so are the state
afterwards and the score. What is true of each candidate of a round is true of which of them is best: where all would
take the same as before, and that is still left, the same one is launched.

Without the memo, a plan of 1,000 nodes of many types takes 15 s. tests/plan/test_scheduler.py compares with Ray's plain
call; ``ACCEL_SCALING_SCHEDULER_MEMO=0`` switches the memo off. It is off, too, with a Ray that is newer than those that
were compared: this is private code, and has changed with every second minor.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from accel_scaling._ray import versions
from accel_scaling._ray.node_scores import wrap_v2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import ModuleType

MEMO_VARIABLE = "ACCEL_SCALING_SCHEDULER_MEMO"

_NAME = "accel_scaling._ray._scheduler_of_ray"
# Ray's functions of a list of requests whose answer depends on the different ones only: since 2.60, and 2.57 to 2.59.
_OF_DISTINCT = ("_collect_unique_resource_shapes", "_compute_min_resource_demand")


class Tried(NamedTuple):
    """The outcome of a try: how many of which runs were taken, the score, and the node afterwards."""

    taken: tuple[tuple[int, int], ...]
    score: Any
    node: Any


class Won(NamedTuple):
    """The outcome of a round: the best node's place, and what each of the candidates took."""

    at: int
    tried: tuple[Tried, ...]


class Rest:
    """Demands that are left, as counts of runs of like ones; to Ray it is a list of requests.

    Attributes:
        runs: a request and its key for each run; the same object for all that is left of one list.
        counts: how many of each run are left.
        memory: the outcomes of tries by the node's state; the same object, too.
        rounds: the outcomes of rounds by the candidates' states; the same object, too.
    """

    def __init__(
        self,
        runs: Sequence[tuple[Any, bytes]],
        counts: list[int],
        memory: dict[Any, Tried],
        rounds: dict[Any, Won],
        left: int,
    ) -> None:
        self.runs, self.counts, self.memory, self.rounds, self._left = runs, counts, memory, rounds, left

    @classmethod
    def of(cls, requests: Sequence[Any], keys: dict[int, bytes] | None) -> Rest:
        """Return a list of requests as runs of equal neighbours.

        Args:
            requests: Ray's requests, sorted.
            keys: each one's serialized form by its ``id``, where Ray made it already.
        """
        runs: list[tuple[Any, bytes]] = []
        counts: list[int] = []
        for request in requests:
            key = (keys or {}).get(id(request)) or request.SerializeToString(deterministic=True)
            if runs and runs[-1][1] == key:
                counts[-1] += 1
            else:
                runs.append((request, key))
                counts.append(1)
        return cls(runs, counts, {}, {}, len(requests))

    def has(self, taken: tuple[tuple[int, int], ...]) -> bool:
        """Return whether so many of these runs are still left."""
        return all(self.counts[run] >= count for run, count in taken)

    def without(self, taken: tuple[tuple[int, int], ...]) -> Rest:
        """Return what is left when so many of these runs are taken."""
        if not taken:
            return self
        counts = list(self.counts)
        for run, count in taken:
            counts[run] -= count
        left = self._left - sum(count for _, count in taken)
        return Rest(self.runs, counts, self.memory, self.rounds, left)

    # Ray asks for both: the length, to see whether a node took anything; the items, for what it reports as infeasible.
    def __len__(self) -> int:
        return self._left

    def __iter__(self) -> Iterator[Any]:
        for (request, _), count in zip(self.runs, self.counts, strict=True):
            for _ in range(count):
                yield request


def scheduler_module() -> ModuleType:
    """Return Ray's scheduler module, loaded a second time: with the memo, and its scheduler keeps its nodes.

    Ray's own module stays as it is.
    """
    return _module(memo=os.environ.get(MEMO_VARIABLE) != "0" and not versions.is_unchecked())


@functools.cache
def _module(*, memo: bool) -> ModuleType:
    origin = importlib.util.find_spec("ray.autoscaler.v2.scheduler")
    if origin is None or origin.origin is None:
        raise ModuleNotFoundError("ray.autoscaler.v2.scheduler")
    name = _NAME if memo else f"{_NAME}_plain"
    spec = importlib.util.spec_from_file_location(name, origin.origin)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    module.__dict__["ResourceDemandScheduler"] = _keeping_nodes(module.ResourceDemandScheduler)
    wrap_v2(module.SchedulingNode)
    # Without the memo it is Ray's code but for the nodes that it keeps: what tests compare the memo with.
    if not memo:
        return module
    module.__dict__["dataclass"] = _once(module.dataclass)
    module.__dict__["sorted"] = _sorted
    for name in _OF_DISTINCT:
        if hasattr(module, name):
            module.__dict__[name] = _of_distinct(getattr(module, name))
    module.__dict__["SchedulingNode"] = type("Node", (_MemoNode, module.SchedulingNode), {})
    module.__dict__["ResourceDemandScheduler"] = _with_memo(module.ResourceDemandScheduler)
    return module


def _once(dataclass: Any) -> Any:
    """Return `dataclass` for the class that Ray defines within a function, again at each call: it is made once."""
    made: dict[str, Any] = {}

    def once(cls: type) -> Any:
        if cls.__qualname__ not in made:
            made[cls.__qualname__] = dataclass(cls)
        return made[cls.__qualname__]

    return once


def _sorted(items: Iterable[Any], *, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> list[Any]:
    """Return what `sorted` does, and ask for the key of an object once: Ray sorts 50,000 times the same request."""
    if key is None:
        return sorted(items, reverse=reverse)
    listed = list(items)
    keys = {number: key(item) for number, item in _distinct(listed).items()}
    return sorted(listed, key=lambda item: keys[id(item)], reverse=reverse)


def _of_distinct(shapes_of: Any) -> Any:
    """Return Ray's function of requests that wants each of them once, given each of them once."""
    return lambda requests: shapes_of(list(_distinct(requests).values()))


def _distinct(items: Iterable[Any]) -> dict[int, Any]:
    return {id(item): item for item in items}


class _MemoNode:
    """Before Ray's node among the bases of one: it looks up what a node in its state took before.

    The attributes are Ray's, but for the list that it passes for each node of a round, and what was made of it.
    """

    total_resources: dict[str, float]
    available_resources_for_sched: dict[Any, dict[str, float]]
    sched_requests: dict[Any, list[Any]]
    labels: dict[str, str]
    get_available_resources: Any
    get_sched_requests: Any
    _try_schedule_one: Any
    _compute_score: Any
    _last: ClassVar[list[Any]] = [None, None]

    def try_schedule(
        self, requests: Any, resource_request_source: Any, shape_keys: dict[int, bytes] | None = None
    ) -> tuple[Any, Any]:
        """Take what fits, as Ray's node does; return what is left, and the score."""
        if not isinstance(requests, Rest):
            # Ray passes the same list to each candidate of a round: it is cut into runs once. The list is kept here,
            # so no other object can take its place in memory and be mistaken for it.
            if self._last[0] is not requests:
                self._last[:] = requests, Rest.of(requests, shape_keys)
            requests = self._last[1]
        key = self._state(resource_request_source)
        known = requests.memory.get(key)
        if known is not None and requests.has(known.taken):
            self._become(known.node, resource_request_source)
        else:
            taken = self._take(requests, resource_request_source)
            known = Tried(taken, self._compute_score(resource_request_source), copy.deepcopy(self))
            requests.memory[key] = known
        return requests.without(known.taken), known.score

    def _take(self, rest: Rest, source: Any) -> tuple[tuple[int, int], ...]:
        self._own()
        taken = []
        for run, (request, _) in enumerate(rest.runs):
            count, left = 0, rest.counts[run]
            # What fails once fails for the rest of its run: nothing else is tried between two equal requests.
            while count < left and self._try_schedule_one(request, source):
                count += 1
            if count:
                taken.append((run, count))
        return tuple(taken)

    def _state(self, source: Any) -> tuple[Any, ...]:
        """Return all that a try and its score depend on; in order, for a score adds up in order."""
        states = self.__dict__.setdefault("_states", {})
        if source not in states:
            states[source] = (
                source.value,
                tuple(self.total_resources.items()),
                tuple(self.get_available_resources(source).items()),
                # A request of a strict placement group adds a label to the node that takes it, which changes what fits
                # later.
                tuple(self.labels.items()),
                tuple(request.SerializeToString(deterministic=True) for request in self.get_sched_requests(source)),
            )
        state: tuple[Any, ...] = states[source]
        return state

    def _become(self, other: Any, source: Any) -> None:
        """Be in another's state; what holds it is shared until one of the two changes."""
        self.available_resources_for_sched = {
            **self.available_resources_for_sched,
            source: other.get_available_resources(source),
        }
        self.sched_requests = {**self.sched_requests, source: other.get_sched_requests(source)}
        self.labels = other.labels
        self._states: dict[Any, Any] = {}

    def _own(self) -> None:
        """Stop sharing, to change."""
        self.total_resources = dict(self.total_resources)
        self.labels = dict(self.labels)
        self.available_resources_for_sched = {
            source: dict(amounts) for source, amounts in self.available_resources_for_sched.items()
        }
        self.sched_requests = {source: list(requests) for source, requests in self.sched_requests.items()}
        self._states = {}

    def update_total_resources(self, new_total_resources: dict[str, float]) -> None:
        """Change the capacity, as Ray's node does."""
        self._own()
        super().update_total_resources(new_total_resources)  # type: ignore[misc]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Copy when one of the two changes; Ray copies all of a node, its requests too, for each try."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin


def _priority(node: Any) -> int:
    """Return the priority of a node's type; before 2.56, all have the same."""
    return int(getattr(node, "priority", 0))


def _keeping_nodes(base: Any) -> type:
    class Scheduler(base):  # type: ignore[misc]
        """Ray's scheduler; ``nodes`` are those of the last call, with what was put on each."""

        nodes: tuple[Any, ...] = ()

        class ScheduleContext(base.ScheduleContext):  # type: ignore[misc]
            """Ray's, seen at the end of a call."""

            def get_launch_requests(self) -> Any:
                """Return Ray's answer, and keep the nodes behind it."""
                Scheduler.nodes = tuple(self._nodes)
                return super().get_launch_requests()

    return Scheduler


def _with_memo(base: Any) -> type:
    class MemoScheduler(base):  # type: ignore[misc]
        """A scheduler that looks a round up before it carries it out."""

        @staticmethod
        def _sched_best_node(requests: Any, nodes: list[Any], source: Any, *more: Any) -> tuple[Any, Any, list[Any]]:
            """Return the best of some nodes with what it took, what is left, and the other nodes.

            Args:
                requests: what is left.
                nodes: the candidates; the best is taken out.
                source: whose requests they are.
                more: none to two mappings of how available node types are, empty in a plan; then, since 2.60, the keys
                    of the requests.
            """
            # Where availability counts, the best depends on more than the states; a plain list has no memory.
            plain = (
                any(more[:2]) or not isinstance(requests, Rest) or len({node.node_type for node in nodes}) < len(nodes)
            )
            key = None if plain else tuple((node.node_type, _priority(node), node._state(source)) for node in nodes)  # noqa: SLF001
            won = requests.rounds.get(key) if key else None
            if won and all(requests.has(outcome.taken) for outcome in won.tried):
                best, tried = copy.deepcopy(nodes.pop(won.at)), won.tried[won.at]
                best._become(tried.node, source)  # noqa: SLF001 - it is a node of ours
                return best, requests.without(tried.taken), nodes
            before = list(nodes)
            best, left, nodes = base._sched_best_node(requests, nodes, source, *more)  # noqa: SLF001 - it replaces it
            if key and best is not None:
                # Ray takes the best out of the list and returns the others in their order: its place is the first that
                # differs.
                at = next((at for at, node in enumerate(nodes) if node is not before[at]), len(nodes))
                requests.rounds[key] = Won(at, tuple(requests.memory[node._state(source)] for node in before))  # noqa: SLF001
            return best, left, nodes

    return MemoScheduler
