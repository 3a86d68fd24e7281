"""Preparation of a project at `ray up`, by Ray's own steps with our clients; and the instance templates of a config."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any

from google.auth.exceptions import GoogleAuthError
from googleapiclient.errors import HttpError

from accel_scaling import _ray
from accel_scaling.cluster.cluster import read_checked
from accel_scaling.cluster.networks import PLACEMENT
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown
from accel_scaling.providers.base.ray_steps import check_private_key, said_in_one_sentence
from accel_scaling.providers.gcp import images, offered, training
from accel_scaling.providers.gcp.calls import BROKEN, OperationFailedError, of_exception, retry_on_conflict, status_of
from accel_scaling.providers.gcp.client import client
from accel_scaling.providers.gcp.errors import GoogleRefusedError, sentence_of
from accel_scaling.providers.gcp.node_config import is_tpu, region_of, with_template, zones_of
from accel_scaling.providers.gcp.request_schema import template_of
from accel_scaling.providers.gcp.reservation_checks import check_reservations
from accel_scaling.providers.gcp.scheduling import check_scheduling, missing_scheduling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accel_scaling.cluster.cluster import Cluster

    Config = dict[str, Any]


# Parts of Ray's own words (ray/autoscaler/_private/gcp/config.py), in lower case, and what to do then.
REMEDIES = (
    ("project status needs to be active", "restore the project, or name another one in provider.project_id"),
    ("failed to create project", "make the project in Google's console, and name it in provider.project_id"),
    ("failed to create service account", "name an account in node_config.serviceAccounts of the head"),
    (
        "should be able to create subnet",
        "create a subnetwork in the region, or name networkInterfaces in each node_config",
    ),
)


def prepared(config: Config) -> Config:
    """Return the config with its project, service account, key pair and network, which are made where they lack.

    Raises:
        GoogleRefusedError: no credentials, no permission, or Google cannot be reached.
        ClusterConfigError: the region has no subnetwork, or scheduling that contradicts itself.
    """
    given_types = config["available_node_types"]
    config = copy.deepcopy(config)
    config["head_node"] = {}  # where Ray's steps put the head's service account
    provider = config["provider"]
    provider["region"] = region_of(config)
    # As in Ray's bootstrap_gcp: by this field the head's autoscaler knows that it needs a client of Cloud TPU.
    if any(is_tpu(node_type["node_config"]) for node_type in config["available_node_types"].values()):
        provider[_ray.gcp_bootstrap().HAS_TPU_PROVIDER_FIELD] = True
    cluster = read_checked(with_templates(config))
    check_private_key(config)
    # Whatever may be refused is refused before Ray's steps, which make an account, a key pair and roles in the project.
    images.check(cluster)
    _add_scheduling(config, cluster)
    if not _ray.reads_only():  # `ray down` lists anyway, and needs not be told twice
        _ask_each_zone(provider)
        offered.check(cluster)
        with one_sentence():
            for note in check_reservations(cluster):
                _ray.cli_logger().warning("{}", note)
        with one_sentence():
            training.check_subnetworks(client(provider, "compute"), provider)
    training.add(config, cluster)
    config = _with_project(config)
    if not _ray.reads_only():
        with one_sentence(f"provider.{PLACEMENT}: "):
            training.make_policies(client(provider, "compute"), config)
    # Ray's subnet step writes a default network into every node_config that names none: it would override a template's.
    for name, node_type in cluster.node_types.items():
        if "networkInterfaces" in node_type.node_config and "networkInterfaces" not in given_types[name]["node_config"]:
            config["available_node_types"][name]["node_config"].pop("networkInterfaces", None)  # the template's stays
    return config


def _with_project(config: Config) -> Config:
    """Take Ray's own steps in the project: its service account, key pair and network."""
    provider, steps = config["provider"], _ray.gcp_bootstrap()
    project = f"provider.project_id {provider['project_id']}: "
    with one_sentence(), said_in_one_sentence("Google Cloud", REMEDIES, sentence_of):
        # In the order of Ray's bootstrap_gcp; the project first, because the others need its id.
        crm, iam, compute = (client(provider, api) for api in ("cloudresourcemanager", "iam", "compute"))
        with one_sentence(project, "is it the id of your project, and may these credentials use it?"):
            config = steps._configure_project(config, crm)  # noqa: SLF001
        config = _with_service_account(config, crm, iam)
        config = _with_key_pair(config, compute)
        try:
            return steps._configure_subnet(config, compute)  # type: ignore[no-any-return]  # noqa: SLF001
        except KeyError:
            # Ray reads response["items"], which Google leaves out of an empty list.
            raise ClusterConfigError(
                f"project {provider['project_id']} has no subnetwork in {provider['region']}; create one, or name "
                "networkInterfaces in each node_config"
            ) from None


def _with_key_pair(config: Config, compute: Any) -> Config:
    """Return the config with the key pair that Ray makes, or finds, for this computer and project."""
    try:
        return _ray.gcp_bootstrap()._configure_key_pair(config, compute)  # type: ignore[no-any-return]  # noqa: SLF001
    except AssertionError as error:  # it gives up after ten keys that this computer has and the project has not
        user = config["auth"].get("ssh_user")
        raise ClusterConfigError(
            "auth.ssh_private_key is missing, and Ray could not make a key pair for auth.ssh_user "
            f"{shown(user)} ({error}); "
            "name a private key there whose public half is in the project's metadata, or remove old keys, "
            "~/.ssh/ray-autoscaler_gcp_*"
        ) from None


