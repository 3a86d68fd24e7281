"""Connections to Google, through the proxy that the environment names.

httplib2 0.32 has no code of its own for proxies: without the package PySocks it ignores ``HTTPS_PROXY`` and calls
Google directly, and with ``HTTP_PROXY`` it calls nobody, not even the metadata server that NO_PROXY names. Python's own
``http.client`` can ask a proxy for a tunnel, so no package is needed. SOCKS proxies are left to httplib2.
"""

from __future__ import annotations

import base64
import http.client
from typing import Any
from urllib.parse import unquote

import httplib2

_HTTP_PROXY = 3  # httplib2's number of this kind of proxy, and PySocks'


class _Tunnel:
    """What both kinds of connections have in common; a base class before httplib2's own.

    Attributes:
        host, port: of the server; of the proxy once there is a tunnel.
        proxy_info: httplib2's; None without a proxy.
    """

    host: str
    port: int
    proxy_info: Any
    _tunnelled = False

    def set_up(self) -> bool:
        """Prepare the tunnel; return whether there is one, or no proxy for this host: the next step is Python's own."""
        proxy = self.proxy_info
        if self._tunnelled or proxy is None or not proxy.proxy_host or not proxy.applies_to(self.host):
            return True
        if proxy.proxy_type != _HTTP_PROXY:
            return False
        self.set_tunnel(self.host, self.port, headers=_login(proxy))  # type: ignore[attr-defined]
        self.host, self.port, self._tunnelled = proxy.proxy_host, proxy.proxy_port, True
        return True


class _Plain(_Tunnel, httplib2.HTTPConnectionWithTimeout):  # type: ignore[misc]
    def connect(self) -> None:
        """Connect to the server, or to the proxy."""
        if self.set_up():
            http.client.HTTPConnection.connect(self)
        else:
            super().connect()


class _Encrypted(_Tunnel, httplib2.HTTPSConnectionWithTimeout):  # type: ignore[misc]
    def connect(self) -> None:
        """Connect to the server, or to the proxy."""
        if self.set_up():
            http.client.HTTPSConnection.connect(self)
        else:
            super().connect()


class Connections(httplib2.Http):  # type: ignore[misc]
    """httplib2's connections, which it keeps open, with ours for new ones."""

    def request(self, uri: str, *args: Any, **named: Any) -> Any:
        """Send a request; see httplib2."""
        named["connection_type"] = _Encrypted if uri.startswith("https:") else _Plain
        return super().request(uri, *args, **named)


def _login(proxy: Any) -> dict[str, str]:
    """Return the headers by which a proxy knows who is calling."""
    if not proxy.proxy_user:
        return {}
    # As in the URL: characters such as @ are escaped there.
    text = f"{unquote(proxy.proxy_user)}:{unquote(proxy.proxy_pass or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}
