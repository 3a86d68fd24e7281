"""Compute Engine's offer for `catalog refresh`: its machine types and accelerator types, in lists over all zones.

The endpoint is Google's, or what ``CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE`` names; credentials are Google's default
ones, or none where ``CLOUDSDK_AUTH_DISABLE_CREDENTIALS`` is true: gcloud's own two variables.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from accel_scaling import timeouts
from accel_scaling.catalog.custom_machine_types import is_custom
from accel_scaling.catalog.launch_errors import Category, Failure, classified
from accel_scaling.catalog.suggest import hint
from accel_scaling.clouds import known_clouds
from accel_scaling.message_text import shown
from accel_scaling.providers.gcp.errors import GoogleRefusedError, default_credentials, sentence_of
from accel_scaling.refresh.records import ApiDevice, ApiMachine, CloudAnswer
from accel_scaling.refresh.requests import RefreshError, RefusedError, patiently, progress
from accel_scaling.requirements import missing
from accel_scaling.status_line import doing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel_scaling.refresh.requests import Sleep

CLOUD = "gcp"
SOURCE = "Compute Engine machineTypes and acceleratorTypes"
ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"
NO_CREDENTIALS = "CLOUDSDK_AUTH_DISABLE_CREDENTIALS"

_PAGE = 500  # the most that Google returns at once
_EMPTY = "NO_RESULTS_ON_PAGE"  # the warning of a zone that has nothing on this page; every page has most zones so

ARCHITECTURES = {"X86_64": "x86_64", "ARM64": "arm64"}

# What nobody can create any more; DEPRECATED ones still can be.
GONE = ("OBSOLETE", "DELETED")

_MEMORY = re.compile(r"(?:^|[-\s])([0-9]+)\s?gb\b", re.IGNORECASE)  # nvidia-h100-80gb, "NVIDIA A100 80GB"
_MIB_PER_GIB = 1024


def ask(regions: Sequence[str] = (), project: str | None = None, *, sleep: Sleep = None) -> CloudAnswer:
    """Ask Compute Engine for all regions, or some.

    A region with a zone that does not answer is in ``failed``; what the others answered is kept.

    Raises:
        RefreshError: the client library, credentials or the project are missing, Google refuses, or a region does
            not exist.
    """
    google = _Google(project, sleep)
    answer = CloudAnswer(CLOUD, SOURCE)
    offered: dict[str, dict[str, set[str]]] = {}
    for zone, item in google.items("MachineTypes"):
        # A custom machine type has numbers that a user chose in its name; the catalog has a rule for them, no rows.
        if is_gone(item) or is_custom(item.name):
            continue
        _offer(offered, zone, item.name)
        if lacking := lacks(item):
            answer.lacking[item.name] = lacking
        else:
            answer.types[item.name] = told(item)
    for zone, item in google.items("AcceleratorTypes"):
        if not is_gone(item):
            _offer(offered, zone, item.name)
            answer.attachable[item.name] = attachable(item)
    silent = {_region(zone) for zone in google.silent}
    every = sorted({*offered, *silent})
    for region in regions:
        if region not in every:
            raise RefreshError(f"region {shown(region)} does not exist on Compute Engine{hint(region, every)}")
    for region in regions or every:
        if region in silent:
            zones = ", ".join(sorted(zone for zone in google.silent if _region(zone) == region))
            answer.failed[region] = f"zone {zones} did not answer"
        else:
            answer.offered[region] = offered[region]
    return _of_regions(answer) if regions else answer


def _of_regions(answer: CloudAnswer) -> CloudAnswer:
    """Return an answer without the types of regions that were not asked for."""
    here = {name for offered in answer.offered.values() for name in offered}
    answer.types = {name: record for name, record in answer.types.items() if name in here}
    answer.lacking = {name: record for name, record in answer.lacking.items() if name in here}
    answer.attachable = {name: record for name, record in answer.attachable.items() if name in here}
    return answer


class _Google:
    """The lists of Compute Engine.

    Attributes:
        silent: zones that did not answer in some list.
    """

    def __init__(self, project: str | None, sleep: Sleep) -> None:
        try:
            from google.cloud import compute_v1
        except ImportError:
            raise missing("google.cloud.compute_v1", "refresh") from None
        self._compute, self._sleep = compute_v1, sleep
        with doing("Google's credentials are looked up"):
            self._credentials, default = _credentials()
        self._project = project or default
        if not self._project:
            raise RefreshError("no Google project; name one with --project, or run `gcloud config set project PROJECT`")
        self.silent: set[str] = set()

    def items(self, types: str) -> Iterator[tuple[str, Any]]:
        """Yield each (zone, item) of ``MachineTypes`` or ``AcceleratorTypes``."""
        client = self._client(types)
        key = {"MachineTypes": "machine_types", "AcceleratorTypes": "accelerator_types"}[types]
        request = getattr(self._compute, f"AggregatedList{types}Request")(project=self._project, max_results=_PAGE)
        with progress(types, unit="page") as step:
            while True:
                page = self._page(client, request, types)
                step()
                # An answer may be partial: zones that did not answer are named, or their own part has a warning.
                self.silent.update(place.rpartition("/")[2] for place in page.unreachables)
                for place, scope in page.items.items():
                    zone = place.rpartition("/")[2]
                    if scope.warning.code and scope.warning.code != _EMPTY:
                        self.silent.add(zone)
                    for item in getattr(scope, key):
                        yield zone, item
                if not page.next_page_token:
                    return
                request.page_token = page.next_page_token

    def _page(self, client: Any, request: Any, types: str) -> Any:
        def call() -> Any:
            # No retries of the library's: patiently() tries again, one way for every cloud.
            return client.aggregated_list(request=request, retry=None, timeout=timeouts.REFRESH_CALL_S)

        try:
            return patiently(call, _failure, sleep=self._sleep)
        except RefusedError as error:
            cause = error.__cause__
            if cause is not None and (sentence := sentence_of(cause)):
                raise RefreshError(f"Google does not list {types} for project {self._project}: {sentence}") from None
            denied = error.failure.category is Category.PERMISSION
            needs = "; it needs compute.machineTypes.list and compute.acceleratorTypes.list" if denied else ""
            raise RefreshError(f"Google does not list {types} for project {self._project}: {error}{needs}") from None

    def _client(self, types: str) -> Any:
        """Return the client of one list, at Google's endpoint or the one that the environment names."""
        made = getattr(self._compute, f"{types}Client")
        url = urlsplit(os.environ.get(ENDPOINT, ""))
        if not url.netloc:
            return made(credentials=self._credentials)
        transport = made.get_transport_class("rest")
        return made(transport=transport(host=url.netloc, credentials=self._credentials, url_scheme=url.scheme))


