"""What we take for granted about Ray on a node: its start, its detection, and what `ray up` says when that fails.

The rest of tests/_ray/test_contract.py; here Ray's own code runs as it does on a node.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from accel_scaling import _ray
from accel_scaling.boot import bundle


def test_a_failed_command_on_a_node_is_a_click_exception():
    from ray.autoscaler._private.command_runner import SSHCommandRunner

    def fails(*_, **__):
        raise subprocess.CalledProcessError(3, "ray start")

    runner = object.__new__(SSHCommandRunner)
    runner.process_runner = SimpleNamespace(check_call=fails, check_output=fails)
    for with_output in (False, True):
        with pytest.raises(Exception, match="failed") as raised:
            runner._run_helper(["ssh"], with_output=with_output)
        assert isinstance(raised.value, click.ClickException), (
            f"a failed command raises {raised.type.__name__}: base/command_runner.py waits for click.ClickException"
        )


def test_rays_updater_prints_command_code_and_reason_of_a_refused_node(capfd):
    from ray.autoscaler._private.updater import NodeUpdater

    from accel_scaling.providers.base.command_runner import NodeRefusedError

    def refuse():
        raise NodeRefusedError("NoDevice: promised 8 x A100")

    updater = object.__new__(NodeUpdater)
    updater.log_prefix, updater.node_id, updater.runtime_hash, updater.do_update = "", "i-1", "0", refuse
    updater.provider = SimpleNamespace(set_node_tags=lambda *_: None)
    updater.run()
    output = "".join(capfd.readouterr())
    printed = re.sub(r"\x1b\[[0-9;]*m", "", output)
    assert "`ray start` failed with exit code 3. stderr: NoDevice: promised 8 x A100" in printed, (
        "NodeUpdater no longer prints cmd, returncode and stderr: base/command_runner.py relies on it for the reason"
    )
    assert "Traceback" not in printed, "NodeUpdater prints a traceback for a refused node: see base/command_runner.py"


def test_ray_start_has_the_hook_that_the_node_script_sets():
    from ray._private import ray_constants

    script = (Path(bundle.__file__).parent / "before_ray_start.sh").read_text(encoding="utf-8")
    assert f"export {ray_constants.RAY_START_HOOK}=" in script, (
        f"Ray's start hook is {ray_constants.RAY_START_HOOK}: boot/before_ray_start.sh sets another name"
    )


HOOK = """
import json, pathlib, sys
def run(ray_params, head):
    told = {"head": head, "labels": ray_params.labels}
    pathlib.Path(__file__).with_name("told.json").write_text(json.dumps(told))
    raise SystemExit(3)
"""


def test_ray_start_calls_the_hook_before_it_starts_anything_and_ends_with_its_code(tmp_path):
    (tmp_path / "contract_hook.py").write_text(HOOK, encoding="utf-8")
    ray = Path(sys.executable).with_name("ray")
    done = subprocess.run(
        [ray, "start", "--head", "--port=0", "--labels=a=b", f"--temp-dir={tmp_path}/ray"],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "RAY_START_HOOK": "contract_hook.run"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, (
        f"`ray start` hides the hook's exit code (3): boot/start_hook.py cannot refuse\n{done.stderr}"
    )
    told = (tmp_path / "told.json").read_text(encoding="utf-8")
    assert '"head": true' in told, "Ray calls the hook with other arguments than (ray_params, head): boot/start_hook.py"
    assert '"labels": {"a": "b"}' in told, (
        "the hook's ray_params have no labels: boot/start_hook.py adds the verdict there"
    )
    assert not (tmp_path / "ray").exists(), (
        "`ray start` had begun before the hook: a refused node would leave processes"
    )


# Ray's own resolution of a node's resources, on an emulated g6f.large (an eighth of an L4), as `ray start` runs it.
RESOLVE = """
import json, sys
from types import SimpleNamespace
from accel_scaling import _ray
from accel_scaling.boot import start_hook
from ray._private.resource_and_label_spec import ResourceAndLabelSpec
if sys.argv[1] == "by the hook":
    start_hook.run(SimpleNamespace(labels=None), False)
elif sys.argv[1] == "by name":
    _ray.announce_accelerator_type("L4-3Q")
