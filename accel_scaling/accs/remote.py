"""`remote`, `options`, `bundle` and `get_acc_ids`: accelerators of any family in tasks and actors.

They return Ray's own remote function or actor class, so `.remote()` is as fast as in Ray. Only where the cluster
must be asked first (no accelerator type, or several), a ``resolve.DeferredRemote`` is used.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Unpack

    from accel_scaling._ray import RemoteDecorator
    from accel_scaling._ray.options import RayOptions
    from accel_scaling.accs.request import AccRequest


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
        target: the function or class, where the decorator has no arguments.
        given: ``num_accs``, ``accelerator_type``, as for ``options``; all others are `ray.remote`'s.

    Returns:
        Ray's remote function or actor class; its `.options()` take the same arguments. Without an accelerator type,
        or with several, it asks the cluster at the first `.remote()`.

    Raises:
        AskingError: the number or the type is not possible.
    """
    if target is not None:
        return _remote(target, given)
    if not given:
        raise TypeError("acc.remote() needs arguments, such as num_accs=1; or write @acc.remote without parentheses")
    from accel_scaling.accs.resolve import check, split

    request, others = split(given)
    check(request, others)  # an error shows where the decorator is written, not where the task is first used
    return functools.partial(_remote, given=given)


def options(
    *,
    num_accs: float | None = None,
    accelerator_type: str | Sequence[str] | None = None,
    **ray_options: Unpack[RayOptions],
) -> dict[str, Any]:
    """Return a request for accelerators as options for `ray.remote(**...)`, `.options(**...)` and similar.

    Args:
        num_accs: how many accelerators, in units of the family's Ray resource (GPUs, Neuron cores, TPU chips of a
            host, ...); a fraction where the family shares devices.
        accelerator_type: the type that the node must announce. With a list, the best first, autoscaler v2 launches a
            node of the first type that is available. None: the only family that the cluster has or can launch.
        ray_options: passed through.

    Raises:
        AskingError: the number or the type is not possible; or there is no type, and the process is not connected to a
            cluster or the cluster has several families.
    """
    from accel_scaling.accs.resolve import options_for_ray, split

    request, others = split({"num_accs": num_accs, "accelerator_type": accelerator_type, **ray_options})
    return options_for_ray(request, others, must_know=True)


def bundle(num_accs: float | None = None, accelerator_type: str | None = None, **resources: float) -> dict[str, float]:
    """Return a request for accelerators as a bundle of `ray.util.placement_group`, or as a trainer's
    `resources_per_worker`.

    Args:
        num_accs: as for ``options``.
        accelerator_type: as for ``options``; one type only.
        resources: the bundle's other resources, e.g. ``CPU=4``.

    Raises:
        AskingError: as for ``options``.
    """
    from accel_scaling.accs.request import bundle_of
    from accel_scaling.accs.resolve import resource_for, split

    request, _ = split({"num_accs": num_accs, "accelerator_type": accelerator_type})
    return bundle_of(request, resource_for(request, must_know=True), resources)


def get_acc_ids() -> list[str]:
    """Return the ids of the accelerators of this task or actor; empty where it asked for none.

    A node has accelerators of one family, so the ids need no family. They are the values of the family's variable for
    visible devices, e.g. ``CUDA_VISIBLE_DEVICES``, in its order: the first is the framework's device 0.
    """
    import ray

    by_resource = ray.get_runtime_context().get_accelerator_ids()
    return [name for ids in by_resource.values() for name in ids]


def _remote(target: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    import ray

    from accel_scaling.accs.resolve import DeferredRemote, options_for_ray, split

    request, others = split(given)
    if request.by_cluster:
        return DeferredRemote(target, request, others)
    ray_options = options_for_ray(request, others)
    remote_target = ray.remote(**ray_options)(target) if ray_options else ray.remote(target)
    # Ray's own object is returned and not a wrapper: Ray and libraries check its class.
    remote_target.options = functools.partial(_options, remote_target, request, others)
    return remote_target


def _options(remote_target: Any, request: AccRequest, others: Mapping[str, Any], **changes: Any) -> Any:
    """Do the work of `.options()` of Ray's remote function or actor class, with our two arguments."""
    from accel_scaling.accs.request import WRITES, AccRequest
    from accel_scaling.accs.resolve import OURS, options_for_ray

    # Of the class: the object's own `options` is this function.
    rays_options = type(remote_target).options
    if not {*OURS, *WRITES} & changes.keys():
        return rays_options(remote_target, **changes)
    ray_changes = {name: value for name, value in changes.items() if name not in OURS}
    changed = request.changed(changes)
    if "num_accs" not in changes and ray_changes.keys() & {"num_gpus", "resources"}:
        changed = AccRequest(types=changed.types)  # the user gives the number as one of Ray's options
    new = options_for_ray(changed, {**others, **ray_changes})
    before = options_for_ray(request, others)
    # Ray adds these options to those of the decorator: what only the old request wrote must be unset.
    removed = {name: None for name in WRITES if name in before and name not in new}
    return rays_options(remote_target, **removed, **ray_changes | {name: new[name] for name in WRITES if name in new})
