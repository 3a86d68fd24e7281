"""The block before the question of `ray up` on Google Cloud, for which Ray has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gcp_provider import PROJECT, ZONES, config_of, google
from tests.support.ray_up_question import said_before_the_question


def test_project_zones_account_key_network_and_each_node_type_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with google() as at:
        config = config_of(at.url, slices=True)
        config["available_node_types"]["l4"]["node_config"]["serviceAccounts"] = [{"email": "mine@x.iam", "scopes": []}]
        config["provider"]["capacity"] = {"v4": ["spot", "on-demand"]}
        said = said_before_the_question(config, tmp_path, monkeypatch, capsys)
    block = said[said.index("Google Cloud config") :]
    assert f"Project: {PROJECT}" in block
    assert f"Zones: {ZONES[0]}" in block
    account = f"ray-autoscaler-sa-v1@{PROJECT}.iam.gserviceaccount.com"
    assert f"Service account (head): {account} [default]" in " ".join(block.split())
    assert "Service account (l4): mine@x.iam\n" in block
    assert block.count("Service account") == 2, "a line for the head, and for each worker with one"
    assert "Network (all available node types): " in block
    assert "Node type l4: g2-standard-4, spot" in block
    assert "type L4" in block
    assert "Node type v4: v4-" in block
    assert ", spot, then on-demand" in block
    assert [line for line in block.splitlines() if len(line) > 80 and "/" not in line] == []
