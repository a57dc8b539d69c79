"""How a download ends: one of two types, and for the bad one a reason from a closed list."""

from __future__ import annotations

from dataclasses import dataclass

#: Every reason of a FetchError but `http_<status>`. `internal_error` is a fault of this package, logged with its trace.
REASONS = frozenset(
    [
        "bad_url",
        "dns",
        "blocked_address",
        "bad_redirect",
        "too_many_redirects",
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
        "internal_error",
    ]
)

#: Reasons that may pass by themselves; all others are final.
TRANSIENT = {"dns", "timeout", "connection", "incomplete"} | {
    f"http_{status}" for status in (408, 425, 429, 500, 502, 503, 504)
}

#: A detail quotes what a stranger's server said, so it is cut.
DETAIL_CHARS = 300


class FetchError(Exception):
    """A download that failed: `reason` (see REASONS), `detail` (a sentence), `attempts` made, `retry_after` seconds
    that the server asked for, or None. Survives pickling, so that it may cross processes."""

    def __init__(self, reason: str, detail: str = "", attempts: int = 1, retry_after: float | None = None) -> None:
        if reason not in REASONS and not reason.startswith("http_"):
            raise ValueError(f"{reason!r} is not in the closed list of reasons")
        detail = detail.encode("utf-8", "replace").decode()[:DETAIL_CHARS]
        super().__init__(reason, detail, attempts, retry_after)
        self.reason, self.detail, self.attempts, self.retry_after = reason, detail, attempts, retry_after

    @property
    def transient(self) -> bool:
        """Whether a later try may go better."""
        return self.reason in TRANSIENT

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True)
class Fetched:
    """An image that passed every check. `data` is the file as served, `sha256` its hex digest; width and height are
    pixels as stored (EXIF orientation not applied); `final_url` is where the last redirect led."""

    data: bytes
    sha256: str
    format: str
    width: int
    height: int
    final_url: str
    status: int
    attempts: int
