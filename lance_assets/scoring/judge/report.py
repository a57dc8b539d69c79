"""What the journal says afterwards: reasons for people, use and cost for metadata."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lance_assets.scoring.judge.journal import records
from lance_assets.scoring.judge.records import Record
from lance_assets.scoring.judge.totals import Totals


@dataclass(frozen=True)
class Reason:
    """Why a row got its score; `score` is None where the model or the endpoint refused. `at` is Unix time, seconds."""

    score: int | None
    reason: str
    version: str
    config_hash: str
    at: float


@dataclass(frozen=True)
class Usage:
    """Rows, requests, tokens and money (in the currency of the prices). Requests hold canaries and all that was paid
    for in vain; `unsettled` are those without an end, counted by the budget as if they were paid. `canary_shift` is the
    mean number of points by which planted instructions moved a score their way; None without canaries."""

    rows: int
    refused: int
    requests: int
    malformed: int
    lost: int
    unsettled: int
    input_tokens: int
    output_tokens: int
    cost: float
    canaries: int
    canary_shift: float | None
    rows_per_minute: float | None

    @property
    def tokens_per_row(self) -> float | None:
        return (self.input_tokens + self.output_tokens) / self.rows if self.rows else None

    @property
    def cost_per_row(self) -> float | None:
        return self.cost / self.rows if self.rows else None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for metadata; what is unknown is left out."""
        said = {**asdict(self), "tokens_per_row": self.tokens_per_row, "cost_per_row": self.cost_per_row}
        return {name: value for name, value in said.items() if value is not None}


def folder_of(models: Path, config_hash: str) -> Path:
    """Where the journal of a config lies."""
    return models / "judge" / config_hash


def usage(models: Path, config_hash: str, version: str, since: float = 0.0) -> Usage:
    """Of a version and config, from `since` (Unix time, seconds) on; zeros where nothing was asked. Raises OSError."""
    totals = Totals()
    for record in records(folder_of(models, config_hash)):
        if record.version == version and record.at >= since:
            totals.add(record)
    return usage_of(totals)


def usage_of(totals: Totals) -> Usage:
    rows, minutes = totals.answers + totals.refused, totals.worked_s / 60
    return Usage(
        rows=rows,
        refused=totals.refused,
        requests=totals.requests,
        malformed=totals.malformed,
        lost=totals.lost,
        unsettled=len(totals.open),
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cost=totals.cost,
        canaries=totals.canaries,
        canary_shift=totals.shift / totals.canaries if totals.canaries else None,
        rows_per_minute=rows / minutes if minutes else None,
    )


def reasons(models: Path, ids: Collection[str]) -> dict[str, list[Reason]]:
    """All reasons of some rows, of every config and version that judged them, oldest first; a row that was never
    judged has none. Reads the journals twice. Raises OSError."""
    wanted, found = set(ids), defaultdict[str, list[Reason]](list)
    for folder in sorted(models.glob("judge/*/")):
        named = defaultdict[str, set[str]](set)
        for record in records(folder):
            if record.id in wanted and record.canary is None:
                named[record.key].add(record.id)
        for record in records(folder):
            if record.kind in ("answer", "refused") and record.canary is None:
                for id in named.get(record.key, ()):
                    found[id].append(_reason(record, folder.name))
    return {id: sorted(found[id], key=lambda reason: reason.at) for id in ids}


def _reason(record: Record, config_hash: str) -> Reason:
    return Reason(record.score, record.reason or "", record.version, config_hash, record.at)
