"""Google's rules for names and labels.

Sources: the document of compute.instances.insert; docs.cloud.google.com/compute/docs/labeling-resources.
"""

from __future__ import annotations

import re

from accel_scaling.testing.gce.api_errors import wrong_field

NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")  # of a machine, and of a slice

_KEY, _VALUE, _MOST = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}"), 64


def check_labels(labels: dict[str, str]) -> None:
    """Refuse labels that Google refuses.

    Raises:
        ApiError: 400.
    """
    if len(labels) > _MOST:
        raise wrong_field("resource.labels", "", f"Labels in this resource exceed the limit of {_MOST}.")
    for key, value in labels.items():
        if not _KEY.fullmatch(key):
            raise wrong_field(
                "resource.labels",
                "",
                f"Label key '{key}' violates format constraints. The key must start with a lowercase character, can "
                "only contain lowercase letters, numeric characters, underscores and dashes. The key can be at most "
                "63 characters long.",
            )
        if not _VALUE.fullmatch(value):
            raise wrong_field(
                "resource.labels",
                "",
                f"Label value '{value}' violates format constraints. The value can only contain lowercase letters, "
                "numeric characters, underscores and dashes. The value can be at most 63 characters long.",
            )
