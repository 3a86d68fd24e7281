"""From Google's machines to hosts, and what is said where one does not come up."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.gce.api import ComputeEngine
from accel_scaling.testing.gce.cloud import GceReconciler
from accel_scaling.testing.gce.server import serve
from accel_scaling.testing.hosts import isolated
from accel_scaling.testing.hosts.settings import HostKind, Latencies
from tests.support.gce_client import Client

LONGEST = "ray-" + "c" * 41 + "-worker-1a2b3c-tpu"  # of a slice, where the cluster's name is long


def test_each_host_of_a_slice_with_a_long_name_has_a_name_of_its_own_that_a_kernel_takes(tmp_path: Path) -> None:
    booted: list[Any] = []
    hosts = SimpleNamespace(boot=booted.append, change_devices=lambda *_: None)
    metadata = SimpleNamespace(add=lambda *_: None)
    events = SimpleNamespace(instance=lambda *_, **__: None)
    settings = SimpleNamespace(latencies=Latencies(boot_s=0), faults_file=tmp_path / "faults")
    engine = ComputeEngine(boots=False)
    with serve(engine) as url:
        Client(url).slice(LONGEST)
        GceReconciler(engine, hosts, metadata, events, settings).step()  # type: ignore[arg-type]
    assert [len(one.hostname) for one in booted] == [63, 63]
    assert [one.hostname.rpartition("worker")[2] for one in booted] == ["-1a2b3c-tpu-w-0", "-1a2b3c-tpu-w-1"]


def test_a_host_whose_first_process_ends_at_once_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = isolated.IsolatedHosts.__new__(isolated.IsolatedHosts)
    hosts._settings = SimpleNamespace(network="10.1", scratch=tmp_path, kind=HostKind.ISOLATED, shared="")  # type: ignore[assignment]
    hosts._hosts = {}
    (tmp_path / "h").mkdir()
    started: list[Any] = []
    popen = subprocess.Popen
    fake = SimpleNamespace(**{**vars(subprocess), "Popen": lambda words, **how: started.append(words) or ended(**how)})

    def ended(**how: Any) -> subprocess.Popen[bytes]:
        process = popen(["sh", "-c", "echo hostname: name too long >&2; exit 1"], **how)
        process.wait()
        return process

    monkeypatch.setattr(isolated, "subprocess", fake)
    monkeypatch.setattr(hosts, "_mount_root", lambda host: None)
    launch = SimpleNamespace(instance_id="h", address="10.1.0.1", hostname="h", fault=None)
    with pytest.raises(RehearsalError, match="the host of h did not come up: hostname: name too long"):
        hosts.boot(launch)  # type: ignore[arg-type]
    assert started
