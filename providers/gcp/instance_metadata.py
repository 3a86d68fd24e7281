"""Google's metadata server, as a machine asks it about itself: no SDK, no permission."""

from __future__ import annotations

import http
import os

from accel_scaling.providers.base.metadata_connection import MetadataConnection

HOST_VARIABLE = "GCE_METADATA_HOST"
_HOST = "metadata.google.internal"
_FLAVOR = "Metadata-Flavor"  # of each question, and of each answer of Google's
_INSTANCE = "/computeMetadata/v1/instance/"


class InstanceMetadata:
    """A connection to the server, opened again where it broke."""

    def __init__(self) -> None:
        self._host = os.environ.get(HOST_VARIABLE) or _HOST
        self._connection = MetadataConnection("Google's metadata server", self._host)

    def get(self, path: str) -> str | None:
        """Return one item; None where there is none (404).

        Args:
            path: below ``instance/``.

        Raises:
            OSError: the server does not answer.
        """
        answer = self._connection.ask("GET", _INSTANCE + path, {_FLAVOR: "Google"})
        if answer.status != http.HTTPStatus.OK:
            return None
        if answer.headers.get(_FLAVOR) != "Google":
            raise OSError(f"{self._host} is not Google's metadata server")
        return answer.text
