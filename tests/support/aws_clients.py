"""Forgets the AWS clients that Ray and boto3 keep permanently, each with the endpoint and the keys of its first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def forget_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process ask AWS as its environment says now, not as a test before it did."""
    import boto3
    from ray.autoscaler._private.aws import utils

    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    utils.resource_cache.cache_clear()
    utils.client_cache.cache_clear()
