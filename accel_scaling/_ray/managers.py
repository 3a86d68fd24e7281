"""Ray's accelerator managers: detection of devices, their ids, the names of their types."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def announce_accelerator_type(name: str) -> None:
    """Make Ray, in this process, announce ``name`` for the NVIDIA GPUs of this node instead of what it reads.

    For partitions: Ray reads `NVIDIA L4-3Q` as L4, and a task that asks for L4 must not be given an eighth of one.
    And for products that an older Ray has no name for.
    """
    from ray._private.accelerators import NvidiaGPUAcceleratorManager

    NvidiaGPUAcceleratorManager.get_current_node_accelerator_type = staticmethod(lambda: name)


def reads_otherwise(driver_names: Iterable[str], accelerator_type: str) -> bool:
    """Return whether the installed Ray makes another accelerator_type of these product names of NVIDIA's driver.

    Before 2.57 it makes ``RTX`` of all RTX PRO, which are several products.
    """
    read = nvidia_type_reader()
    return any(read(name) != accelerator_type for name in driver_names)


def nvidia_type_reader() -> Callable[[str], str | None]:
    """Return Ray's own rule from a driver's product name to an accelerator_type."""
    from ray._private.accelerators import NvidiaGPUAcceleratorManager

    reader: Callable[[str], str | None] = NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type  # noqa: SLF001
    return reader


def accelerator_manager(
    resource: str, variable: str, *, shared: bool, look: Callable[[], tuple[int, str | None]]
) -> type[Any]:
    """Return the class by which Ray detects a family's devices, gives out their ids and checks what is asked for.

    Args:
        resource: the family's Ray resource.
        variable: the environment variable that tells a process its devices.
        shared: whether a part of a device may be asked for.
        look: returns how many units this node has, and the accelerator type that it announces.
    """
    from ray._private.accelerators.accelerator import AcceleratorManager

    def whole(quantity: float) -> tuple[bool, str | None]:
        if float(quantity).is_integer() or (shared and quantity < 1):
            return True, None
        given = "as parts of one device or as whole devices" if shared else "as whole devices only"
        wrong = "neither" if shared else "not a whole number"
        return False, f"{resource} is given {given}, and {quantity} is {wrong}: ask for {max(round(quantity), 1)}"

    def visible() -> list[str] | None:
        # Ray tells the two apart: None does not restrict, an empty list leaves no device.
        ids = os.environ.get(variable)
        return None if ids is None else [device_id for device_id in ids.split(",") if device_id]

    def show(ids: list[str]) -> None:
        # The same switch as that of Ray's own managers, for programs that choose their devices themselves.
        if os.environ.get(f"RAY_EXPERIMENTAL_NOSET_{variable}", "0").lower() not in ("1", "true"):
            os.environ[variable] = ",".join(map(str, ids))

    answers: dict[str, Callable[..., Any]] = {
        "get_resource_name": lambda: resource,
        "get_visible_accelerator_ids_env_var": lambda: variable,
        "get_current_node_num_accelerators": lambda: look()[0],
        "get_current_node_accelerator_type": lambda: look()[1],
        "get_current_node_additional_resources": lambda: None,
        "validate_resource_request_quantity": whole,
        "get_current_process_visible_accelerator_ids": visible,
        "set_current_process_visible_accelerator_ids": show,
    }
    # Static: Ray calls its managers as classes, and never makes an object of one.
    statics = {name: staticmethod(function) for name, function in answers.items()}
    return type(f"{resource}AcceleratorManager", (AcceleratorManager,), statics)


def add_accelerator_managers(managers: Mapping[str, Callable[[], type[Any]]]) -> None:
    """Make Ray, in this process, know managers by their resources; one that it knows stays.

    A worker reads the variables once, when Ray is imported: where that is done, what it would have read is added.

    Args:
        managers: resource -> what makes its manager.
    """
    import ray._private.worker
    from ray._private import accelerators

    all_managers = accelerators.get_all_accelerator_managers
    ours: dict[str, type[Any]] | None = getattr(all_managers, "added_by_accel_scaling", None)
    if ours is None:
        ours = {}

        def with_ours() -> set[Any]:
            return {*all_managers(), *ours.values()}

        # On the function: a second call finds the mapping and adds to it, instead of wrapping the wrapper. Ray's
        # callers look the function up in its module at each call, so all of them get this one.
        with_ours.added_by_accel_scaling = ours  # type: ignore[attr-defined]
        accelerators.get_all_accelerator_managers = with_ours
    for resource in managers.keys() - ours.keys():
        ours[resource] = manager = managers[resource]()
        by_resource = accelerators.get_accelerator_manager_for_resource
        # Made when it is first asked for; what is not there yet will be made with ours.
        getattr(by_resource, "_resource_name_to_accelerator_manager", {})[resource] = manager
        worker = ray._private.worker.global_worker  # noqa: SLF001
        worker.original_visible_accelerator_ids[resource] = manager.get_current_process_visible_accelerator_ids()
