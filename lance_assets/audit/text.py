"""What the answers of an audit look like to people: short values, aligned columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

LONGEST = 40
#: Lines of a table that people are shown; the JSON has all.
SHOWN = 40


def when(time: datetime | None) -> str | None:
    """A time as ISO 8601 in UTC, to the second."""
    return None if time is None else time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def shown(value: Any, longest: int = LONGEST) -> str:
    """A value in at most so many characters of one line; nothing is a dash."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; columns as wide as their longest cell."""
    lines = [header, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def some(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The same of the first SHOWN rows, and how many there are besides."""
    left = [f"... and {len(rows) - SHOWN} more: --json has all"] if len(rows) > SHOWN else []
    return [*aligned(header, rows[:SHOWN]), *left]


def labelled(facts: Sequence[tuple[str, str]]) -> list[str]:
    """Lines `label  text`."""
    return [f"{label:<11}{text}" for label, text in facts]
