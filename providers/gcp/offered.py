"""Questions to Google at `ray up`: whether the cluster's zones have its machine types, attached GPUs and TPU slices.

The table that ships is a public price list's, and may be old: it refuses nothing that Google can be asked about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from googleapiclient.errors import HttpError

from accel_scaling import _ray
from accel_scaling.catalog.lookup import is_clouds_own
from accel_scaling.cluster import machine_lists
from accel_scaling.cluster.offering_checks import nearest, offering_notes
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.gcp.calls import call_each, status_of
from accel_scaling.providers.gcp.client import client, collection
from accel_scaling.providers.gcp.node_config import attached_accelerator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from accel_scaling.cluster.cluster import Cluster, NodeType


class Question(NamedTuple):
    """A question to Google: one type in one zone.

    Attributes:
        kind: the collection of its API: ``machineTypes``, ``acceleratorTypes``, or ``tpu`` for Cloud TPU's.
        name: the type.
        zone: where.
    """

    kind: str
    name: str
    zone: str


def check(cluster: Cluster) -> None:
    """Refuse a node type whose machine, GPU or slice none of the cluster's zones has, as Google says.

    Where Google does not say, what the places file has becomes a note.

    Raises:
        ClusterConfigError: names the key, and where it is offered.
    """
    zones = cluster.placement.zones
    asked = {node_type.name: dict(_named_by(node_type, cluster)) for node_type in cluster.node_types.values()}
    questions = {
        Question(kind, name, zone) for named in asked.values() for kind, name in named.values() for zone in zones
    }
    answers = _answers(questions, cluster.provider)
    silent, refusals = set(), dict[str, ClusterConfigError]()
    for node_type in cluster.node_types.values():
        for key, (kind, name) in asked[node_type.name].items():
            said = [answers[Question(kind, name, zone)] for zone in zones]
            if not any(answer is not False for answer in said):
                sentence = f"{node_type.location}.node_config.{key}: {_refusal(node_type, name, cluster)}"
                refusals.setdefault(node_type.name, ClusterConfigError(sentence))
            if None in said:
                silent.add(f"{node_type.location} (")
    for note in machine_lists.raised_or_noted(cluster, refusals):
        _ray.cli_logger().warning("{}", note)
    for note in offering_notes(cluster) if silent else ():
        if note.startswith(tuple(silent)):
            _ray.cli_logger().warning("{}", note)


def _named_by(node_type: NodeType, cluster: Cluster) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield (key, (kind, name)) of what a node_config asks Google for."""
    machine = node_type.machine
    if machine.slice is not None:
        # Of what the API's public documents do not have, it may say nothing to the one who has a reservation of it.
        if machine.slice.config_type:
            key = "acceleratorType" if node_type.node_config.get("acceleratorType") else "acceleratorConfig"
            yield key, ("tpu", machine.slice.accelerator_type)
        return
    # A custom type has its size in its name, and is in no layer; of the user's own, the launch has the last word.
    if any(map(is_clouds_own, cluster.catalog.layers(cluster.cloud.name, machine.name))):
        yield "machineType", ("machineTypes", machine.name)
    if attached := attached_accelerator(node_type):
        yield "guestAccelerators", ("acceleratorTypes", attached[0])


def _answers(questions: set[Question], provider: Mapping[str, Any]) -> dict[Question, bool | None]:
    """Return for each question whether the zone has it; None where Google does not say."""
    project = provider["project_id"]

    def ask(question: Question) -> None:
        kind, name, zone = question
        if kind == "tpu":
            types = collection(client(provider, "tpu"), "projects", "locations", "acceleratorTypes")
            types.get(name=f"projects/{project}/locations/{zone}/acceleratorTypes/{name}").execute()
            return
        field = {"machineTypes": "machineType", "acceleratorTypes": "acceleratorType"}[kind]
        collection(client(provider, "compute"), kind).get(project=project, zone=zone, **{field: name}).execute()

    results, errors = call_each(ask, sorted(questions))
    return {**dict.fromkeys(results, True), **{question: _denied(error) for question, error in errors.items()}}


def _denied(error: Exception) -> bool | None:
    """Return False where Google says that there is no such type; None where it says something else."""
    return False if isinstance(error, HttpError) and status_of(error) == 404 else None


def _refusal(node_type: NodeType, name: str, cluster: Cluster) -> str:
    zones, machine = cluster.placement.zones, node_type.machine
    has = ""
    if machine.slice is None and name == machine.name:
        offerings = cluster.catalog.where(machine.machine)
        region = zones[0].rpartition("-")[0]
        known = [f"{region}-{zone}" for zone in offerings.zones(region) if f"{region}-{zone}" not in zones]
        has = f"it is known from {', '.join(known)}; " if known else nearest(offerings, region)
    return f"Google has no {name} in {', '.join(zones)} (provider.availability_zone); {has}choose another zone or type"
