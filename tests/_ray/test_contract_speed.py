"""What the way from a task to its node needs of Ray: v2's pause, its demands, `ray stop`, and the probe of ssh."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from ray.autoscaler import tags
from ray.autoscaler._private import constants, updater
from ray.autoscaler._private.command_runner import DockerCommandRunner, SSHCommandRunner
from ray.autoscaler._private.util import with_envs
from ray.core.generated.autoscaler_pb2 import ClusterResourceState

from accel_scaling import _ray, timeouts
from accel_scaling._ray import autoscaler_pause, node_life

MONITOR = Path(inspect.getfile(constants)).parents[1] / "v2" / "monitor.py"

_PROGRAM = """
import time
AUTOSCALER_UPDATE_INTERVAL_S = 5
def pause(): time.sleep(AUTOSCALER_UPDATE_INTERVAL_S)
"""


@pytest.fixture(name="monitor")
def monitor_fixture(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A program that is autoscaler v2's monitor, as far as the pause goes."""
    program = ModuleType("__main__")
    exec(
        "import time\nAUTOSCALER_UPDATE_INTERVAL_S = 5\ndef pause(): time.sleep(AUTOSCALER_UPDATE_INTERVAL_S)",
        vars(program),
    )
    monkeypatch.setitem(sys.modules, "__main__", program)
    monkeypatch.setattr(sys, "argv", ["/ray/autoscaler/v2/monitor.py"])
    monkeypatch.delenv(autoscaler_pause.INTERVAL_VARIABLE, raising=False)
    return program


def test_v2s_monitor_pauses_by_the_name_time_of_its_own_program() -> None:
    source = MONITOR.read_text(encoding="utf-8")
    assert re.findall(r"\btime\.\w+\(.*\)", source) == [f"time.sleep({autoscaler_pause.INTERVAL_VARIABLE})"]
    assert re.search(r"^import time$", source, re.MULTILINE)
    assert 'if __name__ == "__main__":' in source
    assert autoscaler_pause.INTERVAL_VARIABLE in inspect.getsource(constants)


def test_the_pause_of_v2s_monitor_can_be_another(monitor: ModuleType) -> None:
    asked: list[float] = []
    assert _ray.replace_pause(asked.append)
    monitor.pause()
    assert asked == [5]
    assert monitor.time.time() > 0, "the rest of the module is there"


