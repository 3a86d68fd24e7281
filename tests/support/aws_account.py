"""This process's AWS account: its keys, who answers in AWS's place, and a local EC2 that does."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accel_scaling.testing.hosts.settings import HostKind, Latencies
from tests.support.aws_clients import forget_clients

if TYPE_CHECKING:
    from accel_scaling.providers.aws.local_cloud import LocalEC2


def use_account(monkeypatch: pytest.MonkeyPatch, url: str = "", key: str = "x", secret: str = "x") -> None:
    """Make this process ask AWS, or who answers at an address in its place, with these credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    if url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    forget_clients(monkeypatch)


@contextlib.contextmanager
def local_ec2(latencies: Latencies | None = None) -> Iterator[LocalEC2]:
    """A local EC2 whose hosts are processes, in a folder of its own with a short name."""
    from accel_scaling.providers.aws.local_cloud import LocalEC2

    how = {"latencies": latencies} if latencies else {}
    with (
        tempfile.TemporaryDirectory(prefix="accel-", ignore_cleanup_errors=True) as folder,
        LocalEC2(Path(folder), kind=HostKind.PROCESSES, **how) as local,
    ):
        yield local


@pytest.fixture(name="local_ec2", scope="module")
def local_ec2_fixture() -> Iterator[LocalEC2]:
    """One for all tests of a file."""
    with local_ec2() as local:
        yield local
