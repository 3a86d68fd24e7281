"""A plug-in family in a real Ray on this machine: ids and the variable in tasks, parts of devices, users' settings."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accel_scaling import _ray
from accel_scaling.boot import bundle
from accel_scaling.testing.devices.device_files import install
from accel_scaling.testing.devices.ec2_machines import hardware_of
from tests.support.plugins import install_example, seen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# What every driver here has: two ways to look from inside, and an answer as the last line.
HEAD = """
import json, os, sys
import ray
from accel_scaling.families import register

def ids():
    return ray.get_runtime_context().get_accelerator_ids()["FERRUM"], os.environ.get("FERRUM_VISIBLE_DEVICES")

@ray.remote(num_cpus=0)
class Holder:
    def ids(self):
        return ids()

    def killed(self):
        os.kill(os.getpid(), 9)

register()
"""

ALONE = (
    HEAD
    + """
def hook():
    os.environ["OF_THE_HOOK"] = "ran"

ray.init(
    num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[1],
    runtime_env={"worker_process_setup_hook": hook},
)
answers = {"resources": ray.cluster_resources()}
one = ray.remote(num_cpus=0, resources={"FERRUM": 1})(ids)
answers["one"] = ray.get(one.remote())
four = [Holder.options(resources={"FERRUM": 1}).remote() for _ in range(4)]
answers["four"] = ray.get([holder.ids.remote() for holder in four])
ray.kill(four[2])
answers["again"] = ray.get(one.remote())
four[0].killed.remote()  # SIGKILL: nothing in the worker can give the device back
two = ray.remote(num_cpus=0, resources={"FERRUM": 2})(ids)
answers["after_sigkill"] = ray.get(two.remote())  # two are free only when the killed one's is
for holder in (four[1], four[3]):
    ray.kill(holder)
halves = [Holder.options(resources={"FERRUM": 0.5}).remote() for _ in range(2)]
answers["halves"] = ray.get([holder.ids.remote() for holder in halves])
for holder in halves:
    ray.kill(holder)
answers["two"] = ray.get(two.remote())
none = ray.remote(num_cpus=0)(ids)
answers["none"] = ray.get(none.remote())

def both():
    return ids(), os.environ.get("OF_THE_HOOK"), os.environ.get("OF_THE_USER"), sys.path

theirs = {"env_vars": {"OF_THE_USER": "set", "PYTHONPATH": "${PYTHONPATH}:/theirs"}}
answers["theirs"] = ray.get(ray.remote(num_cpus=0, resources={"FERRUM": 1}, runtime_env=theirs)(both).remote())
left_alone = {"env_vars": {"RAY_EXPERIMENTAL_NOSET_FERRUM_VISIBLE_DEVICES": "1"}}
answers["noset"] = ray.get(ray.remote(num_cpus=0, resources={"FERRUM": 1}, runtime_env=left_alone)(ids).remote())
group = ray.util.placement_group([{"FERRUM": 2}])
ray.get(group.ready())
placed = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group)
answers["group"] = ray.get(two.options(scheduling_strategy=placed).remote())
answers["refused"] = []
for quantity in (1.5, 0.5, 2, 0.00001):
    try:
        ray.remote(resources={"FERRUM": quantity})(ids)
    except ValueError as error:
        answers["refused"].append([quantity, str(error)])
import accel_scaling.errors
import accel_scaling as acc
typed = acc.remote(num_accs=2, accelerator_type="Ferrum-N1", num_cpus=0)(acc.get_acc_ids)
untyped = acc.remote(num_accs=0.5, num_cpus=0)(acc.get_acc_ids)
answers["acc"] = [len(ray.get(one.remote())) for one in (typed, untyped, typed.options(num_accs=1))]
try:
    typed.options(num_accs=1.5)
except acc.errors.AskingError as error:
    answers["acc"].append(str(error))
ray.shutdown()
print(json.dumps(answers))
"""
)

NARROWED = (
    HEAD
    + """
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[1])
holders = [Holder.options(resources={"FERRUM": 1}).remote() for _ in range(2)]
answers = {"units": ray.cluster_resources()["FERRUM"], "ids": ray.get([holder.ids.remote() for holder in holders])}
ray.shutdown()
print(json.dumps(answers))
"""
)

STARTED = (
    HEAD
    + """
