"""EC2's instance metadata service, as a machine asks it about itself: no SDK, no permission.

IMDSv2: a token for each session, which a machine may demand (HttpTokens).
"""

from __future__ import annotations

import http
import os
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from accel_scaling.providers.base.metadata_connection import MetadataConnection

if TYPE_CHECKING:
    from collections.abc import Callable

ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
_ENDPOINT = "http://169.254.169.254"
_TOKEN_S = 21_600  # the longest that IMDSv2 gives
_TOKEN = re.compile(r"[!-~]{1,512}")  # else it is a page of another server, and can be in no header
_META = "/latest/meta-data/"


class InstanceMetadata:
    """A connection to the service, opened again where it broke.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        endpoint = urlsplit(os.environ.get(ENDPOINT_VARIABLE) or _ENDPOINT)
        self._connection = MetadataConnection("EC2's metadata service", endpoint.hostname or "", endpoint.port or 80)
        self._clock = clock
        self._token, self._token_until_s = "", 0.0

    def get(self, path: str) -> str | None:
        """Return one item; None where there is none (404).

        Args:
            path: below ``meta-data/``.

        Raises:
            OSError: the service does not answer.
        """
        for _ in range(2):
            if self._clock() >= self._token_until_s:
                status, _, text = self._connection.ask(
                    "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_S)}
                )
                if status != http.HTTPStatus.OK or not _TOKEN.fullmatch(text):
                    raise OSError(f"EC2's metadata service gives no token: HTTP {status}")
                self._token, self._token_until_s = text, self._clock() + _TOKEN_S / 2
            status, _, text = self._connection.ask("GET", _META + path, {"X-aws-ec2-metadata-token": self._token})
            if status != http.HTTPStatus.UNAUTHORIZED:
                return text if status == http.HTTPStatus.OK else None
            self._token_until_s = 0.0  # the machine was stopped and started: its tokens have ended
        return None
