"""The metadata servers of local clouds: each host asks at its own address, and learns of itself only.

One server answers in Google's way and in EC2's (IMDSv2): a host asks in that of its cloud.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.hosts.settings import HostKind
from accel_scaling.timeouts import LOCAL_CLOUD_POLL_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.testing.hosts.settings import Settings

PREFIX, FLAVOR = "/computeMetadata/v1/", "Metadata-Flavor"
EC2_PREFIX, EC2_TOKEN = "/latest/", "X-aws-ec2-metadata-token"
_TOKEN = "a-token-of-the-local-cloud"  # noqa: S105 - of an emulated server

Metadata = dict[str, str]  # path -> text


def etag_of(text: str) -> str:
    """Return the mark of a value, which is another one when the value changes."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class MetadataServers:
    """The metadata servers of one local cloud: one for all isolated hosts, one each for plain processes.

    Args:
        settings: the cloud's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of_address: dict[str, Metadata] = {}
        self._servers: dict[str, _MetadataServer] = {}
        if settings.kind is HostKind.ISOLATED:
            from accel_scaling.testing.hosts.isolated import bridge_address

            address = settings.metadata_address or bridge_address(settings)
            self._serve(address, lambda client: self._of_address.get(client, {}))

    def add(self, address: str, metadata: Metadata) -> None:
        """Answer the host at this address with this from now on.

        Raises:
            RehearsalError: another program has the port there.
        """
        self._of_address[address] = metadata
        if self._settings.kind is HostKind.PROCESSES:
            # One server for each: on loopback the kernel gives every client the address 127.0.0.1, and it cannot
            # tell who asks.
            self._serve(address, lambda _client: metadata)

    def tell(self, address: str, metadata: Metadata) -> None:
        """Tell a host more than before; nothing where it has ended."""
        if address in self._of_address:
            self._of_address[address].update(metadata)

    def remove(self, address: str) -> None:
        """Stop answering a host."""
        self._of_address.pop(address, None)
        server = self._servers.pop(address, None)
        if server is not None:
            server.shutdown()
            server.server_close()

    def close(self) -> None:
        """Stop answering."""
        for address in list(self._servers):
            self.remove(address)

    def _serve(self, address: str, metadata_of: Callable[[str], Mapping[str, str]]) -> None:
        port = self._settings.metadata_port
        try:
            server = _MetadataServer((address, port), metadata_of)
        except OSError as error:
            raise RehearsalError(f"no metadata server at {address}:{port}: {error.strerror}") from None
        self._servers[address] = server
        # The poll interval, as shutdown() waits for the next poll: with the default, half a second for each host.
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()


class _MetadataServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], metadata_of: Callable[[str], Mapping[str, str]]) -> None:
        super().__init__(address, _MetadataHandler)
        self.metadata_of = metadata_of

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write no traceback of a host that has ended while its answer was held back."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _MetadataHandler(BaseHTTPRequestHandler):
    server: _MetadataServer

    def log_message(self, *_: object) -> None:
        """Write no log."""

    def do_GET(self) -> None:
        """Answer one path; each cloud demands a header: no browser can be made to ask."""
        path = self.path.partition("?")[0]
        metadata = self.server.metadata_of(str(self.client_address[0]))
        if path.startswith(EC2_PREFIX):
            allowed, refusal = self.headers.get(EC2_TOKEN) == _TOKEN, 401
            key = path.removeprefix(EC2_PREFIX).removeprefix("meta-data/")
        else:
            allowed, refusal = self.headers.get(FLAVOR) == "Google", 403
            key = path.removeprefix(PREFIX).rstrip("/") if path.startswith(PREFIX) else ""
        if not allowed:
            self._answer(refusal, "Missing required header")
        elif key in metadata:
            self._wait_for_change(key, metadata)
            self._answer(200, metadata.get(key, ""))
        else:
            self._answer(404, f"The requested URL {path} was not found on this server.")

    def _wait_for_change(self, key: str, metadata: Mapping[str, str]) -> None:
        """Hold the answer back as Google's server does: "Query VM metadata", wait for a change."""
        asked = parse_qs(self.path.partition("?")[2])
        if asked.get("wait_for_change") != ["true"]:
            return
        # Without the etag of what the caller has, it waits for the next change from now on.
        last = asked.get("last_etag", [etag_of(metadata[key])])[0]
        until_s = time.monotonic() + float(asked.get("timeout_sec", ["3600"])[0])
        while etag_of(metadata.get(key, "")) == last and time.monotonic() < until_s:
            time.sleep(LOCAL_CLOUD_POLL_S)

    def do_PUT(self) -> None:
        """Give a token of EC2's IMDSv2."""
        asked = self.path == f"{EC2_PREFIX}api/token" and self.headers.get(f"{EC2_TOKEN}-ttl-seconds", "").isdecimal()
        self._answer(200 if asked else 400, _TOKEN if asked else "")

    def _answer(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header(FLAVOR, "Google")
        self.send_header("Server", "Metadata Server for VM")
        self.send_header("ETag", etag_of(text))
        self.send_header("Content-Type", "application/text")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
