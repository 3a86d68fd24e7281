"""A remote function or class whose options the cluster decides: which family it has, whether it knows preferences."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.asking.resolve import OURS, check, resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.asking.request import Asked


class Late:
    """Stands where Ray's remote function or actor class would; makes that at the first use in a cluster."""

    def __init__(self, target: Callable[..., Any], asked: Asked, others: Mapping[str, Any]) -> None:
        self._target = target
        self._asked = asked
        self._others = dict(others)
        self._made: tuple[Any, Any] | None = None
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
        return {**self.__dict__, "_made": None}  # what was decided here need not hold where it is used next

    def _of_this_cluster(self) -> Any:
        import ray

        _ray.connect()
        here = _ray.cluster_and_job()
        if self._made is None or self._made[0] != here:
            found = resolved(self._asked, self._others)
            self._made = (here, ray.remote(**found)(self._target) if found else ray.remote(self._target))
        return self._made[1]
