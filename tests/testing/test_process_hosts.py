"""Plain-process hosts: whatever devices a host has, its `ray` is the one that keeps to the host."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from accel_scaling.testing.devices.ec2_machines import hardware_of
from accel_scaling.testing.hosts.host_records import look_up
from accel_scaling.testing.hosts.hosts import HostSpec
from accel_scaling.testing.hosts.processes import ProcessHosts
from accel_scaling.testing.hosts.settings import HostKind, Latencies, Settings


@pytest.mark.parametrize(
    "machine_type", ["m5.large", "g4dn.xlarge", "p5.48xlarge", "trn1.2xlarge", "dl1.24xlarge", "mac2.metal"]
)
def test_a_host_of_any_hardware_has_the_ray_that_keeps_to_it(tmp_path: Path, machine_type: str) -> None:
    settings = Settings(
        cloud="EC2",
        module="",
        cloud_id="word",
        kind=HostKind.PROCESSES,
        place="us-west-2",
        directory=tmp_path,
        scratch=tmp_path,
        python=Path(sys.executable),
        ssh_user="ubuntu",
        network="127.77",
        endpoint_url="",
        environment={},
        latencies=Latencies(),
    )
    hosts = ProcessHosts(settings)
    hosts.boot(HostSpec("i-1", machine_type, "127.77.0.4", (), hardware_of(machine_type)))
    record = look_up(tmp_path, "127.77.0.4")
    assert record is not None
    # The `ray` of this machine would end the Ray of all hosts by `ray stop`.
    found = shutil.which("ray", path=record.environment["PATH"])
    assert found is not None
    assert Path(found).is_relative_to(tmp_path)
