"""What the watcher of a node needs of Ray: the raylet's command line, the key-value store, the drain of a node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling import _ray
from accel_scaling._ray import node_drain

RAYLET = b"\0".join(
    [b"/x/raylet", b"--node_id=ab12", b"--node_ip_address=10.0.0.5", b"--gcs-address=10.0.0.1:6379", b""]
)

# In a process of its own, which drains by `_ray.tell_event(...)`, `_ray.drain(...)`, `_ray.drain_nodes(...)` and
# `_ray.stop_nodes(...)`: the node ends, and the variable must be there before its raylet starts.
PROGRAM = """
import json, sys, time
from dataclasses import replace
import ray
from accel_scaling import _ray
from accel_scaling.boot import drain_node
from accel_scaling.boot.node_event import EventKind, NodeEvent, read_event

ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
raylet = _ray.find_raylet("ACCEL_SCALING_START", "of this test")
assert ray.get(ray.remote(lambda: "RAY_JOB_ID" in __import__("os").environ).remote())
node = ray.nodes()[0]
assert (raylet.node_id, raylet.address) == (node["NodeID"], node["NodeManagerAddress"]), raylet
event = NodeEvent(EventKind.INTERRUPTION, "spot terminate", "a reason", True, time.time() + 60, "", raylet.address)
sick = NodeEvent(EventKind.SICK, "Unhealthy", "a reason", True, time.time() + 60, "", raylet.address)
assert drain_node.main([sick.to_text(), json.dumps(raylet)]) == 0
assert _ray.drain_nodes([raylet.node_id], "of no autoscaler", time.time() + 60) == []
_ray.stop_nodes([raylet.node_id])  # of no autoscaler
hangs = sys.argv[1:] and ray.remote(lambda: time.sleep(1000)).remote()
while hangs and ray.available_resources().get("CPU"):
    time.sleep(0.05)
code = drain_node.main([event.to_text(), json.dumps(raylet)])
sys.argv = ["/ray/autoscaler/v2/monitor.py", f"--gcs-address={raylet.gcs_address}"]
assert _ray.drain_nodes([raylet.node_id], "accel_scaling: interruption: spot terminate: a reason",
                        time.time() + 60) == []
told = _ray.node_events()
joined = _ray.joined_nodes()
assert [(one.node_id, one.address) for one in joined] == [(raylet.node_id, raylet.address)], joined
(mine,) = [key for key in told if _ray.node_of(key) == raylet.node_id and b"interruption" in told[key]]
(other,) = set(told) - {mine}
_ray.forget_event(other)
if hangs:
    assert ray.nodes()[0]["Alive"]
    _ray.stop_nodes([raylet.node_id])
until = time.monotonic() + 20
while ray.nodes()[0]["Alive"] and time.monotonic() < until:
    time.sleep(0.1)
_ray.forget_event(mine)
print("ANSWER " + json.dumps([
    code, replace(read_event(told[mine]), told_s=0.0) == event, ray.nodes()[0]["Alive"],
    ray.nodes()[0]["DeathReasonMessage"], _ray.node_events(),
]))
"""


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "accel_scaling: interruption: spot terminate: a reason"),
        (("a task that hangs",), "Terminated by autoscaler."),  # it would not end by itself
    ],
)
def test_a_node_drains_itself_and_the_head_ends_what_hangs_there(words: tuple[str], reason: str) -> None:
    environment = {**os.environ, "ACCEL_SCALING_START": "of this test"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert answers, done.stderr[-3000:]
    code, told, alive, message, left = json.loads(answers[0].removeprefix("ANSWER "))
    assert (code, told, alive, left) == (0, True, False, {})
    assert message == reason


def processes(folder: Path, **commands: tuple[bytes, bytes]) -> Path:
    for name, (command, environment) in commands.items():
        (folder / name[1:]).mkdir(parents=True)
        (folder / name[1:] / "cmdline").write_bytes(command)
        (folder / name[1:] / "environ").write_bytes(environment)
    (folder / "self").mkdir()
    return folder


def test_the_raylet_of_one_start_is_found_among_others(tmp_path: Path) -> None:
    proc = processes(
        tmp_path,
        p1=(RAYLET.replace(b"ab12", b"of another start"), b"A=1\0START=other\0"),
        p2=(b"bash\0-c\0raylet --node_id=x", b"START=mine\0"),
        p1234=(RAYLET.replace(b"ab12", b"that a task has started"), b"START=mine\0RAY_JOB_ID=01000000\0"),
        p3=(RAYLET, b"A=1\0START=mine\0"),
        p4=(b"", b""),
    )
    assert _ray.find_raylet("START", "mine", proc) == node_drain.Raylet(3, "ab12", "10.0.0.5", "10.0.0.1:6379")
    assert _ray.find_raylet("START", "nobody's", proc) is None


@pytest.mark.parametrize("words", [["/ray/autoscaler/v2/monitor.py"], ["ray", "--gcs-address=127.0.0.1:1"]])
def test_a_process_that_is_no_autoscaler_is_told_nothing(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", words)
    assert _ray.node_events() == {}
    _ray.forget_event("ab12")
