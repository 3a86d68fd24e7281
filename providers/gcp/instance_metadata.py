"""Google's metadata server, as a machine asks it about itself: no SDK, no permission."""

from __future__ import annotations

import http
import os

from accel_scaling.providers.base.metadata_connection import MetadataConnection

HOST_VARIABLE = "GCE_METADATA_HOST"
_HOST = "metadata.google.internal"
FLAVOR = "Metadata-Flavor"  # of each question, and of each answer of Google's
INSTANCE = "/computeMetadata/v1/instance/"


def metadata_host() -> str:
    """Return the server's name, which a variable may change."""
    return os.environ.get(HOST_VARIABLE) or _HOST


class InstanceMetadata:
    """A connection to the server, opened again where it broke."""

    def __init__(self) -> None:
        self._host = metadata_host()
        self._connection = MetadataConnection("Google's metadata server", self._host)

    def get(self, path: str) -> str | None:
        """Return one item; None where there is none (404).

        Args:
            path: below ``instance/``.

        Raises:
            OSError: the server does not answer.
        """
        answer = self._connection.ask("GET", INSTANCE + path, {FLAVOR: "Google"})
        if answer.status != http.HTTPStatus.OK:
            return None
        if answer.headers.get(FLAVOR) != "Google":
            raise OSError(f"{self._host} is not Google's metadata server")
        return answer.text
