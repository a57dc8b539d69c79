"""URLs that strangers wrote down: which may be asked for at all, and what of them counts for whom."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from lance_assets.ingest.outcome import FetchError

URL_CHARS = 8192
PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Place(NamedTuple):
    """Where one request goes. `url` is the whole URL, `target` its path and query, percent-encoded."""

    url: str
    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> str:
        """What one robots.txt speaks for."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def server(self) -> str:
        """What limits per host count: http and https of a name together, other ports each by itself."""
        return self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"

    def sibling(self, target: str) -> Place:
        """Another path of the same origin."""
        shown = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return self._replace(url=f"{self.scheme}://{self.host}{shown}{target}", target=target)


def place_of(url: str) -> Place:
    """Where a URL leads, if it may be asked for at all. Raises FetchError bad_url: no http or https, no host, a user
    name or password (which its detail never repeats), a control character (it would inject a header), too long."""
    url = url.strip()
    if not url:
        raise FetchError("bad_url", "there is no URL")
    if len(url) > URL_CHARS:
        raise FetchError("bad_url", f"{len(url)} characters are more than {URL_CHARS}")
    if _CONTROL.search(url):
        raise FetchError("bad_url", "the URL contains a control character")
    try:
        parts = parse_url(url)
    except (LocationParseError, UnicodeError) as error:
        raise FetchError("bad_url", f"{_shown(url)} cannot be parsed: {type(error).__name__}") from error
    if parts.auth is not None:
        raise FetchError("bad_url", f"a URL of {parts.host} carries a user name or password")
    if parts.scheme not in PORTS:
        raise FetchError("bad_url", f"{_shown(url)} is not an http or https URL")
    if not parts.host:
        raise FetchError("bad_url", f"{_shown(url)} names no host")
    port = PORTS[parts.scheme] if parts.port is None else parts.port
    return Place(url, parts.scheme, parts.host.lower(), port, parts.request_uri)


def next_hop(place: Place, location: str | None) -> Place:
    """Where a redirect leads; it is judged like a URL of the data set. Raises FetchError bad_redirect."""
    if not location:
        raise FetchError("bad_redirect", "a redirect without a Location")
    try:
        return place_of(urljoin(place.url, location))
    except FetchError as error:
        raise FetchError("bad_redirect", error.detail) from error
    except ValueError as error:
        raise FetchError("bad_redirect", f"{_shown(location)} cannot be parsed: {error}") from error


def _shown(url: str) -> str:
    """The start of a URL for a message, less what may be a password."""
    return repr(url[:100]) if "@" not in url else "the URL"
