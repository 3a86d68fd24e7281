"""Turns a request for accelerators into Ray's options: at once, or at the first use in a connected cluster."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, families
from accel_scaling.accs import connected_cluster, types
from accel_scaling.accs.request import AccRequest, check_number, ray_options
from accel_scaling.errors import AskingError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OURS = ("num_accs", "accelerator_type")


def split(given: Mapping[str, Any]) -> tuple[AccRequest, dict[str, Any]]:
    """Return the request for accelerators, and the options that pass through to Ray.

    Raises:
        AskingError: `accelerator_type` is neither a type nor a list of types.
    """
    return AccRequest().changed(given), {name: value for name, value in given.items() if name not in OURS}


def check(request: AccRequest, others: Mapping[str, Any]) -> None:
    """Refuse a request that no cluster can fulfil.

    Raises:
        AskingError: the number or the type is not possible.
    """
    if not request.types and request.num_accs is not None:
        check_number(request.num_accs, "GPU")  # only that it is a number: the cluster decides which family is meant
    else:
        ray_options(request, resource_for(request), others, types.local_types())


def options_for_ray(request: AccRequest, others: Mapping[str, Any], *, must_know: bool = False) -> dict[str, Any]:
    """Return Ray's options for a request.

    Args:
        request: the accelerators.
        others: the user's other options.
        must_know: raise where the cluster must be asked and none is connected; otherwise connect to one.

    Raises:
        AskingError: as for ``options``.
    """
    options = ray_options(request, resource_for(request, must_know=must_know), others, types.local_types())
    if len(request.types) > 1 and _ray.is_connected() and not connected_cluster.supports_preferences():
        raise AskingError(
            f"accelerator_type={shown(list(request.types))}: this cluster's autoscaler is v1, which has no order of "
            "preference; name one accelerator_type, or launch the cluster with autoscaler v2"
        )
    return options


def resource_for(request: AccRequest, *, must_know: bool = False) -> str:
    """Return the Ray resource of a request, and check its number; arguments as ``options_for_ray``."""
    if not request.types and not request.untyped:
        return ""
    if request.types:
        resource = types.local_types().resource_of(request.types)
    else:
        if must_know and not _ray.is_connected():
            raise AskingError(
                f"num_accs={request.num_accs} without accelerator_type: the accelerators of the cluster are known "
                "only after ray.init(); call it first, or name an accelerator_type"
            )
        _ray.connect()
        resource = connected_cluster.families_here(types.local_types().chips).only_resource(request.num_accs or 0)
    if request.num_accs is not None:
        _register(resource)
        check_number(request.num_accs, resource)
    return resource


def _register(resource: str) -> None:
    """Register the family of a resource with Ray, where Ray lacks it."""
    from accel_scaling.families.registry import registered_families

    if resource in registered_families():
        families.register()


class DeferredRemote:
    """A remote function or class whose options depend on the cluster; it makes Ray's own at the first use there."""

    def __init__(self, target: Callable[..., Any], request: AccRequest, others: Mapping[str, Any]) -> None:
        self._target = target
        self._request = request
        self._others = dict(others)
        self._worker: Any = None  # this process's side of its connection, and the cluster's; None before the first use
        self._node: Any = None
        self._remote: Any = None
        # A class's __dict__ is not copied in here: a method of its own named `options` or `remote` would hide ours.
        functools.update_wrapper(self, target, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse a direct call, as Ray's remote functions do."""
        del args, kwargs
        name = self._target.__name__
        raise TypeError(f"{name} is remote: call {name}.remote(...)")

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Submit the task or create the actor.

        Raises:
            AskingError: the cluster has no accelerator, several families, or an autoscaler without preferences.
        """
        # Each `ray.init()` has a node object of its own: after another one, the cluster is asked again.
        if self._worker is not None and self._worker.node is self._node:  # every call after the first in a cluster
            return self._remote.remote(*args, **kwargs)
        return self._of_this_cluster().remote(*args, **kwargs)

    def options(self, **changes: Any) -> Any:
        """Return the same with other options, ours included, for one call."""
        ray_changes = {name: value for name, value in changes.items() if name not in OURS}
        request, others = self._request.changed(changes), {**self._others, **ray_changes}
        check(request, others)
        return DeferredRemote(self._target, request, others)

    def bind(self, *args: Any, **kwargs: Any) -> Any:
        """Return a node of Ray's DAG."""
        return self._of_this_cluster().bind(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        # The next process may be connected to another cluster.
        return {**self.__dict__, "_worker": None, "_node": None, "_remote": None}

    def _of_this_cluster(self) -> Any:
        import ray

        _ray.connect()
        options = options_for_ray(self._request, self._others)
        self._remote = ray.remote(**options)(self._target) if options else ray.remote(self._target)
        self._worker = _ray.worker()
        self._node = self._worker.node
        return self._remote