def _credentials() -> tuple[Any, str | None]:
    """Return the credentials and their project, None where none does."""
    if os.environ.get(NO_CREDENTIALS, "").lower() in {"1", "true", "yes", "on"}:
        from google.auth.credentials import AnonymousCredentials

        named = (os.environ.get(name) for name in ("CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT"))
        return AnonymousCredentials(), next((name for name in named if name), None)
    try:
        return default_credentials()
    except GoogleRefusedError as error:
        raise RefreshError(str(error)) from None


def _failure(error: Exception) -> Failure | None:
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import RequestException

    if isinstance(error, GoogleAPICallError):
        codes = [str(detail.get("reason", "")) for detail in error.errors if isinstance(detail, dict)]
        status = str(int(error.code)) if error.code else "unknown"
        return classified(CLOUD, [*(code for code in codes if code), status], error.message or "")
    if isinstance(error, (RequestException, OSError)):
        return Failure(Category.UNAVAILABLE, "no answer", str(error))
    if isinstance(error, GoogleAuthError):
        return Failure(Category.PERMISSION, type(error).__name__, str(error))
    return None


def _region(zone: str) -> str:
    return zone.rpartition("-")[0]


def _offer(offered: dict[str, dict[str, set[str]]], zone: str, name: str) -> None:
    region = _region(zone)
    offered.setdefault(region, {}).setdefault(name, set()).add(known_clouds()[CLOUD].short_zone(region, zone))


def is_gone(item: Any) -> bool:
    """Return whether a machine type, or an accelerator type, can no longer be created."""
    return item.deprecated.state in GONE


def lacks(item: Any) -> str | None:
    """Return what a machine type's record does not say, None where it says all that a row needs."""
    missing = [word for word, value in (("vCPUs", item.guest_cpus), ("memory", item.memory_mb)) if not value]
    return f"no {' and no '.join(missing)}" if missing else None


def told(item: Any) -> ApiMachine:
    """Return a machine type from a record of ``machineTypes``; ``accelerators`` has an entry for each kind."""
    devices: dict[str, ApiDevice] = {}
    for device in _devices(item):
        known = devices.get(device.name)
        more = (known.count or 0) if known else 0
        devices[device.name] = ApiDevice(device.name, device.count + more if device.count else device.count)
    return ApiMachine(
        name=item.name,
        vcpus=int(item.guest_cpus),
        memory_mib=int(item.memory_mb),
        arch=ARCHITECTURES.get(item.architecture),
        devices=tuple(devices.values()),
    )


def attachable(item: Any) -> ApiDevice:
    """Return an accelerator from a record of ``acceleratorTypes``; its memory where its name or description says it."""
    memory = _MEMORY.search(item.name) or _MEMORY.search(item.description or "")
    return ApiDevice(
        name=item.name,
        count=None,
        memory_mib=int(memory[1]) * _MIB_PER_GIB if memory else None,
        maker="NVIDIA" if item.name.startswith("nvidia-") else "Google" if re.match(r"ct[0-9]|tpu", item.name) else "",
    )


def _devices(item: Any) -> Iterator[ApiDevice]:
    for accelerator in item.accelerators:
        name = str(accelerator.guest_accelerator_type or "").rpartition("/")[2] or "an accelerator without a name"
        yield ApiDevice(name, int(accelerator.guest_accelerator_count) or None)
