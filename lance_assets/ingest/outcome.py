"""How a download ends: one of three types, and for the bad one a reason from a closed list."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

#: Every reason of a FetchError but `http_<status>`. `internal_error` is a fault of this package, logged with its trace.
REASONS = frozenset(
    [
        "bad_url",
        "dns",
        "blocked_address",
        "bad_redirect",
        "too_many_redirects",
        "robots_disallowed",
        "robots_unavailable",
        "host_too_slow",
        "opted_out",
        "encoded_body",
        "too_large",
        "timeout",
        "connection",
        "incomplete",
        "bad_format",
        "too_many_pixels",
        "too_small",
        "not_an_image",
        "corrupt_image",
        "polyglot",
        "path_not_allowed",
        "file_missing",
        "internal_error",
    ]
)

#: Reasons that may pass by themselves; all others are final.
TRANSIENT = {"dns", "timeout", "connection", "incomplete", "robots_unavailable", "host_too_slow"} | {
    f"http_{status}" for status in (408, 425, 429, 500, 502, 503, 504)
}

#: A detail quotes what a stranger's server said, so it is cut.
DETAIL_CHARS = 300


def now() -> datetime:
    """UTC."""
    return datetime.now(UTC)


class FetchError(Exception):
    """A download that failed: `reason` (see REASONS), `detail` (a sentence), `attempts` made, `retry_after` seconds
    that the server asked for, or None, `status` of the HTTP answer if there was one, `fetched_at` (UTC). Survives
    pickling, so that it may cross processes."""

    def __init__(
        self,
        reason: str,
        detail: str = "",
        attempts: int = 1,
        retry_after: float | None = None,
        status: int | None = None,
        fetched_at: datetime | None = None,
    ) -> None:
        if reason not in REASONS and not reason.startswith("http_"):
            raise ValueError(f"{reason!r} is not in the closed list of reasons")
        detail = detail.encode("utf-8", "replace").decode()[:DETAIL_CHARS]
        fetched_at = fetched_at or now()
        super().__init__(reason, detail, attempts, retry_after, status, fetched_at)
        self.reason, self.detail, self.attempts, self.retry_after = reason, detail, attempts, retry_after
        self.status, self.fetched_at = status, fetched_at

    @property
    def transient(self) -> bool:
        """Whether a later try may go better."""
        return self.reason in TRANSIENT

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True)
class Fetched:
    """An image that passed every check. `data` is the file as served (less its location, where `location_stripped`),
    `sha256` the hex digest of `data`; width and height are pixels as stored, `orientation` the EXIF orientation (1 to
    8) that the file records, not applied; `final_url` is where the last redirect led; `etag` and `last_modified` are
    as sent, for a later conditional request; `fetched_at` is UTC."""

    data: bytes
    sha256: str
    format: str
    width: int
    height: int
    final_url: str
    status: int
    attempts: int
    orientation: int | None = None
    etag: str | None = None
    last_modified: str | None = None
    fetched_at: datetime = field(default_factory=now)
    location_stripped: bool = False


@dataclass(frozen=True)
class Unmodified:
    """A conditional request was answered by 304: the image is still the one whose `etag` or `last_modified` was
    sent."""

    final_url: str
    status: int
    attempts: int
    etag: str | None
    last_modified: str | None
    fetched_at: datetime = field(default_factory=now)


Outcome = Fetched | Unmodified | FetchError
