"""Limits that can work, and failures that keep what they know."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lance_assets.errors import BadInput
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import FetchError


def test_a_fetch_error_survives_pickling() -> None:
    first = FetchError("http_503", "busy", attempts=4, retry_after=2.0)
    first.status = 503  # as soon as there is an answer
    error = copy.copy(first)  # copying takes the road of pickle
    assert (error.status, error.fetched_at) == (503, first.fetched_at)
    assert (error.reason, error.detail, error.attempts, error.retry_after) == ("http_503", "busy", 4, 2.0)
    assert error.transient


def test_an_unknown_reason_cannot_be_raised() -> None:
    with pytest.raises(ValueError, match="closed list"):
        FetchError("went_wrong")


@pytest.mark.parametrize(
    "values",
    [
        {"max_bytes": 0},
        {"per_host": 2000},
        {"host_delay_s": -1.0},
        {"read_s": -1.0},
        {"formats": ("FITS",)},
        {"allow_hosts": frozenset({"*.example.org"})},
    ],
)
def test_limits_that_cannot_work_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Limits(**values)
