"""EC2's offer for `catalog refresh`: its regions, what each has, and each instance type; several regions at once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.catalog.columns import ARCHITECTURES
from accel_scaling.catalog.launch_errors import Category, Failure, classified
from accel_scaling.catalog.networks import Card, text_of
from accel_scaling.catalog.suggest import hint
from accel_scaling.clouds import known_clouds
from accel_scaling.message_text import shown
from accel_scaling.providers.aws.errors import NOT_ALLOWED, code_of, sentence_of
from accel_scaling.refresh.records import INTERRUPTED, ApiDevice, ApiMachine, CloudAnswer
from accel_scaling.refresh.requests import RefreshError, RefusedError, at_once, patiently
from accel_scaling.requirements import missing
from accel_scaling.status_line import doing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from accel_scaling.refresh.requests import Sleep

CLOUD = "aws"
SOURCE = "EC2 DescribeInstanceTypeOfferings"
EFA = "efa"
FIRST_REGION = "us-east-1"  # asked for the list of regions where the environment names none

_NAMES_AT_ONCE = 200  # values of one filter: EC2 takes no more
_NEEDS = "ec2:DescribeRegions, ec2:DescribeInstanceTypeOfferings and ec2:DescribeInstanceTypes"

# The blocks of a record that hold accelerators: block, its list, our word. One device may be in two (Inferentia).
BLOCKS = (
    ("NeuronInfo", "NeuronDevices", "neuron"),
    ("GpuInfo", "Gpus", "gpu"),
    ("InferenceAcceleratorInfo", "Accelerators", "inference"),
    ("FpgaInfo", "Fpgas", "fpga"),
    ("MediaAcceleratorInfo", "Accelerators", "media"),
)


def ask(regions: Sequence[str] = (), project: str | None = None, *, sleep: Sleep = None) -> CloudAnswer:
    """Ask EC2, by the environment's credentials and endpoint, for all regions that the account has, or some.

    A region that does not answer, or not before Ctrl-C, is in ``failed``; what the others answered is kept.

    Raises:
        RefreshError: a project is named, boto3 or credentials are missing, EC2 refuses, or a region does not exist.
    """
    if project:
        raise RefreshError("--project is Google Cloud's; aws has regions only")
    with doing("EC2 is asked for its regions"):
        session = _session()
        account_regions = _regions(session, sleep)
    for region in regions:
        if region not in account_regions:
            raise RefreshError(f"region {shown(region)} does not exist on EC2{hint(region, account_regions)}")
    answer = CloudAnswer(CLOUD, SOURCE)
    for region in regions or account_regions:
        if account_regions[region] == "not-opted-in":
            answer.failed[region] = "not enabled for this account"
    enabled = [region for region in regions or account_regions if region not in answer.failed]
    clients = {region: _client(session, region) for region in enabled}  # boto3 makes clients one after another
    answer.failed.update(dict.fromkeys(enabled, INTERRUPTED))  # until it has answered
    answers, answer.interrupted = at_once(
        lambda region, wait: _offered(clients[region], region, wait), enabled, sleep=sleep, what="offerings"
    )
    for region, offered in answers:
        if isinstance(offered, str):
            answer.failed[region] = offered
        else:
            answer.offered[region] = offered
            del answer.failed[region]
    if not answer.interrupted:
        _describe(answer, clients, sleep)
    # What the region offers is known, but not what its types are: half an answer counts as none.
    for region in answer.failed:
        answer.offered.pop(region, None)
    return answer


def _describe(answer: CloudAnswer, clients: Mapping[str, Any], sleep: Sleep) -> None:
    """Ask for each type once, in a region that offers it; where one does not answer, the next is asked."""
    regions = dict(answer.offered)
    described: set[str] = set()
    while regions:
        by_region: dict[str, list[str]] = {}
        for name in sorted({name for offered in regions.values() for name in offered} - set(answer.types) - described):
            by_region.setdefault(next(region for region in regions if name in regions[region]), []).append(name)
        if not by_region:
            return
        pieces = [
            (region, names[at : at + _NAMES_AT_ONCE])
            for region, names in by_region.items()
            for at in range(0, len(names), _NAMES_AT_ONCE)
        ]
        answers, answer.interrupted = at_once(
            lambda piece, wait: _described(clients[piece[0]], piece[1], wait),
            pieces,
            sleep=sleep,
            what="types",
            unit="call",
        )
        for (region, names), records in answers:
            if isinstance(records, str):
                regions.pop(region, None)
                answer.failed[region] = records
            else:
                described.update(names)
                _take(answer, records)
        if answer.interrupted:
            return


def _take(answer: CloudAnswer, records: Sequence[Mapping[str, Any]]) -> None:
    for record in records:
        name = str(record.get("InstanceType") or "")
        try:
            answer.types[name] = told(record)
        except LackingError as error:
            answer.lacking[name] = str(error)


def _session() -> Any:
    try:
        import boto3
    except ModuleNotFoundError:
        raise missing("boto3", "refresh") from None
    with _settings_told():
        session = boto3.Session()
        credentials = session.get_credentials()
        if credentials is not None:
            credentials.get_frozen_credentials()  # a sign-in or a program is asked for them now, not at the first call
    if credentials is None:
        raise RefreshError(
            "no AWS credentials; run `aws configure`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY; they need {_NEEDS}"
        )
    return session


@contextlib.contextmanager
def _settings_told() -> Iterator[None]:
    """Turn what boto3 says of its own files, variables and programs into our error, with the remedy."""
    try:
        yield
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        raise RefreshError(sentence) from None


def _client(session: Any, region: str) -> Any:
    from botocore.config import Config

    config = Config(
        retries={"total_max_attempts": 1},  # we try again ourselves, one way for every cloud
        connect_timeout=timeouts.REFRESH_CONNECT_S,
        read_timeout=timeouts.REFRESH_CALL_S,
        max_pool_connections=timeouts.REFRESH_PARALLEL,
    )
    with _settings_told():  # the endpoint is read here, and the region
        return session.client("ec2", region_name=region, config=config)


def _regions(session: Any, sleep: Sleep) -> dict[str, str]:
    """Return each region with EC2's word for whether the account has it."""
    client = _client(session, session.region_name or FIRST_REGION)
    try:
        # Without AllRegions EC2 names only those that the account has enabled, and the rest would seem not to exist.
        answer = patiently(lambda: client.describe_regions(AllRegions=True), _failure, sleep=sleep)
    except RefusedError as error:
        cause = error.__cause__
        # The network and the credentials: the table of errors has their remedies.
        if cause is not None and code_of(cause) not in NOT_ALLOWED:
            raise RefreshError(f"EC2 does not list its regions: {sentence_of(cause) or error}") from None
        needs = f"; the credentials need {_NEEDS}" if error.failure.category is Category.PERMISSION else ""
        raise RefreshError(f"EC2 does not list its regions: {error}{needs}") from None
    return {region["RegionName"]: region.get("OptInStatus", "") for region in answer["Regions"]}


