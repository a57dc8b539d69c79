"""Connections through the proxies of the environment, for those who asked for it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import nullcontext
from http.client import HTTPException
from typing import NamedTuple
from urllib.request import getproxies, proxy_bypass

from urllib3.util import make_headers, parse_url

from lance_assets.errors import BadInput
from lance_assets.ingest.addresses import AddressGuard
from lance_assets.ingest.answer import Response
from lance_assets.ingest.connections import Aside, Connections
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import FetchError
from lance_assets.ingest.urls import Place
from lance_assets.ingest.watchdog import Watchdog


class Proxy(NamedTuple):
    host: str
    port: int
    headers: dict[str, str]


class ProxiedConnections(Connections):
    """http_proxy, https_proxy and no_proxy count. The proxy resolves names: only an address that is written into a URL
    can be checked here."""

    def __init__(self, limits: Limits, guard: AddressGuard, watchdog: Watchdog) -> None:
        super().__init__(limits, guard, watchdog)
        self._proxies = {scheme: _proxy(url) for scheme, url in getproxies().items() if scheme in ("http", "https")}

    def ask(
        self, place: Place, headers: Mapping[str, str], aside: Aside = nullcontext
    ) -> tuple[socket.socket, Response]:
        """Raises FetchError blocked_address as well."""
        proxy = self._for(place)
        if proxy is None:
            return super().ask(place, headers, aside)
        self.guard.refuse_literal(place.host, place.port)
        return super().ask(place, {**headers, **proxy.headers} if place.scheme == "http" else headers, aside)

    def _for(self, place: Place) -> Proxy | None:
        proxy = self._proxies.get(place.scheme)
        return None if proxy is None or proxy_bypass(place.host) else proxy

    def _dialled(self, place: Place) -> socket.socket:
        proxy = self._for(place)
        if proxy is None:
            return super()._dialled(place)
        try:
            sock = socket.create_connection((proxy.host, proxy.port), self.limits.connect_s)
        except OSError as error:
            raise FetchError("connection", f"the proxy cannot be reached: {error}") from error
        if place.scheme == "https":
            self.watchdog.watch(sock)
            _open_tunnel(sock, place, proxy)
        return self._tuned(sock, place)

    def _target(self, place: Place) -> str:
        if place.scheme == "https" or self._for(place) is None:
            return place.target
        return place.sibling(place.target).url


def _open_tunnel(sock: socket.socket, place: Place, proxy: Proxy) -> None:
    """CONNECT (RFC 9110, section 9.3.6)."""
    lines = [f"CONNECT {place.host}:{place.port} HTTP/1.1", f"Host: {place.host}:{place.port}"]
    lines += [f"{name}: {value}" for name, value in proxy.headers.items()]
    answer = Response(sock, method="CONNECT")
    try:
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        answer.begin()
        if answer.status != 200:
            raise FetchError("connection", f"the proxy refused: {answer.status} {answer.reason}")
    except (OSError, HTTPException) as error:
        sock.close()
        raise FetchError("connection", f"the proxy gave no tunnel: {error}") from error
    except FetchError:
        sock.close()
        raise


def _proxy(url: str) -> Proxy:
    parts = parse_url(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.host:
        raise BadInput("limits.proxies: the proxies of the environment must be http://host:port")
    headers = {}
    if parts.auth:
        basic = make_headers(proxy_basic_auth=parts.auth)["proxy-authorization"]
        headers["Proxy-Authorization"] = basic
    return Proxy(parts.host.strip("[]"), parts.port or 80, headers)
