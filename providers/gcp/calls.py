"""Calls to Google's APIs: the meaning of a failure, many calls at once, and a listing over several zones.

The meaning of an error code is a row of catalogs/gcp_launch_errors.csv.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import httplib2
from google.auth.exceptions import GoogleAuthError, TransportError
from googleapiclient.errors import HttpError

from accel_scaling import timeouts
from accel_scaling.catalog.launch_errors import Category, Failure, classified
from accel_scaling.message_text import shown
from accel_scaling.providers.gcp.errors import sentence_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")
R = TypeVar("R")

# Which nodes stand for one another: the values of the tags by which a stopped node is known (_ray.gcp_reuse_tags).
Purpose = tuple[str, ...]


class OperationFailedError(Exception):
    """An operation that Google accepted and could not carry out."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


# What a lost or silent connection raises; whether the request was carried out is not known then.
BROKEN = (OSError, httplib2.HttpLib2Error, http.client.HTTPException, TransportError)


def of_exception(error: BaseException) -> Failure:
    """Return what an exception of a call or an operation means."""
    if isinstance(error, OperationFailedError):
        return error.failure
    if isinstance(error, HttpError):
        return _of_http(error)
    if isinstance(error, BROKEN):
        return Failure(Category.UNAVAILABLE, type(error).__name__, str(error) or "no answer from Google")
    if isinstance(error, GoogleAuthError):
        return Failure(Category.PERMISSION, type(error).__name__, sentence_of(error) or str(error))
    return Failure(Category.UNKNOWN, type(error).__name__, str(error))


def reason_of(error: BaseException) -> str:
    """Return why a call failed, as the end of a sentence: with its remedy, or in Google's words."""
    if not isinstance(error, (OperationFailedError, HttpError)) and (sentence := sentence_of(error)):
        return sentence
    failure = of_exception(error)
    return f"{failure.category.value}: Google says: {failure}"


def of_operation(error: Any) -> Failure:
    """Return what the ``error`` of an operation means, of Compute Engine (a list) or of Cloud TPU (a code)."""
    if not isinstance(error, dict):
        return Failure(Category.UNKNOWN, "no reason given", shown(error))
    failures = []
    for entry in mappings(error.get("errors")) or [error]:
        codes = [str(entry.get("code", "")), *_reasons(entry.get("errorDetails") or entry.get("details"))]
        failures.append(classified("gcp", [code for code in codes if code], str(entry.get("message", ""))))
    # Bulk creation puts "too few were created" beside the reason.
    return next((failure for failure in failures if failure.category is not Category.UNKNOWN), failures[0])


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error, None where it has none."""
    return int(error.resp.status) if isinstance(error, HttpError) else None


def may_pass(error: BaseException) -> bool:
    """Return whether the same call may succeed a moment later: 5xx, too many calls, a broken connection."""
    if isinstance(error, BROKEN):
        return True
    category = of_exception(error).category
    return category is Category.THROTTLED or category is Category.UNAVAILABLE


def _of_http(error: HttpError) -> Failure:
    status = str(error.resp.status)
    try:
        content = json.loads(error.content)["error"]
    except (ValueError, KeyError, TypeError):
        return classified("gcp", [status], str(error.reason or error))
    if not isinstance(content, dict):
        return classified("gcp", [status], str(content))
    # The detailed reasons go before the status: a status such as 403 stands for a missing permission and for a quota.
    listed = [str(entry.get("reason", "")) for entry in mappings(content.get("errors"))]
    codes = [*listed, *_reasons(content.get("details"))]
    # Behind a 5xx the canonical status says less than the number.
    codes += [status] if status.startswith("5") else [str(content.get("status", "")), status]
    return classified("gcp", [code for code in codes if code], str(content.get("message", "")))


def _reasons(details: Any) -> list[str]:
    infos = [detail.get("errorInfo", detail) for detail in mappings(details)]
    return [str(info["reason"]) for info in mappings(infos) if info.get("reason")]


def mappings(value: Any) -> list[dict[str, Any]]:
    """Return the mappings of a list; none where it is no list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def call_each(
    function: Callable[[T], R], items: Iterable[T], *, pool: ThreadPoolExecutor | None = None
) -> tuple[dict[T, R], dict[T, Exception]]:
    """Call ``function`` with each item, many at once; return the results, and what the others raised.

    Args:
        function: what to call.
        items: what to call it with; each once, though it is named twice.
        pool: the threads to use; new ones where it is None.
    """
    results: dict[T, R] = {}
    errors: dict[T, Exception] = {}

    def call(item: T) -> None:
        try:
            results[item] = function(item)
        except Exception as error:  # noqa: BLE001 - handed to the caller, who has the other results too
            errors[item] = error

    # A machine that is named twice must not be deleted, or written, by two threads at once.
    todo = list(dict.fromkeys(items))
    if len(todo) <= 1:
        for item in todo:
            call(item)
        return results, errors
    if pool is not None:
        list(pool.map(call, todo))
        return results, errors
    with ThreadPoolExecutor(min(timeouts.GCP_PARALLEL, len(todo)), thread_name_prefix="accel-gcp") as threads:
        list(threads.map(call, todo))
    return results, errors