def _offered(client: Any, region: str, sleep: Sleep) -> dict[str, set[str]] | str:
    """Return the types that a region offers with their zones, or why they are not known."""
    zones_of_type: dict[str, set[str]] = {}
    try:
        # By the zone's id: a name such as us-east-1a means another zone in each account.
        for page in _all(client.describe_instance_type_offerings, sleep, LocationType="availability-zone-id"):
            for row in page["InstanceTypeOfferings"]:
                zones_of_type.setdefault(row["InstanceType"], set()).add(
                    known_clouds()[CLOUD].short_zone(region, row["Location"])
                )
    except RefusedError as error:
        return str(error)
    return zones_of_type or "lists no instance type"


def _described(client: Any, names: Collection[str], sleep: Sleep) -> list[Mapping[str, Any]] | str:
    # A filter, because a name that the region does not have is no error in it.
    named = [{"Name": "instance-type", "Values": list(names)}]
    try:
        pages = list(_all(client.describe_instance_types, sleep, Filters=named))
    except RefusedError as error:
        return str(error)
    return [record for page in pages for record in page["InstanceTypes"]]


def _all(call: Callable[..., Any], sleep: Sleep, **arguments: Any) -> Iterator[Any]:
    """Yield each page of an answer."""
    token: dict[str, str] = {}
    while True:
        page = patiently(lambda: call(**arguments, **token), _failure, sleep=sleep)  # noqa: B023 - called at once
        yield page
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _failure(error: Exception) -> Failure | None:
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError  # noqa: A004 - botocore's

    if isinstance(error, ClientError):
        told_us = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        return classified(CLOUD, [str(told_us.get("Code", "unknown")), str(status)], str(told_us.get("Message", "")))
    if isinstance(error, (ConnectionError, HTTPClientError)):
        return Failure(Category.UNAVAILABLE, "no answer", str(error))
    if isinstance(error, BotoCoreError):
        return Failure(Category.UNKNOWN, type(error).__name__, sentence_of(error) or str(error))
    return None


