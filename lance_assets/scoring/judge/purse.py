"""The hard budget: what a request may cost is set aside before it is sent."""

from __future__ import annotations

import threading

from lance_assets.scoring.judge.config import Budget
from lance_assets.scoring.judge.journal import Journal
from lance_assets.scoring.judge.records import Record
from lance_assets.scoring.judge.totals import Totals


class Spent(Exception):
    """The budget does not allow another request. The message says which part of it."""


class Purse:
    """Counts over the journal, so that neither a rerun nor another process spends what is spent. Threads share it."""

    def __init__(self, journal: Journal, budget: Budget) -> None:
        self.journal, self.budget = journal, budget
        self._open, self._changed = 0, threading.Condition()

    def set_aside(self, asked: Record) -> None:
        """Before a request. Where the rest of the budget is only set aside for others, waits for what they leave.
        Raises Spent."""
        with self._changed:
            while (why := self.journal.ask(asked, lambda totals: self._over(totals, asked))) is not None:
                if not self._open:
                    raise Spent(why)
                self._changed.wait()
            self._open += 1

    def settle(self, record: Record) -> None:
        """After the request: what it did cost. It is on the disk on return."""
        try:
            self.journal.end(record)
        finally:
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    def _over(self, totals: Totals, asked: Record) -> str | None:
        budget = self.budget
        if budget.money is not None and totals.spent_money + asked.cost > budget.money:
            return f"the budget of {budget.money:g} (money) is spent"
        if budget.tokens is not None and totals.spent_tokens + asked.tokens > budget.tokens:
            return f"the budget of {budget.tokens:,} tokens is spent"
        if budget.rows is not None and asked.canary is None and totals.spent_rows(asked.key) > budget.rows:
            return f"the budget of {budget.rows:,} rows is spent"
        return None
