"""A cloud of machines for the watch over them: Ray's real updater and installer set them up, the hosts are scripted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from ray.autoscaler._private.updater import NodeUpdater

from accel_scaling import _ray
from accel_scaling.boot.start_prefix import with_boot_check
from accel_scaling.boot.verdicts import LABEL_VERDICT
from accel_scaling.providers.base.known_nodes import KnownNodes
from accel_scaling.providers.base.machine_end import MachineEnd
from accel_scaling.providers.base.provider import BootCheckedProvider
from accel_scaling.providers.base.tpu_slice_start import Rounds
from accel_scaling.quarantine.gate import Gate
from tests.support.quarantine import A, Head

CONFIRMED = '{"verdict": "Confirmed", "message": "promised 8; 8 seen", "joins": true}'
LIES = '{"verdict": "DriverMissing", "message": "promised 8; 0 seen", "joins": false}'
START = with_boot_check("ray stop; ray start --address=x")


def fails(code: int, output: str = "") -> click.ClickException:
    """What Ray's runner raises of a command that failed, as the autoscaler's process runner lets it."""
    error = click.ClickException("SSH command failed.")
    # As Ray's `raise ... from None` leaves it, while it handles the error of the process.
    error.__context__ = subprocess.CalledProcessError(code, ["ssh"], output=output.encode())
    return error


@dataclass
class Machine:
    node_type: str
    zone: str
    tags: dict[str, str]
    state: str = "running"  # stopped, terminated
    end: MachineEnd | None = None
    reused: int = 0


@dataclass
class Script:
    """What the hosts answer: by the start of a command, an error, a text, or nothing."""

    answers: dict[str, Any] = field(default_factory=dict)
    verdict: str = CONFIRMED
    commands: list[str] = field(default_factory=list)

    def run(self, cmd: str) -> bytes:
        self.commands.append(cmd)
        if cmd.startswith("cat "):
            if isinstance(self.verdict, Exception):
                raise self.verdict
            return self.verdict.encode()
        for word, answer in self.answers.items():
            if word in cmd:
                if isinstance(answer, Exception):
                    raise answer
                return str(answer).encode()
        return b""


class Runner:
    def __init__(self, script: Script) -> None:
        self.script = script

    def run(self, cmd: str | None = None, **_: Any) -> bytes:
        return self.script.run(str(cmd))

    def run_init(self, **_: Any) -> bool:
        self.script.run("container")
        return False

    def run_rsync_up(self, source: str, target: str, **_: Any) -> None:
        self.script.run(f"rsync {target}")


class StockProvider:
    """What Ray's own providers do, with machines that exist here only."""

    def __init__(self, provider_config: dict[str, Any]) -> None:
        self.provider_config = provider_config
        self.machines: dict[str, Machine] = {}
        self.script = Script()
        self.api_error: Exception | None = None

    def _asked(self) -> None:
        if self.api_error:
            raise self.api_error

    def non_terminated_nodes(self, _: dict[str, str]) -> list[str]:
        return [name for name, machine in self.machines.items() if machine.state == "running"]

    def node_tags(self, node_id: str) -> dict[str, str]:
        self._asked()
        return dict(self.machines[node_id].tags)

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        self.machines[node_id].tags |= tags

    def is_terminated(self, node_id: str) -> bool:
        return self.machines[node_id].state != "running"

    def internal_ip(self, node_id: str) -> str:
        return f"10.0.0.{list(self.machines).index(node_id)}"

    def terminate_node(self, node_id: str) -> None:
        self.terminate_nodes([node_id])

    def terminate_nodes(self, node_ids: list[str]) -> None:
        self._asked()
        for node_id in node_ids:  # as with cache_stopped_nodes
            self.machines[node_id].state = "stopped"

    def get_command_runner(self, *_: Any, **__: Any) -> Any:
        return Runner(self.script)


class WatchedProvider(BootCheckedProvider, StockProvider):
    def __init__(self, provider_config: dict[str, Any], gate: Gate) -> None:
        StockProvider.__init__(self, provider_config)
        self.gate = gate
        self._rounds = Rounds()
        self._known = KnownNodes()
        self.joined: list[_ray.JoinedNode] = []
        self.questions = 0

    def zone_of(self, node_id: str) -> str:
        self._asked()
        return self.machines[node_id].zone

    def end_for_good(self, node_id: str) -> None:
        self._asked()
        self.machines[node_id].state = "terminated"

    def ends_of(self, node_ids: list[str]) -> dict[str, MachineEnd]:
        self._asked()
        return {name: end for name in node_ids if (end := self.machines[name].end)}

    def joined_nodes(self) -> list[_ray.JoinedNode] | None:
        self.questions += 1
        return self.joined