class LackingError(Exception):
    """A record without something that a row needs."""


def told(record: Mapping[str, Any]) -> ApiMachine:
    """Return an instance type from a record of ``DescribeInstanceTypes``.

    Raises:
        LackingError: its vCPUs or its memory are not in the record.
    """
    vcpus = (record.get("VCpuInfo") or {}).get("DefaultVCpus")
    memory_mib = (record.get("MemoryInfo") or {}).get("SizeInMiB")
    missing = [word for word, value in (("vCPUs", vcpus), ("memory", memory_mib)) if not value]
    if missing:
        raise LackingError(f"no {' and no '.join(missing)}")
    archs = [
        str(architecture).removesuffix("_mac")
        for architecture in (record.get("ProcessorInfo") or {}).get("SupportedArchitectures") or ()
    ]
    arch = next((architecture for architecture in ARCHITECTURES if architecture in archs), None)
    return ApiMachine(
        str(record["InstanceType"]),
        int(vcpus or 0),
        int(memory_mib or 0),
        arch,
        tuple(_devices(record)),
        *_network(record.get("NetworkInfo") or {}),
    )


def _network(info: Mapping[str, Any]) -> tuple[str, str]:
    """Return the word for the network of a type, and its cards: as many with EFA as it takes EFA interfaces."""
    left, cards = (info.get("EfaInfo") or {}).get("MaximumEfaInterfaces", 0), list[Card]()
    for card in info.get("NetworkCards") or ():
        # An answer without InterfaceTypes is of before there were cards that take no EFA.
        takes = left > 0 and EFA in (card.get("InterfaceTypes") or (EFA,))
        left -= takes
        cards.append(Card(EFA if takes else "ena", int(card.get("MaximumNetworkInterfaces") or 1)))
    return (EFA if any(card.kind == EFA for card in cards) else ""), text_of(tuple(cards))


def _devices(record: Mapping[str, Any]) -> Iterator[ApiDevice]:
    """Yield each kind of device once: the first block that names it, its counts in that block added up."""
    seen: dict[str, ApiDevice] = {}
    for block, key, block_kind in BLOCKS:
        before = set(seen)
        for accelerator in (record.get(block) or {}).get(key) or ():
            device = _device(accelerator, block_kind)
            known = seen.get(device.name)
            if known is None:
                seen[device.name] = device
            elif device.name not in before and known.count is not None and device.count is not None:
                seen[device.name] = ApiDevice(**{**vars(known), "count": known.count + device.count})
    yield from seen.values()


def _device(accelerator: Mapping[str, Any], block_kind: str) -> ApiDevice:
    name = str(accelerator.get("Name") or "").strip() or f"an accelerator without a name ({block_kind})"
    count: int | None = accelerator.get("Count")
    share: float | None = 1.0
    if count == 0 or (accelerator.get("GpuPartitionSize") or 1.0) < 1.0:
        # g6f: Count 0, LogicalGpuCount 1, GpuPartitionSize 0.125
        count, size = accelerator.get("LogicalGpuCount") or None, accelerator.get("GpuPartitionSize")
        share = float(size) if size and size < 1.0 else None
    return ApiDevice(
        name=name,
        count=count,
        share=share,
        memory_mib=(accelerator.get("MemoryInfo") or {}).get("SizeInMiB"),
        maker=str(accelerator.get("Manufacturer") or ""),
        kind=block_kind,
        cores=(accelerator.get("CoreInfo") or {}).get("Count"),
    )
