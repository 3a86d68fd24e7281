"""What is asked, made into Ray's options: by the catalog where a type is named, by the connected cluster where not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, families
from accel_scaling.accs import connected_cluster, quantities, types
from accel_scaling.accs.request import Asked, ray_options
from accel_scaling.errors import AskingError

if TYPE_CHECKING:
    from collections.abc import Mapping

OURS = ("num_accs", "accelerator_type")


def split(given: Mapping[str, Any]) -> tuple[Asked, dict[str, Any]]:
    """Return what is asked of us, and what passes through to Ray.

    Raises:
        AskingError: `accelerator_type` is no type and no list of types.
    """
    return Asked().changed(given), {name: value for name, value in given.items() if name not in OURS}


def check(asked: Asked, others: Mapping[str, Any]) -> None:
    """Refuse what no cluster can give.

    Raises:
        AskingError: a number or a type that cannot be.
    """
    if not asked.types and asked.num_accs is not None:
        quantities.check(asked.num_accs, "GPU")  # at least a number; which family it is of, the cluster says
    else:
        ray_options(asked, resource_for(asked), others, types.known_here())


def resolved(asked: Asked, others: Mapping[str, Any], *, must_know: bool = False) -> dict[str, Any]:
    """Return the options for Ray.

    Args:
        asked: the accelerators.
        others: the user's other options.
        must_know: refuse where the cluster has to be asked and none is connected; else connect to one.

    Raises:
        AskingError: as for ``options``.
    """
    found = ray_options(asked, resource_for(asked, must_know=must_know), others, types.known_here())
    if len(asked.types) > 1 and _ray.is_connected() and not connected_cluster.knows_preferences():
        raise AskingError(
            f"accelerator_type={list(asked.types)!r}: this cluster's autoscaler is v1, which knows no order of "
            "preference; name one accelerator_type, or launch the cluster with autoscaler v2"
        )
    return found


def resource_for(asked: Asked, *, must_know: bool = False) -> str:
    """Return the Ray resource of what is asked, having checked the number; arguments as ``resolved``."""
    if not asked.types and not asked.untyped:
        return ""
    if asked.types:
        resource = types.known_here().resource_of(asked.types)
    else:
        if must_know and not _ray.is_connected():
            raise AskingError(
                f"num_accs={asked.num_accs} without accelerator_type: which accelerators the cluster has is known "
                "after ray.init() only; call it before, or name an accelerator_type"
            )
        _ray.connect()
        resource = connected_cluster.families_here(types.known_here().chips).the_one(asked.num_accs or 0)
    if asked.num_accs is not None:
        _register(resource)
        quantities.check(asked.num_accs, resource)
    return resource


def _register(resource: str) -> None:
    """Tell Ray of the family whose resource this is, where Ray lacks it."""
    from accel_scaling.families.registry import registered_families

    if resource in registered_families():
        families.register()
