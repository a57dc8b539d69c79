"""What a download may cost at most."""

from __future__ import annotations

from dataclasses import dataclass, fields

from lance_assets.errors import BadInput

#: The only decoders that bytes from the web ever reach: Pillow's exotic parsers have a history of holes.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

#: More at a time would be an attack; and slots are numbered.
MOST_PER_HOST = 1000


@dataclass(frozen=True)
class Limits:
    """Caps of one fetcher. Sizes in bytes or pixels, times in seconds. Raises BadInput for a value that cannot work."""

    max_bytes: int = 25_000_000
    max_pixels: int = 50_000_000
    min_side: int = 16
    connect_s: float = 5.0
    """For one address; a name with many addresses gets twice this in all."""
    read_s: float = 10.0
    """Between two reads of a socket."""
    total_s: float = 30.0
    """One whole attempt, redirects included, from its first request on: a slow drip never trips read_s."""
    attempts: int = 4
    max_redirects: int = 3
    per_host: int = 8
    """Requests to one host at a time, from all processes of this machine that share a folder."""
    host_delay_s: float = 0.0
    """Between the starts of two requests to one host; a Crawl-delay of its robots.txt may be longer."""
    host_wait_s: float = 600.0
    """How long the rows of one host may wait for their turns by its Crawl-delay; those behind end as host_too_slow."""
    robots: bool = True
    """Obey robots.txt."""
    opt_out_headers: bool = True
    """Obey X-Robots-Tag."""
    strip_location: bool = False
    """Take GPS data out of the image files; pixels stay as they are."""
    proxies: bool = False
    """Use the proxies of the environment. They, not we, resolve names then, so the public-address rule is void."""
    formats: tuple[str, ...] = FORMATS
    allow_hosts: frozenset[str] = frozenset()
    """"host" or "host:port", exactly as in the URL: exempt from the public-address rule (own mirrors, tests)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "formats", tuple(self.formats))
        object.__setattr__(self, "allow_hosts", frozenset(host.strip().lower() for host in self.allow_hosts))
        for field in fields(self):
            value = getattr(self, field.name)
            floor = 0 if field.name in ("max_redirects", "host_delay_s") else 1 if isinstance(value, int) else 0.001
            if isinstance(value, int | float) and not isinstance(value, bool) and value < floor:
                raise BadInput(f"limits.{field.name} is {value}, but must be at least {floor}")
        if self.per_host > MOST_PER_HOST:
            raise BadInput(f"limits.per_host is {self.per_host}, but must be at most {MOST_PER_HOST}")
        unknown = sorted(set(self.formats) - set(FORMATS))
        if unknown or not self.formats:
            raise BadInput(f"limits.formats names {unknown or 'nothing'}; possible are {', '.join(FORMATS)}")
        for host in self.allow_hosts:
            if not host or any(mark in host for mark in "*/@ "):
                raise BadInput(f"allow_hosts has {host!r}, but needs a plain host or host:port, no wildcard and no URL")