spec = ResourceAndLabelSpec().resolve(is_head=False, node_ip_address="127.0.0.1")
print(json.dumps({"resources": sorted(spec.to_resource_dict()), "labels": spec.labels}))
"""
PROMISE = {"CPU": 2, "GPU": 1, "accelerator_type:L4-3Q": 1}


def resolved(machine, how: str) -> dict:
    done = machine.python(RESOLVE, how, RAY_OVERRIDE_RESOURCES=json.dumps(PROMISE))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("how", ["by name", "by the hook"])
def test_a_slice_is_announced_by_its_own_name_only(boot, how):
    spec = resolved(boot("g6f.large"), how)
    assert "accelerator_type:L4-3Q" in spec["resources"]
    assert "accelerator_type:L4" not in spec["resources"], (
        "ResourceAndLabelSpec no longer asks the NVIDIA manager for the type: _ray.announce_accelerator_type is in"
        " vain, and tasks that ask for a whole L4 are given an eighth of one"
    )
    assert spec["labels"]["ray.io/accelerator-type"] == "L4-3Q"


def test_without_the_announcement_ray_adds_the_whole_chips_type_to_the_promise(boot):
    spec = resolved(boot("g6f.large"), "not at all")
    assert {"accelerator_type:L4", "accelerator_type:L4-3Q"} <= set(spec["resources"]), (
        "Ray no longer adds what it detects to a promise: _ray.announce_accelerator_type(...) may go"
    )


def test_rays_runner_of_a_slice_keeps_the_runners_of_its_hosts():
    import inspect

    from ray.autoscaler._private.gcp.tpu_command_runner import TPUCommandRunner

    source = inspect.getsource(TPUCommandRunner)
    assert "self._command_runners = []" in source, (
        "_ray.hosts_of asks one host of a slice only: its verdict may be lost"
    )
    one = object()
    assert _ray.hosts_of(one) == [one]


def test_ray_reads_the_promise_after_the_start_hook_has_run():
    """Else a host of a slice could not put its own number into it (node.slice_host)."""
    import inspect

    from ray.scripts import scripts

    source = inspect.getsource(scripts.start.callback)
    hook, node = source.index("RAY_START_HOOK in os.environ"), source.index("ray._private.node.Node(")
    assert hook < node, "ray start makes the node before it runs the start hook: the hook comes too late"


def test_rays_docker_command_mounts_the_bundle_directly_below_the_home_folder():
    from ray.autoscaler._private.docker import docker_start_cmds

    mounts = {bundle.REMOTE_FOLDER: "/here"}
    command = docker_start_cmds("ubuntu", "image", mounts, "mine", [], "mine", "/home/ray", "docker")
    assert "-v /tmp/ray_tmp_mount/mine/~/.accel_scaling_bundle:/home/ray/.accel_scaling_bundle " in command, (
        "Ray mounts in another way: tests/boot/test_container_users.py, and the place of the bundle (boot/bundle.py)"
    )


def test_ray_replaces_the_home_folder_of_a_container_in_our_part_of_a_start_command():
    from ray.autoscaler._private.command_runner import DockerCommandRunner

    from accel_scaling.boot.start_prefix import with_boot_check

    runner = object.__new__(DockerCommandRunner)
    runner.home_dir = "/home/ray"
    expanded = runner._docker_expand_user(with_boot_check("ray start", "abc"), any_char=True)
    assert expanded.startswith("ACCEL_SCALING_BUNDLE=/home/ray/.accel_scaling_bundle/abc; "), (
        "a container would look for the bundle in another home: boot/start_prefix.py"
    )


def test_rays_rsync_removes_nothing_on_a_node():
    import inspect

    from ray.autoscaler._private.command_runner import SSHCommandRunner

    assert "--delete" not in inspect.getsource(SSHCommandRunner.run_rsync_up), (
        "Ray's rsync now removes what is gone at home: the bundle need no longer have its fingerprint as a folder"
    )


def test_rays_command_line_has_the_global_options_that_we_know():
    from ray.scripts.scripts import cli

    from accel_scaling.cluster.start_commands import _RAY_OPTIONS_WITH_VALUE

    with_value = {option for one in cli.params if not one.is_flag for option in one.opts}
    assert with_value == set(_RAY_OPTIONS_WITH_VALUE), "cluster/start_commands.py takes an option's value for a command"
    assert {"start", "symmetric-run", "stop"} <= set(cli.commands)


@pytest.mark.parametrize(
    ("promise", "expected"), [({"CPU": 2}, {"CPU": 2, "GPU": 4, "TPU": 4}), ({"GPU": 1, "TPU": 0}, {"GPU": 1})]
)
def test_rays_options_add_to_the_promise_and_never_overrule_it(promise, expected, monkeypatch, boot):
    from ray._private.resource_and_label_spec import ResourceAndLabelSpec

    boot("m5.large")
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", json.dumps(promise))
    spec = ResourceAndLabelSpec(num_gpus=4, resources={"TPU": 4}).resolve(is_head=False, node_ip_address="127.0.0.1")
    found = {name: amount for name, amount in spec.to_resource_dict().items() if name in ("CPU", "GPU", "TPU")}
    assert {**expected, "CPU": found["CPU"]} == found, (
        "Ray merges start options with the promise in another way: boot/announcement.py counts on the promise's word"
    )
