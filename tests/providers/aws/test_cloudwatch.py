"""CloudWatch under `type: external`: once for each node, by Ray's own helper, with the arguments of `type: aws`."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from accel_scaling.cluster.cluster import catalog_of
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import fill
from accel_scaling.providers.aws import cloudwatch
from tests.support.aws_provider import EC2, MODULE, REGION, image_of_moto, node_config, provider_of, tags
from tests.support.iam import actions_of, policy

pytestmark = pytest.mark.slow

ALARM = {
    "AlarmName": "cpu",
    "Namespace": "AWS/EC2",
    "MetricName": "CPUUtilization",
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 80,
    "ComparisonOperator": "GreaterThanThreshold",
    "Dimensions": [{"Name": "InstanceId", "Value": "{instance_id}"}],
}
WIDGET = {"type": "text", "x": 0, "y": 0, "width": 6, "height": 6, "properties": {"markdown": "{cluster_name}"}}


@pytest.fixture(name="section")
def section_fixture(tmp_path: Path) -> dict[str, Any]:
    """`provider.cloudwatch`, with its three files."""
    section: dict[str, Any] = {}
    for name, content in (("agent", {"metrics": {}}), ("dashboard", [WIDGET]), ("alarm", [ALARM])):
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(content))
        section[name] = {"config": str(file)}
    section["agent"]["retryer"] = {"max_attempts": 2, "delay_seconds": 0}
    return section


def machine(region: EC2) -> dict[str, Any]:
    """A node_config with an image that EC2 knows: with an agent Ray's provider asks for it at each launch."""
    return {**node_config(region), "ImageId": image_of_moto()}


def agent_answers(region: EC2) -> Any:
    """The region's calls, with what moto lacks: the agent's answer to a command, which is always success."""
    call = region.call

    def with_answers(made: Any, client: Any, model: Any, request: Any, context: Any) -> Any:
        if model.name != "ListCommandInvocations":
            return call(made, client, model, request, context)
        region.calls.append((model.name, request))
        answer = {"CommandInvocations": [{"Status": "Success"}], "ResponseMetadata": {"HTTPStatusCode": 200}}
        return SimpleNamespace(status_code=200), answer

    return with_answers


class Ssh(SimpleNamespace):
    """Each command on a node succeeds."""

    CalledProcessError = subprocess.CalledProcessError

    def check_call(self, *_: Any, **__: Any) -> int:
        return 0

    def check_output(self, *_: Any, **__: Any) -> bytes:
        return b""


def set_up(provider: Any, node_id: str, *, head: bool, kind: str = "external") -> None:
    """What `ray up` does with a head, and both autoscalers with a worker."""
    from ray.autoscaler._private.updater import NodeUpdater

    NodeUpdater(
        node_id=node_id,
        provider_config={**provider.provider_config, "type": kind},
        provider=provider,
        auth_config={"ssh_user": "ubuntu"},
        cluster_name=provider.cluster_name,
        file_mounts={},
        initialization_commands=[],
        setup_commands=[],
        ray_start_commands=[],
        runtime_hash="a",
        file_mounts_contents_hash="b",
        is_head_node=head,
        process_runner=Ssh(),
        use_internal_ip=True,
    ).run()


@pytest.mark.parametrize("head", [True, False], ids=["head", "worker"])
def test_the_helper_is_called_once_for_a_node_with_rays_own_arguments(
    region: EC2, section: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *, head: bool
) -> None:
    from ray.autoscaler._private.aws import node_provider
    from ray.autoscaler._private.aws.cloudwatch import cloudwatch_helper

    called: list[tuple[Any, ...]] = []

    class Spy(cloudwatch_helper.CloudwatchHelper):  # type: ignore[misc]
        def __init__(self, *named: Any) -> None:
            called.append(named)

        def update_from_config(self, is_head_node: bool) -> None:
            called.append((is_head_node,))

    monkeypatch.setattr(cloudwatch_helper, "CloudwatchHelper", Spy)
    ours = provider_of(cloudwatch=section)
    (node_id,) = ours.create_node(machine(region), tags(kind="head" if head else "worker"), 1)
    ours.non_terminated_nodes({})
    set_up(ours, node_id, head=head)
    by_us, called[:] = list(called), []
    stock = node_provider.AWSNodeProvider({**ours.provider_config, "type": "aws"}, "mine")
    stock.non_terminated_nodes({})
    set_up(stock, node_id, head=head, kind="aws")
    assert [len(one) for one in by_us] == [3, 1]
    assert by_us[0][1:] == called[0][1:] == (node_id, "mine")
    assert by_us[0][0]["cloudwatch"] == called[0][0]["cloudwatch"] == section
    assert by_us[1] == called[1] == (head,)


