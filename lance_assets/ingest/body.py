"""Reading an HTTP answer that may lie about itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lance_assets.ingest.answer import Headers, Response
from lance_assets.ingest.host_times import LONGEST_S
from lance_assets.ingest.outcome import FetchError

PIECE = 65_536
#: An ETag or Last-Modified longer than this is not kept.
VALIDATOR_CHARS = 256


def declared_length(response: Response) -> int | None:
    """Bytes that the header promises, or None."""
    value = response.headers.get("Content-Length", "")
    return int(value) if value.isascii() and value.isdigit() else None


def refuse_encoded(response: Response) -> None:
    """Raises FetchError encoded_body. A compressed body is refused, not unpacked: 60 kB of gzip may hold 60 MB, and we
    asked for identity."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise FetchError("encoded_body", f"the body is {encoding}-encoded although identity was asked for")


def read_capped(response: Response, max_bytes: int, expired: Callable[[], bool]) -> bytes:
    """The whole body, as sent. Raises FetchError encoded_body, too_large (before a byte when the length is declared,
    else after max_bytes), timeout, incomplete."""
    refuse_encoded(response)
    length = declared_length(response)
    if length is not None and length > max_bytes:
        raise FetchError("too_large", f"{length} bytes are declared, {max_bytes} allowed")
    data = read_start(response, max_bytes + 1, expired)
    if len(data) > max_bytes:
        raise FetchError("too_large", f"more than {max_bytes} bytes")
    if length is not None and len(data) != length:
        raise FetchError("incomplete", f"{len(data)} bytes came, {length} were declared")
    return data


def read_start(response: Response, max_bytes: int, expired: Callable[[], bool]) -> bytes:
    """The body up to max_bytes. Raises FetchError timeout."""
    pieces: list[bytes] = []
    size, length = 0, declared_length(response)
    while size < max_bytes and size != length and not expired():
        piece = response.read(min(PIECE, max_bytes - size))
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    # A body without a length that the watchdog cut looks like one that ended: so ask the clock, too.
    if expired():
        raise FetchError("timeout", f"the body was not complete in time, {size} bytes came")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def drained(response: Response) -> bool:
    """Reads an unwanted body when it is declared short, so that the connection can serve again; True if it can."""
    length = 0 if response.status in (204, 304) else declared_length(response)
    if length is None or length > PIECE:
        return False
    return len(response.read(length + 1)) == length


def validator(value: str | None) -> str | None:
    """An ETag or Last-Modified that can be sent back as it is; None for one that is too long or not plain text."""
    if value and len(value) <= VALIDATOR_CHARS and value.isascii() and value.isprintable():
        return value
    return None


def retry_after(headers: Headers) -> float | None:
    """Seconds (0 to a day) that Retry-After asks for, as a number or as an HTTP date; None without or with nonsense."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_S) if len(value) < 20 else LONGEST_S
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max(0.0, (when - datetime.now(UTC)).total_seconds()), LONGEST_S)
