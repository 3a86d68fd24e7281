"""All options of `ray.remote` besides ours, for type checkers; a test compares the names with Ray's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence


class RayOptions(TypedDict, total=False):
    """The options that pass through to Ray unchanged; `ray.remote` documents them."""

    num_cpus: float | None
    num_gpus: float | None
    memory: float | None
    object_store_memory: int | None
    resources: dict[str, float] | None
    label_selector: dict[str, str] | None
    fallback_strategy: list[dict[str, Any]] | None
    runtime_env: dict[str, Any] | None
    scheduling_strategy: Any
    name: str | None
    namespace: str | None
    lifetime: str | None
    num_returns: int | str | None
    max_calls: int
    max_retries: int | None
    retry_exceptions: bool | Sequence[type[Exception]]
    max_restarts: int
    max_task_retries: int
    max_concurrency: int
    max_pending_calls: int
    concurrency_groups: list[Any] | dict[str, Any] | None
    allow_out_of_order_execution: bool | None
    enable_task_events: bool | None
    enable_tensor_transport: bool | None
    get_if_exists: bool
    placement_group: Any
    placement_group_bundle_index: int
    placement_group_capture_child_tasks: bool | None
    _labels: dict[str, str] | None
    _num_objects_per_yield: int | None
    _generator_backpressure_num_objects: int | None
    _actor_generator_backpressure_num_objects: int | None
