"""A company's network: the only way out is a proxy, behind which servers of this machine answer for the clouds.

Each host has a certificate that a made-up authority of the company vouches for, as proxies that read the traffic have.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.hostile_network import certificate

Answer = Callable[[str, str], tuple[str, str]]  # path and body of a request -> content type and body


@dataclass
class Company:
    """What the network has seen.

    Attributes:
        proxy_url: of the proxy.
        certificates: the file of the company's authority.
        tunnels: the hosts to which the proxy was asked for a way, `HOST:PORT`.
        requests: host, path and the header of the credentials of each request.
        logins: what callers said to the proxy about themselves.
    """

    proxy_url: str
    certificates: Path
    tunnels: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)


@contextlib.contextmanager
def company(folder: Path, hosts: dict[str, Answer]) -> Iterator[Company]:
    """A network in which these hosts, and no others, are reached through its proxy.

    Args:
        folder: for the certificates.
        hosts: name -> what answers in its place.
    """
    pem = certificate(folder / "company.pem", list(hosts))
    with contextlib.ExitStack() as stack:
        made = Company("", pem)
        ports = {host: stack.enter_context(_tls_server(host, answer, pem, made)) for host, answer in hosts.items()}
        proxy = _proxy(ports, made)
        made.proxy_url = f"http://127.0.0.1:{stack.enter_context(_serving(proxy))}"
        yield made


def as_json(value: Any) -> tuple[str, str]:
    return "application/json", json.dumps(value)


@contextlib.contextmanager
def _serving(server: ThreadingHTTPServer) -> Iterator[int]:
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # callers hang up when they have their answer
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def _tls_server(host: str, answer: Answer, pem: Path, seen: Company) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            seen.requests.append((host, self.path, self.headers.get("Authorization") or ""))
            kind, text = answer(self.path, self.rfile.read(length).decode())
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with _serving(server) as port:
        yield port


def _proxy(ports: dict[str, int], seen: Company) -> ThreadingHTTPServer:
    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            seen.tunnels.append(self.path)
            seen.logins.append(self.headers.get("Proxy-Authorization") or "")
            port = ports.get(self.path.rpartition(":")[0])
            if port is None:
                self.send_error(403)
                return
            self.send_response(200)
            self.end_headers()
            with socket.create_connection(("127.0.0.1", port)) as other:
                back = threading.Thread(target=_copy, args=(other, self.connection))
                back.start()
                _copy(self.connection, other)
                back.join()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Proxy)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
