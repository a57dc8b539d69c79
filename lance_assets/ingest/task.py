"""One image, or one robots.txt, on its way."""

from __future__ import annotations

from dataclasses import dataclass, field

from lance_assets.ingest.urls import Place


@dataclass(eq=False, slots=True)
class Task:
    """One image, or one robots.txt (`robots_of` is its origin), on its way.

    `number` is its place in the input (-1: before all). `place` is the next hop, None before the URL was looked at.
    `attempt` counts from 1, `hops` the redirects of this attempt, `spent_s` its seconds on the wire. `refused_s`: the
    host wants to be left alone for so long.
    """

    number: int
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    robots_of: str | None = None
    place: Place | None = None
    attempt: int = 1
    hops: int = 0
    spent_s: float = 0.0
    refused_s: float | None = None
    server: str = ""
    slot: int | None = None
