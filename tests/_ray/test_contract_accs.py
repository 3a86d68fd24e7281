"""What we take for granted of Ray where tasks ask for accelerators: one test per assumption, each saying who breaks."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest
import ray

from accel_scaling import _ray
from accel_scaling._ray import options
from accel_scaling.accs.request import check_number
from accel_scaling.errors import AskingError
from accel_scaling.families.registry import built_in


def managers() -> dict[str, Any]:
    """One manager of Ray's for each resource; those that share GPU agree on quantities."""
    from ray._private.accelerators import get_all_accelerator_managers

    return {manager.get_resource_name(): manager for manager in get_all_accelerator_managers()}


@pytest.mark.since(2, 57)
def test_our_option_names_are_rays_but_for_accelerator_type() -> None:
    from ray._common.ray_option_utils import valid_options

    ours = options.RayOptions.__annotations__.keys() | {"accelerator_type"}
    assert ours == valid_options.keys(), "Ray's options changed: _ray/options.py must name the same"


def test_our_option_names_have_those_of_every_older_ray() -> None:
    from ray._common.ray_option_utils import valid_options

    ours = options.RayOptions.__annotations__.keys() | {"accelerator_type"}
    assert valid_options.keys() - ours <= {"_metadata"}, "_metadata is of 2.50, and for Ray itself"


@pytest.mark.parametrize("amount", [0, 0.5, 1, 1.0, 1.5, 2, 3, 4, 8, 16])
def test_what_we_accept_rays_managers_accept_and_what_they_refuse_we_refuse(amount: float) -> None:
    for resource, manager in managers().items():
        accepted, sentence = manager.validate_resource_request_quantity(amount)
        try:
            check_number(amount, resource)
        except AskingError as error:
            # Ray's own refusal of 1.5 GPUs comes later, in _raylet's prepare_resources; none of a TPU is none.
            assert not accepted or amount == 1.5, f"{resource}: we refuse {amount} ({error}), and Ray takes it"
        else:
            assert accepted or amount == 0, f"{resource}: Ray refuses {amount}, and we take it: {sentence}"


def test_the_resources_that_no_manager_hands_out_are_whole() -> None:
    whole = {family.resource for family in built_in() if not family.shared and not family.quantities}
    later = {family.resource for family in built_in() if family.ray_since and not family.in_ray}
    assert whole - managers().keys() - later == {"FPGA", "MEDIA", "QAIC"}


@pytest.mark.since(2, 51)
def test_fallbacks_take_label_selectors_only_so_all_choices_have_one_resource() -> None:
    from ray._private.label_utils import validate_fallback_strategy

    assert validate_fallback_strategy([{"label_selector": {"a": "b"}}]) is None
    assert validate_fallback_strategy([{"num_gpus": 1}]) is not None, (
        "Ray's fallbacks take resources now: a list of types may be of several families"
    )


def test_options_are_a_method_that_an_attribute_can_replace() -> None:
    from ray.actor import ActorClass
    from ray.remote_function import RemoteFunction

    for kind in (RemoteFunction, ActorClass):
        assert inspect.isfunction(kind.options), f"{kind.__name__}.options is no method: asking.remote sets it"
    for made in (ray.remote(int), ray.remote(managers)):
        made.options = made.options  # an AttributeError here: asking.remote can put nothing before Ray's own


@pytest.mark.parametrize(
    ("path", "version"), [("autoscaler/v2/monitor.py", "v2"), ("autoscaler/_private/monitor.py", "v1")]
)
def test_the_autoscalers_version_is_in_its_path(monkeypatch: pytest.MonkeyPatch, path: str, version: str) -> None:
    monkeypatch.setattr(sys, "argv", [f"/x/ray/autoscaler/{path}", "--logs-dir=/tmp"])
    assert _ray.autoscaler_version() == version


def test_the_autoscalers_client_of_the_store_is_found_in_its_callers() -> None:
    from ray._raylet import GcsClient, InnerGcsClient
    from ray.autoscaler._private import monitor
    from ray.autoscaler.v2 import monitor as monitor_v2

    for module in (monitor_v2.AutoscalerMonitor, monitor.Monitor):
        assert "self.gcs_client = GcsClient(" in inspect.getsource(module.__init__), (
            f"{module.__name__} keeps its client elsewhere: _ray.autoscaler_kv_put finds none"
        )
    assert hasattr(GcsClient, "__getattr__")
    assert hasattr(InnerGcsClient, "internal_kv_put"), "Ray's client writes to the store by another name"
    written: list[Any] = []

    class Client:
        def internal_kv_put(self, *words: Any) -> None:
            written.append(words)

    class Monitor:
        def __init__(self) -> None:
            self.gcs_client = Client()

        def makes_its_provider(self) -> None:
            _ray.autoscaler_kv_put("k", "v")

    Monitor().makes_its_provider()
    assert written == [(b"k", b"v", True, b"accel_scaling")]
    with pytest.raises(RuntimeError, match="no client of the cluster's key-value store"):
        _ray.autoscaler_kv_put("k", "v")


def test_type_checkers_find_what_ray_remote_returns() -> None:
    from ray._private.worker import RemoteDecorator

    assert callable(RemoteDecorator), "Ray has no RemoteDecorator: the types of acc.remote are gone"


def test_each_connection_has_a_node_of_its_own() -> None:
    from ray._private import worker

    assert "global_worker.node = None" in inspect.getsource(worker.shutdown) or "node = None" in inspect.getsource(
        worker.disconnect
    ), "Ray keeps its node over a shutdown: asking.late would take one cluster for another"
    assert _ray.worker() is worker.global_worker


@pytest.mark.slow
@pytest.mark.usefixtures("two_t4")
def test_a_connected_process_reads_its_clusters_nodes_and_its_store() -> None:
    from ray.experimental import internal_kv

    _ray.connect()  # it is; Ray's own auto_init_ray does nothing then
    assert _ray.is_connected()
    assert [node["GPU"] for node in _ray.nodes_resources()] == [2]
    assert _ray.kv_get("nobody wrote this") is None
    client = internal_kv.internal_kv_get_gcs_client()
    client.internal_kv_put(b"written", b"{}", True, _ray.KV_NAMESPACE)
    assert _ray.kv_get("written") == "{}", "what the autoscaler's client writes is not what a driver reads"