def _ask_each_zone(provider: Config) -> None:
    """Ask each zone for nodes, once: the mistakes in zones and permissions that every listing would meet.

    Raises:
        GoogleRefusedError: a zone that does not exist, no permission, or a disabled API.
        ClusterConfigError: the cluster has TPU slices, and Google has no Cloud TPU in any of its zones.
    """
    zones, project = zones_of(provider), provider["project_id"]
    without_tpu = []
    for zone in zones:
        key = f"provider.availability_zone {zone}: "
        # One machine or slice a page: nobody reads the answer, only whether there is one.
        with one_sentence(key, "does the zone exist, and may these credentials list machines in it?"):
            client(provider, "compute").instances().list(project=project, zone=zone, maxResults=1).execute()
        if not provider.get(_ray.gcp_bootstrap().HAS_TPU_PROVIDER_FIELD):
            continue
        with one_sentence(key, "is the Cloud TPU API enabled in the project, and may these credentials use it?"):
            nodes = client(provider, "tpu").projects().locations().nodes()
            try:
                nodes.list(parent=f"projects/{project}/locations/{zone}", pageSize=1).execute()
            except HttpError as error:
                if status_of(error) != 404:
                    raise
                # Cloud TPU is not in this zone, which has machines anyway.
                without_tpu.append(zone)
    if len(without_tpu) == len(zones):
        raise ClusterConfigError(
            f"provider.availability_zone is {','.join(zones)}, which has no Cloud TPU; name a zone that has it "
            "(docs.cloud.google.com/tpu/docs/regions-zones)"
        )


def with_templates(config: Config) -> Config:
    """Return a copy of the config whose node_configs hold what their instance templates hold, below their own.

    Raises:
        GoogleRefusedError: a template cannot be read.
    """
    seen = copy.deepcopy(config)
    for name, node_type in seen["available_node_types"].items():
        node_config = node_type.get("node_config") or {}
        key = f"available_node_types.{name}.node_config.sourceInstanceTemplate"
        if template := template_of(key, node_config.get("sourceInstanceTemplate")):
            with one_sentence(f"{key}: "):
                properties = _properties(seen["provider"], template)
            node_type["node_config"] = with_template(node_config, properties)
    return seen


@contextlib.contextmanager
def one_sentence(beginning: str = "", advice: str = "") -> Iterator[None]:
    """Turn what Google and its libraries raise into one sentence.

    Args:
        beginning: of the sentence.
        advice: the end of the sentence, where Google refused.

    Raises:
        GoogleRefusedError: in their place.
    """
    try:
        yield
    except HttpError as error:
        failure = of_exception(error)
        ending = f"; {advice}" if advice else ""
        raise GoogleRefusedError(f"{beginning}Google refused ({failure.category.value}): {failure}{ending}") from None
    except OperationFailedError as error:
        raise GoogleRefusedError(f"{beginning}Google says: {error.failure}") from None
    except (GoogleAuthError, *BROKEN) as error:
        raise GoogleRefusedError(f"{beginning}{sentence_of(error)}") from None


def _with_service_account(config: Config, crm: Any, iam: Any) -> Config:
    """Return the config with the head's service account, made by Ray; as it is where the head names one of its own.

    Ray would make its account anyway, and give it roles in the whole project: that takes a permission which is as
    much as every other, and what it made would not be used.
    """
    if config["available_node_types"][config["head_node_type"]]["node_config"].get("serviceAccounts"):
        return config
    # Ray sets the whole policy of the project, as it read it: of two such writers Google refuses the second one (409).
    step = _ray.gcp_bootstrap()._configure_iam_role  # noqa: SLF001
    made: Config = retry_on_conflict(lambda: step(config, crm, iam), _is_policy_conflict)
    return made


def _is_policy_conflict(error: Exception) -> bool:
    """Return whether another's change of the policy came between.

    A service account that was just made may be unknown to the policy for some seconds, a 400 that passes too
    (docs.cloud.google.com/iam/docs/service-accounts-create).
    """
    return status_of(error) == 409 or (status_of(error) == 400 and "does not exist" in str(error))


def _add_scheduling(config: Config, cluster: Cluster) -> None:
    """Add what accelerators and spot machines need: here the user's own machine types and templates are known."""
    keep_stopped = bool(config["provider"].get("cache_stopped_nodes"))
    for name, node_type in cluster.node_types.items():
        # A slice has its schedulingConfig, which the user writes; nothing is missing there.
        if node_type.machine.slice is not None:
            continue
        accelerated, merged = node_type.machine.machine.chip is not None, node_type.node_config
        check_scheduling(f"{node_type.location}.node_config", merged, accelerated=accelerated)
        delete = not keep_stopped and not node_type.is_head
        added = missing_scheduling(merged, accelerated=accelerated, delete_preempted=delete)
        node_config = config["available_node_types"][name]["node_config"]
        given = node_config.get("scheduling") or {}
        if added:
            # A list stays a list: a file that was made from Ray's own defaults.yaml has one there.
            node_config["scheduling"] = [*given, added] if isinstance(given, list) else {**given, **added}


def _properties(provider: Config, template: dict[str, str | None]) -> dict[str, Any]:
    """Return what an instance template holds."""
    compute, project = client(provider, "compute"), template["project"] or provider["project_id"]
    if template["region"]:
        call = compute.regionInstanceTemplates().get(
            project=project, region=template["region"], instanceTemplate=template["name"]
        )
    else:
        call = compute.instanceTemplates().get(project=project, instanceTemplate=template["name"])
    properties: dict[str, Any] = call.execute().get("properties") or {}
    return properties
