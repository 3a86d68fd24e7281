"""The HTTP server of the local Compute Engine: all APIs at one address, told apart by their paths."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from accel_scaling.testing.gce.api_errors import ApiError
from accel_scaling.testing.gce.documents import DriftError, resolve
from accel_scaling.timeouts import LOCAL_GCE_SILENT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accel_scaling.testing.gce.api import ComputeEngine
    from accel_scaling.testing.gce.documents import ApiCall
    from accel_scaling.testing.gce.fault_injection import CallFault

# Where a call's parameters name what it is about; the first that is there goes into the log.
_SUBJECTS = (
    *("instance", "operation", "name", "nodeId", "queuedResourceId"),
    *("zone", "region", "project", "projectId", "resource"),
)


class Server(ThreadingHTTPServer):
    """The HTTP server of one engine.

    Args:
        engine: what answers.
        address: where to listen; port 0 takes a free one.
        inherited: a socket that listens already, instead.

    Attributes:
        drift: answers that Google's documents forbid; each is a mistake of this Compute Engine.
    """

    daemon_threads = True
    request_queue_size = 512  # with the base class's 5, clients that connect at once are kept waiting by the kernel
    allow_reuse_address = True

    def __init__(
        self, engine: ComputeEngine, address: tuple[str, int] = ("127.0.0.1", 0), inherited: socket.socket | None = None
    ) -> None:
        super().__init__(address, _ApiHandler, bind_and_activate=inherited is None)
        if inherited is not None:
            # The base class makes a socket anyway: bind_and_activate only keeps it from being bound.
            self.socket.close()
            self.socket, self.server_address = inherited, inherited.getsockname()
        self.engine = engine
        self.drift: list[str] = []
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        # The poll interval, as shutdown() waits for the next poll: half a second by default.
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self.socket.getsockname()[1])

    def close(self) -> None:
        """Stop answering, and close every connection."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        # Connections that clients keep alive have threads of their own, which would continue answering.
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection; threads are the base class's."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print an error, unless a client hung up, which is no error of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def serve(engine: ComputeEngine) -> Iterator[str]:
    """Serve an engine on this machine, and yield the base URL of all its APIs.

    Raises:
        DriftError: at the end, if an answer was not what Google's documents allow.
    """
    server = Server(engine)
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.close()
    if server.drift:
        raise DriftError("; ".join(dict.fromkeys(server.drift)))


class _ApiHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet an answer
    server: Server

    def log_message(self, *_: Any) -> None:
        """Write no log; the engine remembers its calls."""

    def _any(self) -> None:
        parts = urlsplit(self.path)
        method, status, subject = f"{self.command} {parts.path}", 0, ""
        try:
            body = self._body()
            http = self.headers.get("X-HTTP-Method-Override") or self.command
            call = resolve(http, parts.path, parse_qs(parts.query, keep_blank_values=True), body)
            method = call.method.id
            subject = next((call.parameters[key] for key in _SUBJECTS if key in call.parameters), "")
            status = self._carry_out(call)
        except ApiError as error:
            status = error.code
            self._reply(error.code, error.body())
        finally:
            self.server.engine.log(method, status, subject)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815 - the base class calls them so

    def _carry_out(self, call: ApiCall) -> int:
        engine = self.server.engine
        if engine.injection.call_latency_s:
            time.sleep(engine.injection.call_latency_s)
        fault = engine.take_fault(call.method.id, str(call.parameters.get("zone", "")))
        # A broken connection comes after the call was carried out: its client does not know whether it was.
        if fault and fault.kind != "broken_connection":
            return self._go_wrong(fault)
        answer = engine.answer(call)
        if fault:
            return self._hang_up()
        try:
            call.method.check_answer(answer)
        except DriftError as error:
            # Kept as well as answered: a client may retry or hide a 500, and a test must fail anyway.
            self.server.drift.append(str(error))
            raise ApiError(500, str(error), "internalError") from None
        self._reply(200, answer)
        return 200

    def _go_wrong(self, fault: CallFault) -> int:
        if fault.kind == "error":
            raise ApiError(fault.status, fault.message, fault.reason)
        if fault.kind == "silent":
            # Not a sleep, which would keep this thread for minutes after the server has closed.
            self.server.closing.wait(LOCAL_GCE_SILENT_S)
        return self._hang_up()

    def _hang_up(self) -> int:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        return 0

    def _body(self) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length) if length else b""
        try:
            return json.loads(text) if text else None
        except ValueError:
            raise ApiError(400, "Parse Error", "parseError") from None

    def _reply(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
