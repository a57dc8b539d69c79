"""What can go wrong in the process with the ModelScope SDK, by kind."""

from __future__ import annotations

import hashlib
from pathlib import Path


class DigestMismatch(Exception):
    """What was downloaded is not what the hub's listing announced."""


def digest(path: Path) -> str:
    """sha256 (hex) of a file of any size."""
    with path.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest()


def kind_of(error: Exception) -> str:
    """missing, network, digest, dependency or failed, of an exception of ours or of the SDK's."""
    from modelscope_hub.errors import FileIntegrityError, NetworkError, NotExistError, RateLimitError, ServerError

    if isinstance(error, (DigestMismatch, FileIntegrityError)):
        return "digest"
    if isinstance(error, NotExistError):
        return "missing"
    if isinstance(error, (NetworkError, ServerError, RateLimitError, ConnectionError, TimeoutError)):
        return "network"
    # the SDK wraps a failing import of one of its parts in a RuntimeError
    if isinstance(error, ImportError) or isinstance(error.__cause__, ImportError):
        return "dependency"
    return "failed"