def test_agent_dashboard_and_alarm_are_made_with_just_the_actions_of_the_policy(
    region: EC2, section: dict[str, Any]
) -> None:
    provider = provider_of("first", cloudwatch=section)
    made = {}
    for kind in ("head", "worker"):
        (made[kind],) = provider.create_node(machine(region), tags(kind=kind), 1)
        provider.non_terminated_nodes({})
    for one in region.machines().values():
        one._state.name, one._state.code = "running", 16  # the helper waits for EC2's checks of a running machine
    region.calls.clear()
    region.call = agent_answers(region)  # type: ignore[method-assign]
    for kind, node_id in made.items():
        set_up(provider, node_id, head=kind == "head")
    api = boto3.client("cloudwatch", region_name=REGION)
    assert [one["DashboardName"] for one in api.list_dashboards()["DashboardEntries"]] == ["first-first"]
    (alarm,) = api.describe_alarms()["MetricAlarms"]
    assert alarm["Dimensions"][0]["Value"] in made.values()
    commanded = [sent for name, sent in region.calls if name == "SendCommand"]
    assert {machine for machine in made.values() for sent in commanded if machine in str(sent)} == set(made.values())
    done = {name for name, _ in region.calls} - {"ListDashboards", "DescribeAlarms"}
    allowed = {action.partition(":")[2] for action in actions_of(policy("aws-cloudwatch"))}
    assert done <= allowed
    assert allowed - done == {"DescribeImages"}, "asked at the launch, whether the image has the agent"


def test_what_fails_is_one_sentence_and_costs_no_node(
    region: EC2, section: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from accel_scaling import _ray

    def refused(*_: Any, **__: Any) -> None:
        raise ClientError({"Error": {"Code": "InvalidInstanceId", "Message": "not in a valid state"}}, "SendCommand")

    monkeypatch.setattr(_ray, "update_cloudwatch", refused)
    provider = provider_of(cloudwatch=section)
    (node_id,) = provider.create_node(machine(region), tags(), 1)
    provider.non_terminated_nodes({})
    monkeypatch.setattr(_ray, "autoscaler_config_path", lambda: Path("x"))
    with caplog.at_level(logging.ERROR):
        set_up(provider, node_id, head=False)
    (said,) = [one.getMessage() for one in caplog.records if "CloudWatch" in one.getMessage()]
    assert said.startswith(f"CloudWatch is not set up on {node_id}, which continues without it: ")
    assert "\n" not in said
    provider.non_terminated_nodes({})
    assert provider.node_tags(node_id)["ray-node-status"] == "up-to-date"


def test_a_command_of_a_person_sets_nothing_up(region: EC2, section: dict[str, Any]) -> None:
    provider = provider_of(cloudwatch=section)
    (node_id,) = provider.create_node(machine(region), tags(), 1)
    provider.non_terminated_nodes({})
    runner = provider.get_command_runner("", node_id, {"ssh_user": "ubuntu"}, "mine", Ssh(), use_internal_ip=True)
    region.calls.clear()
    runner.run("uptime")  # as `ray exec cluster.yaml uptime`
    assert {name for name, _ in region.calls} & {"SendCommand", "GetParameter"} == set()


def config_of(section: Any, **worker: Any) -> dict[str, Any]:
    return {
        "cluster_name": "c",
        "provider": {"type": "external", "module": MODULE, "region": REGION, "cloudwatch": section},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"InstanceType": "m5.large"}},
            "t4": {"node_config": {"InstanceType": "g4dn.xlarge", **worker}},
        },
    }


def test_a_worker_without_a_role_is_noted() -> None:
    agent = {"agent": {"config": "agent.json"}}
    notes = [
        fill(one, catalog_of(one))[1] for one in (config_of(agent), config_of(agent, IamInstanceProfile={"Name": "r"}))
    ]
    assert [any("t4 have no node_config.IamInstanceProfile" in note for note in some) for some in notes] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("agent.json", "provider.cloudwatch is 'agent.json'; expected keys"),
        ({"agents": {}}, "provider.cloudwatch.agents: the parts are agent, dashboard, alarm"),
        ({"agent": "agent.json"}, "provider.cloudwatch.agent is 'agent.json'; expected keys"),
        ({"agent": {"config": 1}}, "provider.cloudwatch.agent.config is 1; expected the path of a JSON file"),
    ],
)
def test_a_section_that_rays_helper_cannot_read_is_one_sentence(section: Any, sentence: str) -> None:
    config = config_of(section)
    with pytest.raises(ClusterConfigError, match=sentence):
        fill(config, catalog_of(config))


def test_a_file_that_is_missing_or_no_json_is_said_before_the_head_is_paid_for(tmp_path: Path) -> None:
    wrong = tmp_path / "a.json"
    wrong.write_text("{")
    for path, said in ((wrong, "which is not JSON"), (tmp_path / "nowhere.json", "which cannot be read")):
        with pytest.raises(ClusterConfigError, match=said):
            cloudwatch.check_files({"cloudwatch": {"agent": {"config": str(path)}}})