def retry_on_conflict(change: Callable[[], T], is_conflict: Callable[[Exception], bool]) -> T:
    """Make a change that reads first, again where another change came between; return what it returns.

    Args:
        change: reads and writes.
        is_conflict: says whether what it raised means that another change came between.

    Raises:
        Exception: what ``change`` raised for another reason, or at the last try (GCP_CONFLICT_TRIES).
    """
    for attempt in range(1, timeouts.GCP_CONFLICT_TRIES):
        try:
            return change()
        except Exception as error:
            if not is_conflict(error):
                raise
        time.sleep(attempt * timeouts.GCP_CONFLICT_WAIT_S)
    return change()


def looked_up(ask: Callable[[], Any]) -> bool | None:
    """Return whether a node exists, as a question about it is answered; None where Google does not answer."""
    try:
        return not ask().is_terminated()
    except Exception as error:  # noqa: BLE001 - whatever it is, nobody knows then
        return False if status_of(error) == 404 else None


class ListingFailedError(Exception):
    """A zone could not be asked for its nodes, so nobody knows all of them."""


class ZonalResource:
    """The listings of a resource that lives in several zones; `_list_zone` asks one of them for all pages."""

    KIND = ""

    def _set_zones(self, zones: Sequence[str]) -> None:
        self.zones = list(zones)
        # Of their own, and kept: a listing waits for nothing else, and its connections stay open.
        self._listers = ThreadPoolExecutor(len(self.zones), thread_name_prefix="accel-gcp-list")
        # Asked for, and nobody knows whether they exist: name -> what for. One item is written or taken at a time.
        self._held: dict[str, Purpose] = {}
        self._settling = threading.Lock()

    def hold(self, purpose: Purpose, node_ids: Iterable[str]) -> None:
        """Remember nodes of which Google did not say whether they exist: they are not asked for a second time."""
        self._held.update(dict.fromkeys(node_ids, purpose))

    def settle(self, purpose: Purpose) -> tuple[list[str], list[str]]:
        """Ask about the nodes that are held for a purpose; return those that exist, and those that are held still."""
        # One launch at a time: two at once must not both count on what is found.
        with self._settling:
            mine = [node_id for node_id, held_for in list(self._held.items()) if held_for == purpose]
            found, _ = call_each(lambda node_id: looked_up(lambda: self.get_instance(node_id)), mine)
            for node_id, exists in found.items():
                if exists is not None:
                    self._held.pop(node_id, None)
        return (
            [node_id for node_id, exists in found.items() if exists],
            [node_id for node_id, exists in found.items() if exists is None],
        )

    def get_instance(self, node_id: str) -> Any:
        """Return one node, asked for now."""
        raise NotImplementedError

    def last_seen(self, node_id: str) -> Any | None:
        """Return a node that is gone, as it was when it ended, where this resource keeps that; None for any other."""
        del node_id
        return None

    def list_all(self) -> list[Any]:
        """Return every node of the cluster, stopped ones too.

        Raises:
            ListingFailedError: one of the zones could not be asked.
        """
        nodes, errors = self.list_each_zone()
        # A listing that lacks a zone would look as if the nodes there were gone, and the autoscaler would replace them.
        for sentence, error in errors.items():
            raise ListingFailedError(sentence) from error
        return nodes

    def list_each_zone(self) -> tuple[list[Any], dict[str, Exception]]:
        """Return the cluster's nodes, stopped ones too; and a sentence with its error for each zone that failed."""
        nodes_in, errors = call_each(self._list_zone, self.zones, pool=self._listers)
        sentences = dict[str, Exception]()
        for zone, error in errors.items():
            key = f"provider.availability_zone {zone}"
            sentences[f"{key}: the cluster's nodes there ({self.KIND}) could not be listed: {reason_of(error)}"] = error
        return [node for zone in self.zones for node in nodes_in.get(zone, [])], sentences

    def list_instances(
        self,
        label_filters: dict[str, str] | None = None,
        is_terminated: bool = False,  # noqa: FBT001, FBT002 - as Ray calls it
    ) -> list[Any]:
        """Return the nodes with these tags, as Ray's do: those that exist, or those that are stopped."""
        filters = (label_filters or {}).items()
        return [
            node
            for node in self.list_all()
            if (node.is_stopped() if is_terminated else not node.is_terminated())
            and filters <= node.get_labels().items()
        ]

    def _list_zone(self, zone: str) -> list[Any]:
        raise NotImplementedError