ray.init(address=sys.argv[1], log_to_driver=False)
answers = {"resources": ray.cluster_resources(), "labels": ray.nodes()[0]["Labels"]}
answers["one"] = ray.get(ray.remote(num_cpus=0, resources={"FERRUM": 1})(ids).remote())
answers["preloaded"] = ray.get(ray.remote(num_cpus=0)(lambda: "this" in sys.modules).remote())
print(json.dumps(answers))
"""
)


@pytest.fixture(name="environment", scope="module")
def environment_fixture(tmp_path_factory) -> dict[str, str]:
    """Of a machine with four devices, where the example is installed."""
    site = install_example(tmp_path_factory.mktemp("site"))
    root = tmp_path_factory.mktemp("machine")
    with seen(site):
        devices = install(root, hardware_of("fe1.4xlarge"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {
        **inherited,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        _ray.PRESTARTED_WORKERS: "0",
        "HOME": str(root),
        **devices,
        "PYTHONPATH": str(site),
    }


@pytest.fixture(name="short", scope="module")
def short_fixture() -> Iterator[Path]:
    """A short folder: Ray's sockets lie below it."""
    with tempfile.TemporaryDirectory(prefix="accel-t-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def run(code: str, argument: str, environment: dict[str, str], **more: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code, argument],
        env={**environment, **more}, capture_output=True, text=True, check=False, timeout=240, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(name="alone", scope="module")
def alone_fixture(environment, short) -> dict[str, Any]:
    """What a driver with a Ray of its own (`ray.init()`) saw."""
    return run(ALONE, str(short / "alone"), environment)


def test_ray_detects_the_devices_and_their_type(alone):
    assert alone["resources"]["FERRUM"] == 4
    assert alone["resources"]["accelerator_type:Ferrum-N1"] == 1


def test_a_task_gets_its_id_and_the_variable(alone):
    (device,), variable = alone["one"]
    assert device in {"0", "1", "2", "3"}
    assert variable == device


def test_four_actors_get_a_device_each(alone):
    assert sorted(ids for ids, _ in alone["four"]) == [["0"], ["1"], ["2"], ["3"]]
    assert all(variable == ",".join(ids) for ids, variable in alone["four"])


def test_the_device_of_an_actor_that_died_is_given_to_the_next(alone):
    assert alone["again"] == alone["four"][2]


def test_the_device_of_a_worker_that_was_killed_comes_back_and_none_that_is_owned_is_given(alone):
    free = {*alone["four"][0][0], *alone["four"][2][0]}
    assert set(alone["after_sigkill"][0]) == free


def test_two_halves_share_one_device(alone):
    (first, _), (second, _) = alone["halves"]
    assert first == second
    assert len(first) == 1


def test_a_task_may_have_two_devices_and_one_without_any_is_told_of_none(alone):
    ids, variable = alone["two"]
    assert len(set(ids)) == 2
    assert variable == ",".join(ids)
    assert alone["none"][0] == []


def test_the_users_hook_and_environment_are_kept_beside_ours(alone):
    (ids, variable), of_hook, of_user, path = alone["theirs"]
    assert "/theirs" in path
    assert len(ids) == 1
    assert (variable, of_hook, of_user) == (ids[0], "ran", "set")


def test_a_user_who_sets_the_variable_himself_may_tell_ray_not_to(alone):
    ids, variable = alone["noset"]
    assert len(ids) == 1
    assert variable is None


def test_a_placement_groups_bundle_gives_ids_too(alone):
    assert len(set(alone["group"][0])) == 2


def test_a_wrong_quantity_is_refused_in_the_driver(alone):
    (first, second) = alone["refused"]
    assert first[0] == 1.5
    assert re.search(
        r"FERRUM is given as parts of one device or as whole devices, and 1\.5 is neither: ask for 2", first[1]
    )
    assert second[0] == 0.00001


def test_num_accs_asks_for_them_as_for_those_that_ship(alone):
    *devices, refused = alone["acc"]
    assert devices == [2, 1, 1], "two by the type, a half without one, one by options"
    assert refused == "num_accs=1.5: above 1, Ray accepts whole numbers only; ask for 1 or 2"


def test_a_narrowed_variable_narrows_the_node_and_the_ids(environment, short):
    seen = run(NARROWED, str(short / "narrow"), environment, FERRUM_VISIBLE_DEVICES="2,3")
    assert seen["units"] == 2
    assert sorted(ids for ids, _ in seen["ids"]) == [["2"], ["3"]]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_node_that_ray_start_starts_behind_the_hook_has_it_all(environment, short, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(environment["PYTHONPATH"])
        built = bundle.content_of(bundle.build(tmp_path_factory.mktemp("cache")))
    port = free_port()
    on_node = {
        **environment,
        "PYTHONPATH": str(built),
        "RAY_START_HOOK": "accel_scaling.boot.start_hook.run",
        "RAY_OVERRIDE_RESOURCES": json.dumps({"FERRUM": 4, "accelerator_type:Ferrum-N1": 1}),
        "RAY_preload_python_modules": "this",
    }
    words = [
        *(Path(sys.executable).with_name("ray"), "start", "--head", "--block", f"--port={port}"),
        *("--node-ip-address=127.0.0.1", "--include-dashboard=false", "--dashboard-agent-listen-port=0"),
        *(f"--ray-client-server-port={free_port()}", "--num-cpus=2", f"--temp-dir={short / 'started'}"),
    ]
    started = subprocess.Popen(
        words, env=on_node, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said = []
        for line in started.stdout or ():
            said.append(line)
            if "--block" in line:
                break
        assert any("Confirmed: promised 4 FERRUM of Ferrum-N1" in line for line in said), "".join(said)
        seen = run(STARTED, f"127.0.0.1:{port}", on_node)
    finally:
        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=60)
    assert seen["resources"]["FERRUM"] == 4
    assert seen["labels"]["accel-scaling.io/verdict"] == "Confirmed"
    (device,), variable = seen["one"]
    assert variable == device
    assert seen["preloaded"], "the modules that the user has preloaded are gone"