def test_a_users_own_interval_is_not_changed(monitor: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(autoscaler_pause.INTERVAL_VARIABLE, "30")
    assert not _ray.replace_pause(lambda _: None)
    assert isinstance(monitor.time, ModuleType)


def test_v1_and_other_programs_pause_as_they_do(monitor: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/ray/autoscaler/_private/monitor.py"])
    assert not _ray.replace_pause(lambda _: None)
    monkeypatch.setattr(sys, "argv", ["/ray/autoscaler/v2/monitor.py"])
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    assert not _ray.replace_pause(lambda _: None)
    assert _ray.demand_reader() is None, "no address of a GCS"


def test_the_demand_counts_requests_gangs_and_constraints(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ClusterResourceState()
    for count, resource in ((2, "GPU"), (3, "CPU")):
        one = state.pending_resource_requests.add(count=count)
        one.request.resources_bundle[resource] = 1
    state.pending_gang_resource_requests.add(details="gang")
    state.cluster_resource_constraints.add()
    monkeypatch.setattr("ray.autoscaler.v2.sdk.get_cluster_resource_state", lambda _: state)
    assert sorted(autoscaler_pause._demand(None).values()) == [1, 1, 2, 3]


def test_the_gcs_reads_how_often_it_collects_what_waits_on_nodes() -> None:
    program = MONITOR.parents[2] / "core" / "src" / "ray" / "gcs" / "gcs_server"
    assert _ray.DEMAND_PERIOD_VARIABLE.removeprefix("RAY_").encode() in program.read_bytes()


def test_what_ray_stop_looks_for_is_looked_for() -> None:
    for word, *_ in constants.RAY_PROCESSES:
        assert re.search(node_life._RAY_RUNS, f"/usr/bin/{word} --x"), word
    assert not re.search(node_life._RAY_RUNS, _ray.stop_where_ray_runs("ray stop")), "it would find its own shell"


@pytest.mark.parametrize("command", ["ray stop", "ray stop --force", "ray stop -f"])
def test_ray_stop_is_left_out_where_no_ray_runs_and_nowhere_else(command: str, tmp_path: Path) -> None:
    (sent,) = with_envs([command], {"RAY_HEAD_IP": "10.0.0.1", "RAY_NODE_TYPE_NAME": "p4d"})
    wrapped = _ray.stop_where_ray_runs(sent)
    assert wrapped.startswith("export RAY_HEAD_IP=10.0.0.1; export RAY_NODE_TYPE_NAME=p4d; ")
    assert not stopped(wrapped, tmp_path / "none", pgrep=1)
    assert stopped(wrapped, tmp_path / "runs", pgrep=0)
    assert stopped(wrapped, tmp_path / "no pgrep", pgrep=None)
    (tmp_path / "before" / "ray").mkdir(parents=True)
    (tmp_path / "before" / "ray" / "ray_current_cluster").write_text("10.0.0.1:6379")
    assert stopped(wrapped, tmp_path / "before", pgrep=1), "it removes the address of a Ray that ran before"


def test_a_machine_without_ray_hears_it_from_the_shell(tmp_path: Path) -> None:
    assert not stopped(_ray.stop_where_ray_runs("ray stop"), tmp_path, pgrep=1, ray=False)


@pytest.mark.parametrize(
    "command", ["ray stop; ray start --address=x", "sudo ray stop", "ray stop --grace-period 1", "x"]
)
def test_other_commands_are_sent_as_they_are(command: str) -> None:
    assert _ray.stop_where_ray_runs(command) == command


def stopped(command: str, folder: Path, *, pgrep: int | None, ray: bool = True) -> bool:
    """Whether `ray stop` runs on a machine whose pgrep answers so; its exit code is that of the command."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    scripts = {"pgrep": None if pgrep is None else f"exit {pgrep}", "ray": f"touch '{folder}/stopped'" if ray else None}
    for name, script in scripts.items():
        if script is not None:
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
    # Only these programs, and touch.
    (programs / "touch").symlink_to("/usr/bin/touch")
    environment = {"PATH": str(programs), "RAY_TMPDIR": str(folder)}
    done = subprocess.run(["/bin/bash", "-c", command], env=environment, capture_output=True, check=False)
    assert done.returncode == (0 if ray else 127), done.stderr
    return (folder / "stopped").exists()


def test_each_of_rays_runners_takes_the_options_of_a_quick_probe() -> None:
    for kind in (SSHCommandRunner, DockerCommandRunner):
        options = _ray.quick_probe(kind.__new__(kind), timeouts.SSH_PROBE_CONNECT_S)
        inspect.signature(kind.run).bind(None, "uptime", run_env="host", **options)
        assert options["timeout"] == timeouts.SSH_PROBE_CONNECT_S
    assert timeouts.SSH_PROBE_MOST_WAIT_S == updater.READY_CHECK_INTERVAL


def test_the_states_before_the_last_are_those_that_pass() -> None:
    passing = {tags.STATUS_WAITING_FOR_SSH, tags.STATUS_SYNCING_FILES, tags.STATUS_SETTING_UP}
    set_by_the_updater = {*passing, tags.STATUS_UP_TO_DATE, tags.STATUS_UPDATE_FAILED}
    assert {one for one in set_by_the_updater if _ray.is_passing({tags.TAG_RAY_NODE_STATUS: one})} == passing
    # Each is set by itself; what is set with the last one is written with it.
    source = inspect.getsource(updater.NodeUpdater.do_update)
    assert source.count("{TAG_RAY_NODE_STATUS: STATUS_") == len(passing)
