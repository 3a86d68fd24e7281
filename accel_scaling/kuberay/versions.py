"""Where a KubeRay version wants a group's resources and labels."""

from __future__ import annotations

import re
from enum import Enum

from accel_scaling.errors import AccelScalingError

_VERSION = re.compile(r"v?(\d{1,3})\.(\d{1,3})(?:\.\d{1,3})?(?:[-+.].*)?")
FIRST_WITH_FIELDS = (1, 5)  # ray-project/kuberay pull 4106


class Form(Enum):
    """How a group says what it promises."""

    FIELDS = "fields"  # the group's own `resources` and `labels`, since KubeRay 1.5
    PARAMS = "params"  # rayStartParams


def form_of(version: str | None) -> Form:
    """Return the form of a KubeRay version, the newest where none is given.

    Raises:
        AccelScalingError: it is no version.
    """
    if version is None:
        return Form.FIELDS
    found = _VERSION.fullmatch(version.strip())
    if not found:
        raise AccelScalingError(f"--kuberay-version is {version!r}; expected the operator's, such as 1.4 or v1.5.1")
    return Form.FIELDS if (int(found[1]), int(found[2])) >= FIRST_WITH_FIELDS else Form.PARAMS
