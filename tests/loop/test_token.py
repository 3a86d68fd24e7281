"""Clusters whose Ray asks for a token: each node gets it, whoever lacks it gets nothing, and nobody else sees it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from accel_scaling.testing.hosts.settings import HostKind
from tests.support.cluster import LEAN_HEAD, LEAN_WORKER, ROOT, V1, V2, Cluster, cluster, config_of
from tests.support.local_ec2 import SSH, Client
from tests.support.needs import NEEDS_ISOLATED_HOSTS

pytestmark = [pytest.mark.cluster, pytest.mark.root, pytest.mark.timeout(400), NEEDS_ISOLATED_HOSTS]

STRANGER = ROOT / "tests" / "programs" / "stranger.py"
TOKEN_FILE = ".ray/auth_token"
# With a dashboard that others may reach, as people do who publish its port.
OPEN_HEAD = LEAN_HEAD.replace("--include-dashboard=false", "--include-dashboard=true --dashboard-host=0.0.0.0")
NEW = "9" * 64
MODES = {"RAY_AUTH_MODE": "token"}

# A program on the laptop, through Ray's client; and one for `ray submit`, which runs on the head.
CLIENT = "import ray, sys; ray.init(sys.argv[1]); print('nodes', len(ray.nodes()))"
SUBMITTED = "import ray; ray.init(); print('it has', ray.get(ray.remote(lambda: 'answered').remote()))"


@contextmanager
def command_lines() -> Iterator[set[bytes]]:
    """All command lines that processes of this machine, and so of all hosts, have until the end of the block."""
    seen: set[bytes] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(file.read_bytes())
                except OSError:  # it has just ended
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def holders(one: Cluster, token: str, machine: str) -> list[str]:
    """Return the files of a host in which the token stands, of those that anything may write there."""
    places = {path: one.local.host_file(machine, path) for path in ("/home/ubuntu", "/tmp", "/var/tmp", "/dev/shm")}
    done = subprocess.run(
        ["grep", "-rlaFf", "-", *places.values()], input=token, capture_output=True, text=True, check=False
    )
    return [line.partition("/home/ubuntu/")[2] or line for line in done.stdout.splitlines()]


def whose(one: Cluster, machine: str) -> tuple[int, int, int]:
    """Return mode, user and group of the token's file on a host."""
    found = one.local.host_file(machine, TOKEN_FILE).stat()
    return found.st_mode & 0o7777, found.st_uid, found.st_gid


def ports_of_head(one: Cluster) -> list[int]:
    one.has("stranger.py")
    said = one.exec('python3 -c "import stranger; print(0, *sorted(stranger.ports()))"').splitlines()
    numbers = [int(word) for word in next(line for line in said if line.startswith("0 ")).split()[1:]]
    return [number for number in numbers if number != 22]


def as_stranger(one: Cluster, client: Client, ports: list[int]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return what a machine beside the cluster gets of the head: from each port, and from the API for jobs."""
    _, address = client.up("m5.large")
    ssh = ["ssh", "-i", client.key, *SSH, f"ubuntu@{address}"]
    one.local.run([*ssh, "cat > stranger.py"], input=STRANGER.read_text(), timeout=60)
    host = one.head.address
    tries = {
        "none": f"curl -s -o /dev/null -w '%{{http_code}}\\n' http://{host}:8265/api/jobs/",
        "wrong": f"curl -s -o /dev/null -w '%{{http_code}}\\n' -H 'Authorization: Bearer x' http://{host}:8265/api/jobs/",
    }
    command = "; ".join(["python3 stranger.py " + " ".join(map(str, [host, *ports])), *tries.values()])
    said = client.ssh(address, command).stdout.splitlines()
    found = json.loads(next(line for line in said if line.startswith("[")))
    return found, dict(zip(tries, map(int, said[-2:]), strict=True))


def connect(one: Cluster) -> subprocess.CompletedProcess[str]:
    """Connect as Ray's client does. Ray gives the head 30 s to start a server for it; a loaded machine needs more."""
    words = [sys.executable, "-c", CLIENT, f"ray://{one.head.address}:10001"]
    for _ in range(3):
        done = one.local.run(words, env={**one.local.environment(), **MODES}, capture_output=True)
        if "Starting Ray client server failed" not in done.stderr:
            break
    return done


def plan(one: Cluster, home: str | None = None) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "accel_scaling", "plan", one.path, "--address", f"{one.head.address}:6379"]
    env = {**one.local.environment(), "PYTHONPATH": str(ROOT), **({"HOME": home} if home else {})}
    return one.local.run(words, env=env, capture_output=True, timeout=60)


