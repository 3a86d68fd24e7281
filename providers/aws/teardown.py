"""`ray down` on EC2: the cluster's machines in every state that is paid for, ended many at once, each failure alone.

And the config for commands that launch nothing: only the key of the head is looked up, nothing is made in the account.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import click

from accel_scaling import _ray
from accel_scaling.cluster.capacity import TAG
from accel_scaling.cluster.networks import PLACEMENT
from accel_scaling.providers.aws import placement_groups
from accel_scaling.providers.aws.client import in_time, quickly
from accel_scaling.providers.aws.errors import CODES, AWSRefusedError, code_of, one_sentence, sentence_of
from accel_scaling.providers.aws.node_config import region_of
from accel_scaling.providers.base.cluster_config import said_by_click
from accel_scaling.providers.base.teardown import Found, TeardownProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Config = dict[str, Any]
    Call = Callable[..., Any]

_RUNNING = ["pending", "running"]
_STOPPED = ["stopping", "stopped"]

_AT_ONCE = 1000  # ids that TerminateInstances takes, as Ray's provider has it

_GONE = "InvalidInstanceID.NotFound"


def for_reading(config: Config) -> Config:
    """Return a cluster config with the private key of its head, for a command that launches nothing.

    Raises:
        ClusterConfigError: no region.
        AWSRefusedError: no credentials, or EC2 cannot be reached: nothing could be done then.
    """
    config = copy.deepcopy(config)
    region = region_of(config)
    # Asked in any case: if there is no answer, the error comes now, and not after each further step.
    names = _answered(
        lambda: _head_key_names(region, config["provider"].get("aws_credentials"), config["cluster_name"])
    )
    for name in names:
        path = Path(f"~/.ssh/{name}.pem").expanduser()  # where Ray writes the keys that it makes
        if not config["auth"].get("ssh_private_key") and path.exists():
            config["auth"]["ssh_private_key"] = str(path)
    return config


class EndedProvider(TeardownProvider):
    """What `ray down` does on EC2. The attributes are those of Ray's provider, which ships no types."""

    ec2: Any
    cluster_name: str
    cache_stopped_nodes: bool
    cached_nodes: dict[str, Any]
    tag_cache: dict[str, Any]

    def listed_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return what Ray's provider lists.

        Raises:
            click.ClickException: AWS refused, or does not answer; an autoscaler gets the error, and lists again.
        """
        listed = super().listed_nodes  # type: ignore[misc]
        if _ray.autoscaler_config_path() is not None:
            return list(listed(tag_filters))
        with said_by_click(), _ray.collected_panics():
            return list(_answered(lambda: listed(tag_filters)))

    def find_to_end(self, tag_filters: dict[str, str]) -> Found:
        """Return the machines with these tags; stopped ones too, whose disks are paid for, unless those are kept."""
        states = _RUNNING if self.cache_stopped_nodes else [*_RUNNING, *_STOPPED]
        filters = [
            {"Name": "instance-state-name", "Values": states},
            {"Name": f"tag:{_ray.cluster_name_tag()}", "Values": [self.cluster_name]},
            *({"Name": f"tag:{name}", "Values": [value]} for name, value in tag_filters.items()),
        ]
        try:
            machines = _answered(lambda: list(self.ec2.instances.filter(Filters=filters)))
        except AWSRefusedError as error:
            return Found([], [f"the cluster's machines could not be listed: {error}"])
        for machine in machines:
            self.cached_nodes[machine.id] = machine
            self.tag_cache.setdefault(machine.id, {tag["Key"]: tag["Value"] for tag in machine.tags or []})
        return Found([machine.id for machine in machines])

    def end(self, node_ids: Sequence[str], note: Callable[[Sequence[str]], None]) -> dict[str, str]:
        """Terminate machines; stop those that can be stopped where the config keeps stopped ones."""
        client = self.ec2.meta.client
        # A spot machine cannot be stopped; one of an order of capacity types is not started again.
        kept = [
            node
            for node in node_ids
            if self.cache_stopped_nodes and not self._is_spot(node) and not self.of_an_order(node)
        ]
        ended = [node for node in node_ids if node not in set(kept)]
        failed = dict[str, str]()
        for call, ids in ((client.stop_instances, kept), (client.terminate_instances, ended)):
            for start in range(0, len(ids), _AT_ONCE):
                batch = ids[start : start + _AT_ONCE]
                failed |= _in_halves(call, batch)
                note([node for node in batch if node not in failed])
        return failed

    def cleared(self) -> list[str]:
        """Delete the cluster's placement groups, where its file asks for them."""
        if not self.provider_config.get(PLACEMENT):
            return []
        # A machine that is stopped, to be used again, keeps its group.
        return placement_groups.delete(self.ec2.meta.client, self.cluster_name, wait=not self.cache_stopped_nodes)

    def of_an_order(self, node_id: str) -> bool:
        """Return whether a machine was launched by an order of capacity types, as its last listing says."""
        # Of what is known: asked for each by itself, a thousand machines would be a thousand calls.
        return TAG in (self.tag_cache.get(node_id) or {})

    def _is_spot(self, node_id: str) -> bool:
        machine = self.cached_nodes.get(node_id)
        return bool(machine is not None and machine.spot_instance_request_id)


def _in_halves(call: Call, ids: Sequence[str]) -> dict[str, str]:
    """Call with ids; where EC2 refuses all of them for one, with each half. Return those that failed, with why."""
    try:
        _answered(lambda: call(InstanceIds=list(ids)), keep=botocore.exceptions.ClientError)
    except AWSRefusedError as error:
        return dict.fromkeys(ids, str(error))
    except botocore.exceptions.ClientError as error:
        code = code_of(error)
        # Who may not end one may end none: asking for each would take as many calls as there are machines.
        if len(ids) == 1 or code in CODES:
            return {} if code == _GONE else dict.fromkeys(ids, str(sentence_of(error)))
        middle = len(ids) // 2
        return _in_halves(call, ids[:middle]) | _in_halves(call, ids[middle:])
    return {}


def _answered(question: Callable[[], Any], keep: type[Exception] | tuple[()] = ()) -> Any:
    """Return what AWS answers in time.

    Args:
        question: asks AWS.
        keep: errors that the caller wants as they are.

    Raises:
        AWSRefusedError: it does not answer, or the answer is an error.
    """
    with one_sentence():
        try:
            return in_time(question)
        except keep as error:
            kept = error
        except click.ClickException as error:
            # Ray hides AWS's error behind lines of PANIC and an error without words.
            raise (error.__context__ or error) from None
    raise kept


def _head_key_names(region: str, credentials: Config | None, cluster_name: str) -> Iterator[str]:
    """Return the key pairs of the cluster's heads."""
    filters = [
        {"Name": "instance-state-name", "Values": _RUNNING},
        {"Name": f"tag:{_ray.cluster_name_tag()}", "Values": [cluster_name]},
    ]
    pages = _ray.ec2_client(region, quickly(credentials)).get_paginator("describe_instances").paginate(Filters=filters)
    machines = [machine for page in pages for group in page["Reservations"] for machine in group["Instances"]]
    heads = [one for one in machines if _ray.is_head({tag["Key"]: tag["Value"] for tag in one.get("Tags") or []})]
    return iter([str(head["KeyName"]) for head in heads if head.get("KeyName")])
