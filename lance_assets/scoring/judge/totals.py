"""What the journal adds up to."""

from __future__ import annotations

from dataclasses import dataclass, field

from lance_assets.scoring.judge.records import Record

#: Seconds without an answer that are a pause, not work.
PAUSE_S = 120.0


@dataclass
class Totals:
    """Over the records of one version. Requests without an end count as they were expected: their writer was killed
    (or is another process), and they may be paid."""

    open: dict[str, Record] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)
    answers: int = 0
    refused: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    canaries: int = 0
    shift: int = 0
    malformed: int = 0
    lost: int = 0
    worked_s: float = 0.0
    last: float | None = None
    _open_tokens: int = 0
    _open_cost: float = 0.0

    def add(self, record: Record) -> None:
        if record.kind == "same":
            return
        if record.kind == "asked":
            self.open[record.number] = record
            self._open_tokens += record.tokens
            self._open_cost += record.cost
            return
        if (asked := self.open.pop(record.number, None)) is not None:
            self._open_tokens -= asked.tokens
            self._open_cost -= asked.cost
        if record.kind == "unpaid":
            return
        self._count(record)

    def _count(self, record: Record) -> None:
        self.requests += 1
        self.input_tokens += record.input_tokens
        self.output_tokens += record.output_tokens
        self.cost += record.cost
        self.malformed += record.kind == "malformed"
        self.lost += record.kind == "lost"
        if record.canary is not None:
            if record.shift is not None:
                self.canaries += 1
                self.shift += record.shift
            return
        self.rows.add(record.key)
        self.answers += record.kind == "answer"
        self.refused += record.kind == "refused"
        begun = record.at - record.seconds
        since = begun if self.last is None or begun - self.last > PAUSE_S else self.last
        self.worked_s += max(0.0, record.at - since)
        self.last = record.at if self.last is None else max(self.last, record.at)

    @property
    def spent_tokens(self) -> int:
        """With those of open requests."""
        return self.input_tokens + self.output_tokens + self._open_tokens

    @property
    def spent_money(self) -> float:
        """With that of open requests."""
        return self.cost + self._open_cost

    def spent_rows(self, key: str | None = None) -> int:
        """Different rows that were asked, or are being asked; one of `key` among them."""
        waiting = {record.key for record in self.open.values() if record.canary is None}
        return len((waiting | ({key} if key else set())) - self.rows) + len(self.rows)
