"""Reading an HTTP answer that may lie about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from urllib3 import BaseHTTPResponse

from lance_assets.ingest.outcome import FetchError

PIECE = 65_536
LONGEST_RETRY_AFTER_S = 60.0


def declared_length(response: BaseHTTPResponse) -> int | None:
    """Bytes that the header promises, or None."""
    value = response.headers.get("Content-Length", "")
    return int(value) if value.isascii() and value.isdigit() else None


def refuse_early(response: BaseHTTPResponse, max_bytes: int) -> None:
    """Raises FetchError encoded_body or too_large for what the header already shows. A compressed body is refused, not
    unpacked: 60 kB of gzip may hold 60 MB, and we asked for identity."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise FetchError("encoded_body", f"the body is {encoding}-encoded although identity was asked for")
    length = declared_length(response)
    if length is not None and length > max_bytes:
        raise FetchError("too_large", f"{length} bytes are declared, {max_bytes} allowed")


def read_capped(response: BaseHTTPResponse, max_bytes: int, expired: Callable[[], bool]) -> bytes:
    """The whole body, as sent. Raises FetchError too_large (after max_bytes, whatever was declared), timeout,
    incomplete."""
    pieces: list[bytes] = []
    size = 0
    while piece := response.read(PIECE, decode_content=False):
        pieces.append(piece)
        size += len(piece)
        if size > max_bytes:
            raise FetchError("too_large", f"more than {max_bytes} bytes")
        if expired():
            break
    # A body without a length that the watchdog cut looks like one that ended: so ask the clock, too.
    if expired():
        raise FetchError("timeout", f"the body was not complete in time, {size} bytes came")
    length = declared_length(response)
    if length is not None and size != length:
        raise FetchError("incomplete", f"{size} bytes came, {length} were declared")
    return b"".join(pieces)


def drained(response: BaseHTTPResponse) -> bool:
    """Reads an unwanted body when it is declared short, so that the connection can serve again; True if it can."""
    length = declared_length(response)
    if length is None or length > PIECE:
        return False
    return len(response.read(length + 1, decode_content=False)) == length


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds (0 to 60) that Retry-After asks for, as a number or as an HTTP date; None without or with nonsense."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_RETRY_AFTER_S)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max(0.0, (when - datetime.now(UTC)).total_seconds()), LONGEST_RETRY_AFTER_S)
