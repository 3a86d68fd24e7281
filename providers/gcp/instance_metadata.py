"""Google's metadata server, as a machine asks it about itself: no SDK, no permission."""

from __future__ import annotations

import http.client
import os

from accel_scaling.timeouts import NOTICE_SERVER_S

HOST_VARIABLE = "GCE_METADATA_HOST"
_HOST = "metadata.google.internal"
_FLAVOR = "Metadata-Flavor"  # of each question, and of each answer of Google's
_INSTANCE = "/computeMetadata/v1/instance/"


class InstanceMetadata:
    """A connection to the server, opened again where it broke."""

    def __init__(self) -> None:
        self._host = os.environ.get(HOST_VARIABLE) or _HOST
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> str | None:
        """Return one item; None where there is none (404).

        Args:
            path: below ``instance/``.

        Raises:
            OSError: the server does not answer.
        """
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, timeout=NOTICE_SERVER_S)
            self._connection.request("GET", _INSTANCE + path, headers={_FLAVOR: "Google"})
            answer = self._connection.getresponse()
            text = answer.read(65_536).decode(errors="replace")
        except (OSError, ValueError, http.client.HTTPException) as error:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            raise OSError(f"Google's metadata server does not answer: {error}") from None
        if answer.status != http.HTTPStatus.OK:
            return None
        if answer.getheader(_FLAVOR) != "Google":
            raise OSError(f"{self._host} is not Google's metadata server")
        return text
