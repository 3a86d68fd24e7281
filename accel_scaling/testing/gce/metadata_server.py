"""Google's metadata server for the local hosts: each asks at its own address, and hears of itself only."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from accel_scaling.testing.hosts.settings import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accel_scaling.testing.hosts.settings import Settings

PREFIX = "/computeMetadata/v1/"
FLAVOR = "Metadata-Flavor"


class MetadataServers:
    """The metadata servers of one local cloud: one for all isolated hosts, one each for plain processes.

    Args:
        settings: the cloud's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of_address: dict[str, Mapping[str, str]] = {}
        self._servers: dict[str, _Server] = {}
        if settings.kind is Kind.ISOLATED:
            from accel_scaling.testing.hosts.isolated import bridge_address

            self._serve(bridge_address(settings), lambda client: self._of_address.get(client, {}))

    def add(self, address: str, metadata: Mapping[str, str]) -> None:
        """From now on, the host at this address hears this."""
        self._of_address[address] = metadata
        if self._settings.kind is Kind.PROCESSES:
            self._serve(address, lambda _client: metadata)

    def remove(self, address: str) -> None:
        """The host is gone."""
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
        server = _Server((address, self._settings.metadata_port), metadata_of)
        self._servers[address] = server
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], metadata_of: Callable[[str], Mapping[str, str]]) -> None:
        super().__init__(address, _Handler)
        self.metadata_of = metadata_of


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer one path; Google demands a header, so that no browser can be made to ask."""
        path = self.path.partition("?")[0]
        metadata = self.server.metadata_of(str(self.client_address[0]))
        if self.headers.get(FLAVOR) != "Google":
            self._answer(403, f"Missing required header: {FLAVOR}")
        elif path.startswith(PREFIX) and (key := path.removeprefix(PREFIX).rstrip("/")) in metadata:
            self._answer(200, metadata[key])
        else:
            self._answer(404, f"The requested URL {path} was not found on this server.")

    def _answer(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header(FLAVOR, "Google")
        self.send_header("Server", "Metadata Server for VM")
        self.send_header("Content-Type", "application/text")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
