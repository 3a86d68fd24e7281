"""The nodes of one cluster: what is known of them, how fresh it is, and what is done to several at once."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from accel_scaling import _ray, timeouts
from accel_scaling.catalog.launch_errors import Category, Failure
from accel_scaling.cluster.capacity import TAG
from accel_scaling.providers.base.zone_launch import Launch
from accel_scaling.providers.gcp.calls import ListingFailedError, call_each, looked_up, status_of
from accel_scaling.providers.gcp.labels import LabelWriter, to_labels
from accel_scaling.providers.gcp.launch import purpose_of
from accel_scaling.quarantine.place import zone_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from accel_scaling.cluster.capacity import CapacityEntry

logger = logging.getLogger(__name__)

_DEPARTED = 1000  # how many nodes that are gone are remembered, for those who ask late


class _CachedNode(NamedTuple):
    node: Any
    asked_at: float  # monotonic, before the question: what changed later is not in it


class NodeCache:
    """The nodes of a cluster; safe for several threads. No lock is held while Google is asked, but by launches.

    Args:
        resources: compute.Compute, and tpu.Tpu where the cluster has slices.
        resource_of: which of them a node belongs to, by its name.
        keep_stopped: stop nodes rather than delete them, and start them again (`cache_stopped_nodes`).
    """

    def __init__(
        self, resources: Callable[[], Iterable[Any]], resource_of: Callable[[str], Any], *, keep_stopped: bool
    ) -> None:
        self._resources = resources
        self._resource_of = resource_of
        self._keep_stopped = keep_stopped
        self._writer = LabelWriter(
            lambda node_id, tags: bool(resource_of(node_id).write_labels(node_id, to_labels(tags)))
        )
        self._lock = threading.Lock()
        self._known: dict[str, _CachedNode] = {}
        self._departed: dict[str, dict[str, str]] = {}  # the last tags of nodes that are gone
        self._listed_at = float("-inf")
        self._sweeping: set[str] = set()
        self._choosing = threading.Lock()  # of stopped nodes
        self._claimed: set[str] = set()
        self._deleted: set[str] = set()  # by this process, a short name each
        self.created: set[str] = set()  # by this process, without those that it started again
        # Two threads: Compute Engine and Cloud TPU are listed at the same time.
        self._listers = ThreadPoolExecutor(2, thread_name_prefix="accel-gcp-list")

    # What is known.

    def existing(self, tag_filters: Mapping[str, str]) -> list[str]:
        """Ask Google for all nodes; return those that exist and have these tags. Preempted ones are deleted."""
        asked_at = time.monotonic()
        nodes = self._ask_all()
        alive = {node["name"]: _CachedNode(node, asked_at) for node in nodes if not node.is_terminated()}
        with self._lock:
            # Listings may overlap: one that was asked for earlier must not undo a later one.
            if asked_at >= self._listed_at:
                self._listed_at = asked_at
                # A node that was asked for by itself since then may be too new for this listing.
                newer = {name: known for name, known in self._known.items() if known.asked_at > asked_at}
                for name, known in self._known.items():
                    if name not in alive and name not in newer:
                        self._departed[name] = known.node.get_labels()
                self._known = {**alive, **newer}
                for name in list(self._departed)[: max(0, len(self._departed) - _DEPARTED)]:
                    del self._departed[name]
        self._sweep(node for node in nodes if node.is_preempted())
        filters = dict(tag_filters).items()
        return [name for name, known in alive.items() if filters <= self._merged(known).items()]

    def machines(self) -> list[Any]:
        """Return the machines of Compute Engine, without slices, as last seen."""
        return [known.node for name, known in list(self._known.items()) if not name.startswith("projects/")]

    def to_end(self, tag_filters: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """Return the nodes with these tags that `ray down` ends, and a sentence for each zone that was not listed.

        Those that a user still pays for: in any state but ending, if they were deleted here; only such as run where
        stopped ones are kept, so the next `ray up` starts them again, as with Ray's own provider.
        """
        asked_at, filters = time.monotonic(), dict(tag_filters).items()
        parts = list(self._listers.map(lambda resource: resource.list_each_zone(), self._resources()))
        nodes = [node for listed, _ in parts for node in listed]
        names = []
        for node in nodes:
            # `ray down` deletes and lists until nothing is left: it would delete again what takes minutes to end. What
            # can only be deleted is no stopped node: a queued resource that is over takes quota.
            kept = self._keep_stopped and node.is_terminated() and (node.is_stopped() or not node.is_preempted())
            ended = kept or (node.is_ending() and node["name"] in self._deleted)
            known = _CachedNode(node, asked_at)
            if not ended and filters <= self._merged(known).items():
                names.append(node["name"])
                with self._lock:
                    self._known[node["name"]] = known
        return names, [sentence for _, errors in parts for sentence in errors]

    def node(self, node_id: str, *, fresh: bool = False) -> Any | None:
        """Return a node as last seen, or as Google describes it now; None if there is none.

        Args:
            node_id: its name.
            fresh: ask, if what is known is older than GCP_FRESH_S.
        """
        known = self._known.get(node_id)
        # One read without the lock: other threads replace the dict, or change a whole item of it.
        if known and not (fresh and time.monotonic() - known.asked_at > timeouts.GCP_FRESH_S):
            return known.node
        return self.ask(node_id)

    def ask(self, node_id: str) -> Any | None:
        """Return a node as Google describes it now; None if there is none."""
        asked_at = time.monotonic()
        try:
            node = self._resource_of(node_id).get_instance(node_id)
        except Exception as error:
            if status_of(error) != 404:
                raise
            with self._lock:
                # The tags stay: Ray's updater asks for those of a node that vanished a moment ago.
                gone = self._known.pop(node_id, None)
                if gone:
                    self._departed[node_id] = gone.node.get_labels()
            return None
        with self._lock:
            self._known[node_id] = _CachedNode(node, asked_at)
        return node

    def is_running(self, node_id: str) -> bool:
        """Return whether a node runs; one listing refreshes all of them, since v2 asks about all."""
        if time.monotonic() - self._listed_at > timeouts.GCP_FRESH_S:
            self.existing({})
        node = self.node(node_id)
        return bool(node is not None and node.is_running())

    def is_waiting(self, node_id: str, *, fresh: bool = False) -> bool:
        """Return whether a node waits in a queue of Google's; as last seen, or asked for if that is too old."""
        return bool((node := self.node(node_id, fresh=fresh)) is not None and node.is_waiting())

    def is_terminated(self, node_id: str) -> bool:
        """Return whether a node does not exist any more."""
        return bool((node := self.node(node_id, fresh=True)) is None or node.is_terminated())

    def tags(self, node_id: str) -> dict[str, str]:
        """Return a node's tags with what was set here a moment ago; the last known ones of a node that is gone."""
        if self.node(node_id) is None:
            return dict(self._departed.get(node_id, {}))
        known = self._known.get(node_id)
        return self._merged(known) if known else dict(self._departed.get(node_id, {}))

    # What is done.

    def set_tags(self, node_id: str, tags: Mapping[str, str]) -> None:
        """Set tags: visible here at once, at Google soon, and before the process ends.

        A state of the set-up, which most often is over a moment later, is told to Google with what follows it.
        """
        self._writer.set(node_id, tags, timeouts.STATUS_TAG_S if _ray.is_passing(tags) else None)

    def flush(self, timeout_s: float = timeouts.GCP_LABELS_EXIT_S) -> list[str]:
        """Write all tags now; return the nodes whose tags could not be written in time."""
        return self._writer.flush(timeout_s)

    def zone_of(self, node_id: str) -> str:
        """Return the zone of a machine or slice; empty for one that is not known."""
        if node_id.startswith("projects/"):  # a slice's name has it
            return node_id.split("/")[3]
        node = self.node(node_id)
        return _zone_in(node) if node is not None else ""

    def create(
        self,
        resource: Any,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        places: Collection[str],
        *,
        order: Sequence[CapacityEntry] = (),
        machines: Mapping[str, dict[str, Any]] | None = None,
    ) -> Launch:
        """Create nodes in some places, or start stopped ones of the same kind in their zones where those are kept."""
        zones = {zone_in(place) for place in places}
        # Those of a launch whose answers were all lost: without this, they would be asked for a second time.
        found, unknown = resource.settle(purpose_of(tags))
        earlier = [name for name in found if name not in self._known]  # the others, Ray has listed and counted
        started: list[str] = []
        if self._keep_stopped and not order:
            started, unclear = self._start_stopped(resource, tags, count - len(earlier) - len(unknown), zones)
            unknown += unclear
        missing = count - len(earlier) - len(started) - len(unknown)
        launch = Launch({}, None, [])
        if missing > 0:
            labels = to_labels({**tags, _ray.gcp_tags()[0]: resource.cluster_name})
            how = {"keep_stopped": self._keep_stopped and not order, "order": order, "machines": machines}
            launch = resource.create(node_config, labels, missing, zones=places, **how)
        failure = launch.failure
        if unknown and failure is None:
            text = f"whether {', '.join(unknown)} exist or start is not known yet"
            failure = Failure(Category.UNAVAILABLE, "no answer", text)
        self.created.update(launch.nodes, earlier)
        made = self._by_zone(resource, earlier)
        for zone, nodes in launch.made.items():
            made.setdefault(zone, []).extend(nodes)
        started_again = {**launch.started, **self._by_zone(resource, started)}
        return replace(launch, made=made, started=started_again, failure=failure)

    @staticmethod
    def _by_zone(resource: Any, node_ids: Iterable[str]) -> dict[str, list[str]]:
        placed: dict[str, list[str]] = {}
        for node_id in node_ids:
            # Known from the listing, or from the launch: no question is asked here, which could fail.
            zone = node_id.split("/")[3] if node_id.startswith("projects/") else resource.zone_of(node_id)
            placed.setdefault(zone, []).append(node_id)
        return placed

    def terminate(self, node_ids: Iterable[str]) -> None:
        """Delete nodes, or stop them where stopped ones are kept; a node that is gone is no error.

        Raises:
            Exception: the first that Google refused, after all others were tried.
        """
        errors = self.try_to_terminate(node_ids)
        for node_id, error in errors.items():
            logger.error("%s could not be terminated: %s", node_id, error)
        if errors:
            raise next(iter(errors.values()))

    def try_to_terminate(
        self, node_ids: Iterable[str], note: Callable[[str], None] = lambda _: None
    ) -> dict[str, Exception]:
        """Delete or stop nodes; return those that Google refused, each with its error.

        Args:
            node_ids: the nodes; all are tried, as a machine that was skipped would continue, and be paid for.
            note: is called with each that is deleted or stopped, as soon as it is.
        """

        def end(node_id: str) -> None:
            (self._stop if self._keep_stopped else self.delete)(node_id)
            note(node_id)

        return call_each(end, node_ids)[1]

    def delete(self, node_id: str) -> None:
        """Delete a node permanently."""
        logger.info("deleting %s", node_id)
        self._resource_of(node_id).delete(node_id)
        self._deleted.add(node_id)
        self._writer.forget(node_id)

    def _stop(self, node_id: str) -> None:
        # Asked, not read from the cache: a machine that is gone, or stopped already, is no error.
        node = self.ask(node_id)
        if node is None or node.is_terminated():
            return
        if TAG in node.get_labels():
            # Started again, it would come before the first capacity type of its order.
            self.delete(node_id)
        else:
            self._resource_of(node_id).stop(node_id)

    def _start_stopped(
        self, resource: Any, tags: dict[str, str], count: int, zones: Collection[str]
    ) -> tuple[list[str], list[str]]:
        """Start stopped nodes that were made for the same purpose, as Ray does, in some of the zones.

        Returns:
            Those that start, and those of which nobody knows whether they do.
        """
        if count <= 0:
            return [], []
        same = {key: value for key, value in tags.items() if key in _ray.gcp_reuse_tags()}
        # Listed under this lock: a list from before another launch has started a node would show it as stopped when
        # that launch counts on it no more, and both would count on it.
        with self._choosing:
            try:
                listed = resource.list_instances(same, is_terminated=True)
            except ListingFailedError as failed:
                logger.warning("stopped nodes could not be listed, new ones are created: %s", failed)
                return [], []
            free = [node["name"] for node in listed if _zone_in(node) in zones and node["name"] not in self._claimed]
            chosen = free[:count]
            self._claimed.update(chosen)
        try:
            started, errors = call_each(resource.start, chosen)
            for node_id, error in errors.items():
                logger.warning("%s could not be started again: %s", node_id, error)
            # A lost answer is a failure here, and may be none at Google.
            looks, _ = call_each(lambda name: looked_up(lambda: resource.get_instance(name)), errors)
        finally:
            with self._choosing:
                self._claimed.difference_update(chosen)
        running = [*started, *(name for name, alive in looks.items() if alive)]
        for node_id in running:
            self.set_tags(node_id, tags)
        return running, [name for name, alive in looks.items() if alive is None]

    def _ask_all(self) -> list[Any]:
        resources = list(self._resources())
        if len(resources) == 1:
            return list(resources[0].list_all())
        return [node for nodes in self._listers.map(lambda resource: resource.list_all(), resources) for node in nodes]

    def _merged(self, known: _CachedNode) -> dict[str, str]:
        return self._writer.merged(known.node["name"], known.node.get_labels(), known.asked_at)

    def _sweep(self, preempted: Iterable[Any]) -> None:
        """Delete, in the background, workers that Google has taken back; the next listing tries again."""
        kept = self._keep_stopped
        # A head is left to the person at `ray down`: deleted here, the cluster would be lost silently.
        ours = (node for node in preempted if not (kept and node.is_stopped()))
        names = {node["name"] for node in ours if not _ray.is_head(node.get_labels())}
        with self._lock:
            names -= self._sweeping
            self._sweeping |= names
        # In a thread of its own: a listing, which each round of the autoscaler waits for, must not wait for deletes.
        if names:
            logger.warning("Google has taken back or given up %s: deleting what is left", ", ".join(sorted(names)))
            threading.Thread(target=self._delete_swept, args=(names,), name="accel-gcp-sweep", daemon=True).start()

    def _delete_swept(self, names: set[str]) -> None:
        _, errors = call_each(self.delete, names)
        for node_id, error in errors.items():
            logger.warning("%s could not be deleted, the next listing tries again: %s", node_id, error)
        with self._lock:
            self._sweeping -= names


def _zone_in(node: Any) -> str:
    """Return the zone of a machine or slice, from its description."""
    name = str(node["name"])
    return name.split("/")[3] if name.startswith("projects/") else str(node.get("zone", "")).rsplit("/", 1)[-1]
