"""Why an EC2 instance ended, as EC2 says it.

Source: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html
"""

from __future__ import annotations

from typing import Any

from accel_scaling.catalog.launch_errors import SOLD_OUT, classified
from accel_scaling.providers.aws.cloud import CLOUD
from accel_scaling.providers.base.machine_end import EndedBy, MachineEnd
from accel_scaling.quarantine.machine import GONE

_ENDED = frozenset({"shutting-down", "terminated", "stopping", "stopped"})

# All others are the cloud's or the machine's own: an error at launch, a limit of volumes, a halt from inside.
_BY = {
    "Client.UserInitiatedShutdown": EndedBy.USER,
    "Client.UserInitiatedHibernate": EndedBy.USER,
    "Server.SpotInstanceTermination": EndedBy.INTERRUPTION,
    "Server.SpotInstanceShutdown": EndedBy.INTERRUPTION,
}


def ends_of(client: Any, instance_ids: list[str]) -> dict[str, MachineEnd]:
    """Return why instances ended; those that live are left out, and one that EC2 does not know is ``Gone``."""
    # By a filter: asked for by their ids, one that EC2 does not know (yet, or any more) makes the whole question fail.
    pages = client.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-id", "Values": instance_ids}]
    )
    instances = [one for page in pages for group in page["Reservations"] for one in group["Instances"]]
    ends = {
        one["InstanceId"]: _end(one)._replace(tags=_tags(one)) for one in instances if one["State"]["Name"] in _ENDED
    }
    known = {one["InstanceId"] for one in instances}
    gone = MachineEnd(EndedBy.UNKNOWN, GONE, "EC2 does not know it any more")
    return {**dict.fromkeys((one for one in instance_ids if one not in known), gone), **ends}


def _tags(instance: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags") or ()}


def _end(instance: dict[str, Any]) -> MachineEnd:
    reason = instance.get("StateReason") or {}
    code, message = reason.get("Code") or "", reason.get("Message") or ""
    # EC2 has no reason while an instance is being ended through its API, which is what people and programs do.
    if not code:
        return MachineEnd(EndedBy.USER, "Client.UserInitiatedShutdown", instance.get("StateTransitionReason") or "")
    # `Client.InternalError: Client error on launch`: EC2 writes the code once more before its sentence.
    message = message.removeprefix(f"{code}: ")
    # A launch error's code has no side before it: InsufficientInstanceCapacity.
    category = classified(CLOUD.name, [code.rpartition(".")[2]], message).category
    by = _BY.get(code, EndedBy.CLOUD)
    # That a spot machine was taken back says nothing of the next one.
    return MachineEnd(by, code, message, sold_out=by is EndedBy.CLOUD and category in SOLD_OUT)
