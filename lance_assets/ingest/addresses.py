"""Which network addresses a URL from a data set may reach (guard against server-side request forgery)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from lance_assets.ingest.outcome import FetchError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: For translation within one network (RFC 8215).
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")


class Endpoint(NamedTuple):
    """One address to connect to, as the resolver gave it: a numeric `sockaddr`, never a name."""

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet; an IPv6 address that carries an IPv4 one is judged by
    that one too, since a gateway on the way would unwrap it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local or ip in _LOCAL_NAT64:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


class AddressGuard:
    """Resolves a name once and hands out only addresses that may be reached.

    The caller connects to what it got and never resolves again: a name that changes its answer between check and
    connection (DNS rebinding) gains nothing.
    """

    def __init__(self, allow_hosts: Collection[str] = (), lookup: Callable[..., list[Any]] | None = None) -> None:
        """`lookup` takes the place of socket.getaddrinfo."""
        self._allowed = frozenset(allow_hosts)
        self._lookup = lookup or socket.getaddrinfo

    def allows(self, host: str, port: int) -> bool:
        """Whether a host of a URL is exempt from the public-address rule."""
        bare = host.lower().strip("[]")
        shown = f"[{bare}]" if ":" in bare else bare
        return not self._allowed.isdisjoint({bare, shown, f"{shown}:{port}"})

    def refuse_literal(self, host: str, port: int) -> None:
        """For where somebody else resolves names. Raises FetchError blocked_address for an IP address that is not
        public."""
        try:
            public = is_public(host.strip("[]"))
        except ValueError:
            return  # a name
        if not public and not self.allows(host, port):
            raise FetchError("blocked_address", f"{host} is not a public address")

    def resolve(self, host: str, port: int) -> list[Endpoint]:
        """All addresses of a host, in the resolver's order. Raises FetchError: dns; blocked_address when ANY of them
        is not public, because which one a client takes is the attacker's choice."""
        try:
            answers = self._lookup(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise FetchError("dns", f"{host} does not resolve: {error}") from error
        if not answers:
            raise FetchError("dns", f"{host} has no address")
        if not self.allows(host, port):
            for answer in answers:
                address = str(answer[4][0])
                if not is_public(address):
                    raise FetchError("blocked_address", f"{host} leads to {address}, which is not a public address")
        return [Endpoint(answer[0], answer[4]) for answer in answers]
