"""A remote function or class whose options the cluster decides: which family it has, whether it knows preferences."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.accs.resolve import OURS, check, resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.accs.request import Asked


class Late:
    """Stands where Ray's remote function or actor class would; makes that at the first use in a cluster."""

    def __init__(self, target: Callable[..., Any], asked: Asked, others: Mapping[str, Any]) -> None:
        self._target = target
        self._asked = asked
        self._others = dict(others)
        self._worker: Any = (
            None  # this process's end of its connection, and what it is connected to; None: not asked yet
        )
        self._node: Any = None
        self._made: Any = None
        functools.update_wrapper(self, target, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse to be called here, as Ray's own do."""
        del args, kwargs
        name = self._target.__name__
        raise TypeError(f"{name} is remote: call {name}.remote(...)")

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Submit the task or create the actor.

        Raises:
            AskingError: the cluster has no accelerator, several families, or an autoscaler without preferences.
        """
        if self._worker is not None and self._worker.node is self._node:  # every call but the first in a cluster
            return self._made.remote(*args, **kwargs)
        return self._of_this_cluster().remote(*args, **kwargs)

    def options(self, **changes: Any) -> Any:
        """Return the same with other options, ours among them, for one call."""
        theirs = {name: value for name, value in changes.items() if name not in OURS}
        asked, others = self._asked.changed(changes), {**self._others, **theirs}
        check(asked, others)
        return Late(self._target, asked, others)

    def bind(self, *args: Any, **kwargs: Any) -> Any:
        """Return a node of Ray's DAG."""
        return self._of_this_cluster().bind(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        # What was decided here need not hold where it is used next.
        return {**self.__dict__, "_worker": None, "_node": None, "_made": None}

    def _of_this_cluster(self) -> Any:
        import ray

        _ray.connect()
        found = resolved(self._asked, self._others)
        self._made = ray.remote(**found)(self._target) if found else ray.remote(self._target)
        self._worker = _ray.worker()
        self._node = self._worker.node
        return self._made
