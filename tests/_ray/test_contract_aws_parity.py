"""What Ray does for `type: aws` alone, and this package calls: reading a launch template, and setting CloudWatch up."""

from __future__ import annotations

import inspect
from typing import Any

import boto3
import pytest
from moto import mock_aws

from accel_scaling import _ray
from tests.support.aws_clients import forget_clients


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    forget_clients(monkeypatch)
    with mock_aws():
        yield


@pytest.mark.parametrize("version", [{}, {"Version": "$Latest"}, {"Version": "$Default"}, {"Version": 1}])
def test_ray_reads_a_launch_template_of_each_version(version: dict[str, Any]) -> None:
    ec2 = boto3.client("ec2", "us-west-2")
    data = {"InstanceType": "g5.xlarge", "ImageId": "ami-0123456789abcdef0"}
    made = ec2.create_launch_template(LaunchTemplateName="one", LaunchTemplateData=data)["LaunchTemplate"]
    content = _ray.aws_template_content({"LaunchTemplateId": made["LaunchTemplateId"], **version}, "us-west-2", None)
    assert data.items() <= content.items(), "Ray reads another thing of a launch template now"


def test_rays_updater_sets_cloudwatch_up_when_a_node_answers_and_asks_for_the_type_of_its_provider() -> None:
    from ray.autoscaler._private.updater import NodeUpdater

    update = inspect.getsource(NodeUpdater.do_update)
    assert "self.wait_ready(" in update, "Ray waits for a node elsewhere: updates_head() looks for these two frames"
    assert '"aws"' in update
    assert "update_from_config(self.is_head_node)" in update
    assert _ray.updates_head() is None, "nobody waits for a node here"


@pytest.mark.parametrize("is_head", [True, False])
def test_rays_helper_is_called_with_what_its_updater_gives(is_head: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.autoscaler._private.aws.cloudwatch.cloudwatch_helper import CloudwatchHelper

    called = []
    monkeypatch.setattr(
        CloudwatchHelper,
        "update_from_config",
        lambda self, head: called.append((self.provider_config, self.node_id, self.cluster_name, head)),
    )
    section = {"region": "us-west-2", "cloudwatch": {"agent": {"config": "a.json"}}}
    _ray.update_cloudwatch(section, "i-1", "one", head=is_head)
    assert called == [(section, "i-1", "one", is_head)]
