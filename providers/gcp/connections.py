"""Connections to Google, through the proxy that the environment names.

httplib2 0.32 has no code of its own for proxies: without the package PySocks it ignores ``HTTPS_PROXY`` and calls
Google directly, and with ``HTTP_PROXY`` it calls nobody, not even the metadata server that NO_PROXY names. Python's own
``http.client`` can ask a proxy for a tunnel, so no package is needed. For a SOCKS proxy httplib2 needs PySocks.
"""

from __future__ import annotations

import base64
import http.client
import os
from typing import Any
from urllib.parse import unquote

import httplib2

_HTTP_PROXY = 3  # httplib2's number of this kind of proxy, and PySocks'
_EXAMPLE = "such as http://proxy.example.com:3128"


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
            if getattr(httplib2, "socks", None) is None:  # httplib2 would call Google without the proxy
                raise httplib2.error.ProxiesUnavailableError("a SOCKS proxy takes `pip install pysocks`")
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
    """httplib2's connections, which it keeps open, with ours for new ones.

    Args:
        timeout: for each answer, in seconds.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__(timeout=timeout, proxy_info=proxy_of)

    def request(self, uri: str, *args: Any, **named: Any) -> Any:
        """Send a request; see httplib2."""
        named["connection_type"] = _Encrypted if uri.startswith("https:") else _Plain
        return super().request(uri, *args, **named)


def proxy_of(method: str) -> Any:
    """Return httplib2's description of the proxy that the environment names; None where it names none.

    Args:
        method: ``http`` or ``https``.

    Raises:
        ProxiesUnavailableError: of httplib2's: what the variable holds is no URL.
    """
    name = f"{method}_proxy"
    url = os.environ.get(name) or os.environ.get(name.upper())
    if not url:
        return None
    try:
        # Without a scheme, as curl and boto3 take it; httplib2 would find no host in it, and call without the proxy.
        proxy = httplib2.proxy_info_from_url(url if "://" in url else f"http://{url}", method, noproxy=None)
    except ValueError as error:
        raise httplib2.error.ProxiesUnavailableError(
            f"the proxy's URL is wrong, {error}; write one {_EXAMPLE}"
        ) from None
    if not proxy.proxy_host:
        raise httplib2.error.ProxiesUnavailableError(f"the proxy's URL has no host; write one {_EXAMPLE}")
    if isinstance(proxy.bypass_hosts, (list, tuple)):
        proxy.bypass_hosts = tuple(host.strip() for host in proxy.bypass_hosts)
    return proxy


def _login(proxy: Any) -> dict[str, str]:
    """Return the headers by which a proxy knows who is calling."""
    if not proxy.proxy_user:
        return {}
    # As in the URL: characters such as @ are escaped there.
    text = f"{unquote(proxy.proxy_user)}:{unquote(proxy.proxy_pass or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}
