"""`remote`, `options`, `bundle` and `get_acc_ids`: accelerators in tasks and actors, whatever family they are of.

What is returned is Ray's own remote function or actor class, so that `.remote()` costs what it costs in Ray. Only where
the cluster must be asked first (no accelerator type, or several), something stands before it: ``late.Late``.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Unpack

    from accel_scaling._ray import RemoteDecorator
    from accel_scaling._ray.options import RayOptions
    from accel_scaling.accs.request import Asked


@overload
def remote(target: Callable[..., Any], /) -> Any: ...


@overload
def remote(
    *,
    num_accs: float | None = None,
    accelerator_type: str | Sequence[str] | None = None,
    **ray_options: Unpack[RayOptions],
) -> RemoteDecorator: ...


def remote(target: Callable[..., Any] | None = None, /, **given: Any) -> Any:
    """Make a function or a class remote, as `ray.remote` does, with accelerators of any family.

    Args:
        target: the function or class, where no arguments are given.
        given: ``num_accs``, ``accelerator_type``, as for ``options``; every other one is `ray.remote`'s.

    Returns:
        Ray's remote function or actor class; its `.options()` take the same arguments. Without an accelerator type,
        or with several, it asks the cluster at the first `.remote()`.

    Raises:
        AskingError: a number or a type that cannot be.
    """
    if target is not None:
        return _remote(target, given)
    if not given:
        raise TypeError("acc.remote() needs arguments, such as num_accs=1; or write @acc.remote without parentheses")
    from accel_scaling.accs.resolve import check, split

    asked, others = split(given)
    check(asked, others)  # where it is written, not where it is first used
    return functools.partial(_remote, given=given)


def options(
    *,
    num_accs: float | None = None,
    accelerator_type: str | Sequence[str] | None = None,
    **ray_options: Unpack[RayOptions],
) -> dict[str, Any]:
    """Return the same as options for `ray.remote(**...)`, `.options(**...)` and whatever takes Ray's options.

    Args:
        num_accs: how many accelerators, in units of the family's Ray resource (GPUs, Neuron cores, TPU chips of a
            host, ...); a fraction where the family shares devices.
        accelerator_type: what the node must announce; with a list, the best first, autoscaler v2 launches a node of
            the first type that is to be had. None: the one family that the cluster has or can launch.
        ray_options: passed through.

    Raises:
        AskingError: a number or a type that cannot be; no type, and the process is not connected to a cluster, or the
            cluster has several families.
    """
    from accel_scaling.accs.resolve import resolved, split

    asked, others = split({"num_accs": num_accs, "accelerator_type": accelerator_type, **ray_options})
    return resolved(asked, others, must_know=True)


def bundle(num_accs: float | None = None, accelerator_type: str | None = None, **resources: float) -> dict[str, float]:
    """Return the same as one bundle of `ray.util.placement_group`, or `resources_per_worker` of a trainer.

    Args:
        num_accs: as for ``options``.
        accelerator_type: as for ``options``; one.
        resources: the bundle's other resources, e.g. ``CPU=4``.

    Raises:
        AskingError: as for ``options``.
    """
    from accel_scaling.accs.request import bundle_of
    from accel_scaling.accs.resolve import resource_for, split

    asked, _ = split({"num_accs": num_accs, "accelerator_type": accelerator_type})
    return bundle_of(asked, resource_for(asked, must_know=True), resources)


def get_acc_ids() -> list[str]:
    """Return the ids of the accelerators that this task or actor was given; empty where it asked for none.

    A node has accelerators of one family, so the ids need no family beside them. They are what the family's visible
    devices variable holds, e.g. ``CUDA_VISIBLE_DEVICES``, in its order: the first is the framework's device 0.
    """
    import ray

    by_resource = ray.get_runtime_context().get_accelerator_ids()
    return [name for ids in by_resource.values() for name in ids]


def _remote(target: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    import ray

    from accel_scaling.accs.deferred_options import Late
    from accel_scaling.accs.resolve import resolved, split

    asked, others = split(given)
    if asked.by_cluster:
        return Late(target, asked, others)
    found = resolved(asked, others)
    made = ray.remote(**found)(target) if found else ray.remote(target)
    made.options = functools.partial(_options, made, asked, others)
    return made


def _options(made: Any, asked: Asked, others: Mapping[str, Any], **changes: Any) -> Any:
    """Do what `.options()` of Ray's remote function or actor class does, with our two arguments among them."""
    from accel_scaling.accs.request import WRITES, Asked
    from accel_scaling.accs.resolve import OURS, resolved

    own = type(made).options
    if not {*OURS, *WRITES} & changes.keys():
        return own(made, **changes)
    theirs = {name: value for name, value in changes.items() if name not in OURS}
    wanted = asked.changed(changes)
    if "num_accs" not in changes and theirs.keys() & {"num_gpus", "resources"}:
        wanted = Asked(types=wanted.types)  # the user counts in Ray's words here
    new = resolved(wanted, {**others, **theirs})
    before = resolved(asked, others)
    taken_back = {name: None for name in WRITES if name in before and name not in new}
    return own(made, **taken_back, **theirs | {name: new[name] for name in WRITES if name in new})