def test_every_node_has_the_token_that_ray_up_made_whoever_lacks_it_gets_nothing_and_nothing_else_holds_it(
    tmp_path: Path,
) -> None:
    config = config_of({"t4": "g4dn.xlarge"})
    config |= {"head_start_ray_commands": [OPEN_HEAD], "worker_start_ray_commands": [LEAN_WORKER]}
    with cluster(config, {**V2, **MODES}, HostKind.ISOLATED) as one, command_lines() as seen:
        one.up()
        mine = one.local.settings.laptop / TOKEN_FILE
        token = mine.read_text()
        assert len(token) == 64
        assert mine.stat().st_mode & 0o777 == 0o600
        # Workers get it from the head, and join.
        assert one.task(accelerator_type="T4", num_gpus=1)["ran"]
        client = Client(one.local)
        _, worker = machines = [str(event.instance_id) for event in one.local.events() if event.kind.value == "booted"]
        home = one.local.host_file(worker, "/home/ubuntu").stat()
        for machine in machines:
            assert whose(one, machine) == (0o600, home.st_uid, home.st_gid)
            assert one.local.host_file(machine, TOKEN_FILE).read_text().strip() == token

        # The user's commands.
        assert "1 t4" in one.ray("exec", str(one.path), "ray status").stdout
        program = tmp_path / "program.py"
        program.write_text(SUBMITTED)
        assert "it has answered" in one.ray("submit", str(one.path), str(program)).stdout
        connected = connect(one)
        assert "nodes 2" in connected.stdout, connected.stderr[-2000:]
        job = one.exec("ray job submit --address http://127.0.0.1:8265 -- echo the job ran")
        assert "the job ran" in job
        planned = plan(one)
        assert planned.returncode == 0, planned.stderr
        refused = plan(one, str(tmp_path))
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
        assert "this cluster asks for a token, and there is none in ~/.ray/auth_token" in refused.stderr

        # A machine beside them.
        found, api = as_stranger(one, client, ports_of_head(one))
        assert api == {"none": 401, "wrong": 403}
        rpc = {port["port"]: set(port["grpc"].values()) for port in found if "grpc" in port}
        assert {6379, 8076, 10001} <= set(rpc)
        assert {port: said for port, said in rpc.items() if not said <= {"UNAUTHENTICATED", "UNIMPLEMENTED"}} == {}
        assert [port for port, said in rpc.items() if "UNAUTHENTICATED" not in said] == []

        # Nothing else has it: no file, no command line, nothing that EC2 knows.
        for machine in machines:
            assert holders(one, token, machine) == [TOKEN_FILE]
        known = json.dumps([client.api.describe_instances(), client.api.describe_tags()], default=str)
        for machine in machines:
            known += str(client.api.describe_instance_attribute(InstanceId=machine, Attribute="userData"))
        assert token not in known
        own = [path for path in one.local.directory.rglob("*") if path.is_file() and path != mine]
        assert [path for path in own if token.encode() in path.read_bytes()] == []
        done = one.ray("down", "-y", str(one.path))
        assert done.returncode == 0, done.stdout
        assert not any(token.encode() in line for line in seen)
        assert any(b"ray" in line for line in seen)


def test_a_head_whose_home_has_a_token_gives_it_to_its_workers_under_v1_too_whatever_its_file_has_later() -> None:
    config = config_of({"t4": "g4dn.xlarge"})
    # As an image or a command of the user's may leave it there; the laptop has none, and says nothing.
    own = "mkdir -p ~/.ray && echo the-image-has-this-one > ~/.ray/auth_token"
    config |= {"head_start_ray_commands": [own, LEAN_HEAD], "worker_start_ray_commands": [LEAN_WORKER]}
    with cluster(config, V1, HostKind.ISOLATED) as one:
        one.up()
        assert not (one.local.settings.laptop / TOKEN_FILE).exists()
        # As by a file mount: Ray continues with the token that it was started with, and so do programs that know it.
        one.exec(
            f"echo of a file mount > ~/{TOKEN_FILE}; echo 'export RAY_AUTH_TOKEN=the-image-has-this-one' >> ~/.bashrc"
        )
        assert one.task(accelerator_type="T4", num_gpus=1)["ran"]
        head, worker = [str(event.instance_id) for event in one.local.events() if event.kind.value == "booted"]
        home = one.local.host_file(worker, "/home/ubuntu").stat()
        assert one.local.host_file(worker, TOKEN_FILE).read_text() == "the-image-has-this-one\n"
        assert whose(one, worker) == (0o600, home.st_uid, home.st_gid)
        assert head != worker
        # A caller without it is refused.
        assert "AuthenticationError" in one.exec("RAY_AUTH_MODE=disabled ray status 2>&1 || true")


@pytest.mark.wide  # a test above has the worker that is launched later, which costs money; here are 30 s of restarts
@pytest.mark.parametrize("autoscaler", [V1, V2])
def test_another_token_on_the_laptop_comes_to_head_and_worker_and_both_machines_stay(autoscaler: Any) -> None:
    config = config_of({"t4": "g4dn.xlarge"})
    config |= {"head_start_ray_commands": ["ray stop", LEAN_HEAD]}
    config |= {"worker_start_ray_commands": ["ray stop", LEAN_WORKER]}
    with cluster(config, {**autoscaler, **MODES}, HostKind.ISOLATED) as one, command_lines() as seen:
        one.up()
        assert one.task(accelerator_type="T4", num_gpus=1)["ran"]
        (one.local.settings.laptop / TOKEN_FILE).write_text(NEW)
        done = one.ray("up", "-y", "--restart-only", str(one.path))
        assert done.returncode == 0, done.stdout[-3000:]
        assert "The head has another token in ~/.ray/auth_token, which is now replaced" in " ".join(done.stdout.split())
        assert sorted(one.task(accelerator_type="T4", num_gpus=1)["alive"]) == ["g4dn.xlarge", "m5.large"]
        machines = [str(event.instance_id) for event in one.local.events() if event.kind.value == "booted"]
        assert [one.local.host_file(machine, TOKEN_FILE).read_text().strip() for machine in machines] == [NEW, NEW]
        assert not any(NEW.encode() in line for line in seen)
