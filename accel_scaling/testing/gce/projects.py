"""The project of the machines: its metadata and network, its policy, its service accounts."""

from __future__ import annotations

import copy
import secrets
from typing import TYPE_CHECKING, Any

from accel_scaling.testing.gce.api_errors import ApiError, exists, not_found
from accel_scaling.testing.gce.state import COMPUTE

if TYPE_CHECKING:
    from accel_scaling.testing.gce.state import State


class Projects:
    """One project, ready for use.

    Args:
        state: the project's.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._metadata: dict[str, Any] = {"kind": "compute#metadata", "fingerprint": "AAAA", "items": []}
        self._policy: dict[str, Any] = {"version": 1, "etag": "BwAAAAAAAAA=", "bindings": []}
        self._accounts: dict[str, dict[str, Any]] = {}
        self.handlers: dict[str, Any] = {
            "compute.projects.get": self._project,
            "compute.projects.setCommonInstanceMetadata": self._set_metadata,
            "compute.subnetworks.list": self._subnetworks,
            "compute.zones.list": self._zones,
            "cloudresourcemanager.projects.get": self._resource_project,
            "cloudresourcemanager.projects.getIamPolicy": self._get_policy,
            "cloudresourcemanager.projects.setIamPolicy": self._set_policy,
            "iam.projects.serviceAccounts.get": self._get_account,
            "iam.projects.serviceAccounts.create": self._create_account,
        }

    def public_keys(self, metadata: dict[str, Any]) -> list[str]:
        """Return the ssh keys, ``user:key``, in a machine's metadata and in the project's."""
        items = [*self._metadata.get("items", []), *metadata.get("items", [])]
        texts = [item.get("value", "") for item in items if item["key"] in {"ssh-keys", "sshKeys"}]
        return [line for text in texts for line in text.splitlines() if ":" in line]

    def _project(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        self._check(parameters["project"])
        return {
            "kind": "compute#project",
            "name": self._state.project,
            "commonInstanceMetadata": copy.deepcopy(self._metadata),
        }

    def _set_metadata(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        self._check(parameters["project"])
        # Ray adds its ssh key to the project's metadata by reading and writing all of it; two at once must not lose
        # one.
        if body.get("fingerprint") != self._metadata["fingerprint"]:
            raise ApiError(412, "Supplied fingerprint does not match current metadata fingerprint.", "conditionNotMet")
        self._metadata = {**body, "fingerprint": secrets.token_urlsafe(6)}
        target = f"projects/{self._state.project}"
        return self._state.view(self._state.begin("setMetadata", target, "global", list))

    def _subnetworks(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        self._check(parameters["project"])
        place = f"{COMPUTE}projects/{self._state.project}"
        region = f"{place}/regions/{self._state.region}"
        if parameters["region"] != self._state.region:
            return {"kind": "compute#subnetworkList"}
        items = [
            {
                "kind": "compute#subnetwork",
                "name": name,
                "ipCidrRange": f"10.{128 + number}.0.0/20",
                "region": region,
                "selfLink": f"{region}/subnetworks/{name}",
                "network": f"{place}/global/networks/{name}",
            }
            for number, name in enumerate(("default", *self._state.injection.subnetworks))
        ]
        return {"kind": "compute#subnetworkList", "items": items}

    def _zones(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        self._check(parameters["project"])
        zones = [{"kind": "compute#zone", "name": name, "status": "UP"} for name in self._state.zones]
        return {"kind": "compute#zoneList", "items": zones}

    def _resource_project(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        self._check(parameters["projectId"])
        name = self._state.project
        return {"projectId": name, "name": name, "projectNumber": "123456789012", "lifecycleState": "ACTIVE"}

    def _get_policy(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        self._check(parameters["resource"])
        return self._policy

    def _set_policy(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        self._check(parameters["resource"])
        policy = body["policy"]
        if policy.get("etag") not in (None, self._policy["etag"]):
            text = (
                "There were concurrent policy changes. Please retry the whole read-modify-write with exponential "
                "backoff."
            )
            raise ApiError(409, text, "aborted", "ABORTED")
        self._policy = {**policy, "etag": secrets.token_urlsafe(8)}
        return self._policy

    def _get_account(self, parameters: dict[str, str], _body: Any) -> dict[str, Any]:
        email = parameters["name"].rpartition("/")[2]
        if email not in self._accounts:
            raise ApiError(404, f"Unknown service account {email}", "notFound")
        return self._accounts[email]

    def _create_account(self, parameters: dict[str, str], body: Any) -> dict[str, Any]:
        project = parameters["name"].rpartition("/")[2]
        self._check(project)
        email = f"{body['accountId']}@{project}.iam.gserviceaccount.com"
        if email in self._accounts:
            raise exists(f"projects/{project}/serviceAccounts/{email}")
        account = {"name": f"projects/{project}/serviceAccounts/{email}", "projectId": project, "email": email}
        self._accounts[email] = {**account, **(body.get("serviceAccount") or {})}
        return self._accounts[email]

    def _check(self, project: str) -> None:
        if project not in (self._state.project, f"projects/{self._state.project}"):
            raise not_found(f"projects/{project}")
