"""The public parameters of AWS Systems Manager that name machine images: those that AWS documents, in every region.

The rows are this cloud's own, not those that the fill takes its images from: a name that AWS does not document is not
found here, as it is not found at AWS.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
import hashlib
from pathlib import Path
from typing import Any

PUBLISHED = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)


@functools.cache
def documented() -> frozenset[str]:
    """Return the names of the parameters."""
    with Path(__file__).with_name("public_parameters.csv").open(encoding="utf-8", newline="") as file:
        return frozenset(row["parameter"] for row in csv.DictReader(file))


def image_id(parameter: str) -> str:
    """Return the image that a parameter names: made up, and always the same."""
    return f"ami-{hashlib.sha256(parameter.encode()).hexdigest()[:17]}"


def patch_parameters() -> None:
    """Make moto know them, as it knows those of Amazon Linux: loaded when they are first asked for."""
    from moto.ssm.models import Parameter, ParameterDict

    load = ParameterDict._check_loading_status  # noqa: SLF001 - moto has no public setter

    def with_images(self: Any, key: str) -> None:
        load(self, key)
        if key in documented() and not dict.__contains__(self, key):
            parameter = Parameter(
                account_id=self.account_id,
                name=key,
                value=image_id(key),
                parameter_type="String",
                description=None,
                allowed_pattern=None,
                keyid=None,
                last_modified_date=PUBLISHED,
                version=1,
                data_type="aws:ec2:image",
            )
            dict.__setitem__(self, key, [parameter])

    ParameterDict._check_loading_status = with_images  # noqa: SLF001
    _refuse_in_json()


def _refuse_in_json() -> None:
    """Systems Manager speaks JSON; moto refuses a caller without permission in the XML of EC2."""
    from moto.core.exceptions import JsonRESTError
    from moto.iam.access_control import IAMRequest

    refuse = IAMRequest._raise_access_denied  # noqa: SLF001

    def in_json(self: Any) -> None:
        if self._service != "ssm":
            refuse(self)
        text = f"User: {self._access_key.arn} is not authorized to perform: {self._action}"
        raise JsonRESTError("AccessDeniedException", text)

    IAMRequest._raise_access_denied = in_json  # noqa: SLF001