class Cluster:
    """The autoscaler of a head, its provider and its machines."""

    def __init__(self, folder: Path, version: str = "v2", **provider: Any) -> None:
        self.head = Head(folder, **provider)
        self.version = version
        self.provider = WatchedProvider({"type": "external", **provider}, self.head.gate)
        self.count = 0

    @property
    def gate(self) -> Gate:
        return self.head.gate

    def restart(self) -> None:
        """The autoscaler's process ends and starts again; the machines continue."""
        self.head.restart()
        before, self.provider = self.provider, WatchedProvider(self.provider.provider_config, self.head.gate)
        self.provider.machines, self.provider.script, self.provider.joined = (
            before.machines,
            before.script,
            before.joined,
        )

    def launch(self, node_type: str = "p4d", zone: str = A, count: int = 1) -> list[str]:
        names = []
        (allowed, *_) = self.gate.check(node_type, [zone])
        with self.gate.launching(node_type, count):
            for _ in range(count):
                name = f"i-{self.count}"
                self.count += 1
                tags = {"ray-node-type": "worker", "ray-user-node-type": node_type}
                self.provider.machines[name] = Machine(node_type, zone, tags)
                names.append(name)
            self.gate.launched(node_type, allowed, names)
        return names

    def install(self, node_id: str, *, set_up: list[str] | None = None, start: str = START) -> bool:
        """Run Ray's updater once, as v1 does and as each try of v2's installer does."""
        updater = NodeUpdater(
            node_id=node_id,
            provider_config=self.provider.provider_config,
            provider=self.provider,
            auth_config={"ssh_user": "ubuntu"},
            cluster_name="c",
            file_mounts={},
            initialization_commands=[],
            setup_commands=["pip install torch"] if set_up is None else set_up,
            ray_start_commands=[start],
            runtime_hash="x",
            file_mounts_contents_hash="",
            is_head_node=False,
            process_runner=subprocess,
        )
        updater.run()
        return self.provider.machines[node_id].tags.get("ray-node-status") == "up-to-date"

    def boot(self, node_id: str, **how: Any) -> bool:
        """Set a machine up as this autoscaler does: v2 tries three times, and ends what it could not start."""
        for _ in range(3 if self.version == "v2" else 1):
            if self.provider.is_terminated(node_id):
                return False
            if self.install(node_id, **how):
                return True
        if node_id in self.listed():
            self.provider.terminate_nodes([node_id])
        return False

    def join(self, node_id: str, verdict: str | None = "Confirmed", *, alive: bool = True) -> None:
        """The node joins Ray, as v2 or v1 started it."""
        labels = {} if verdict is None else {LABEL_VERDICT: verdict}
        name = node_id if self.version == "v2" else ""
        self.provider.joined.append(_ray.JoinedNode(name, self.provider.internal_ip(node_id), labels, alive))

    def round(self, seconds: float = 5) -> list[str]:
        self.head.now_s += seconds
        return self.listed()

    def listed(self) -> list[str]:
        return self.provider.non_terminated_nodes({})

    def state(self, node_id: str) -> str:
        return self.provider.machines[node_id].state

    def most(self, node_type: str = "p4d") -> int:
        config = yaml.safe_load(self.head.path.read_text())
        return int(config["available_node_types"][node_type]["max_workers"])

    def reasons(self, node_type: str = "p4d") -> list[str]:
        """The words of the boots and quarantines that are remembered of a node type."""
        record = self.head.gate._store.read().record(node_type)
        return [boot.verdict for boot in record.boots] + [one.reason for one in record.quarantines]

    def strikes(self) -> dict[str, str]:
        return {name: word for name, word in self.gate._store.read().judged.items() if word != "Confirmed"}


@pytest.fixture(name="autoscaler", params=["v2", "v1"])
def autoscaler_fixture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """This process as the monitor of v2 or v1."""
    become(request.param, monkeypatch)
    return str(request.param)


def become(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = "autoscaler/v2" if version == "v2" else "autoscaler/_private"
    monkeypatch.setattr(sys, "argv", [f"/ray/{folder}/monitor.py"])


@pytest.fixture(name="make")
def make_fixture(autoscaler: str, tmp_path: Path) -> Callable[..., Cluster]:
    """Makes a cluster of the autoscaler; its keywords are keys of the provider section."""
    return lambda **provider: Cluster(tmp_path, autoscaler, **provider)


@pytest.fixture(name="cluster")
def cluster_fixture(make: Callable[..., Cluster]) -> Cluster:
    return make()
