"""All rows that wait for a judgement: found in the journal, shared with an equal row, or asked; and the canaries."""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from lance_assets.scoring.item import Item
from lance_assets.scoring.judge.asking import Answering, Asker, Question, key_of
from lance_assets.scoring.judge.config import JudgeConfig
from lance_assets.scoring.judge.crew import Crew
from lance_assets.scoring.judge.journal import Journal, Known
from lance_assets.scoring.judge.picture import Sent, sent
from lance_assets.scoring.judge.prompt import planted
from lance_assets.scoring.judge.records import Record
from lance_assets.scoring.outcome import ScoreFailure, State, Unusable

log = logging.getLogger(__name__)

#: From so many rows on there is a canary at least, whatever its share.
FIRST_CANARY = 20
#: Seconds for which nothing is asked after the endpoint turned out to be unusable.
UNUSABLE_S = 30.0
#: A mean shift that is worth a warning, in points.
STEERED = 10.0


class Panel:
    """Serves several calls at a time from one pool of threads; the most valuable rows of all of them go first."""

    def __init__(self, config: JudgeConfig, version: str, endpoint: Answering, journal: Journal) -> None:
        self.config, self.version, self.journal = config, version, journal
        self.asker = Asker(config, version, endpoint, journal)
        self._crew = Crew(config.concurrency, "judge")
        self._asked: dict[str, Future[Known]] = {}
        self._lock = threading.Lock()
        self._unusable: tuple[float, Unusable] | None = None
        self._first_canary = False
        self._told = 0

    def judge(self, items: Sequence[Item]) -> list[float | ScoreFailure]:
        """One score or failure per row, in order. Raises Unusable when no row can be asked; what was answered until
        then is in the journal."""
        order = sorted(range(len(items)), key=lambda at: -self._value(items[at]))
        waiting = {at: self._begun(items[at]) for at in order}
        outcomes, unusable = [], None
        for at, item in enumerate(items):
            future = waiting[at]
            try:
                outcomes.append(future if isinstance(future, ScoreFailure) else self._given(item, future.result()))
            except ScoreFailure as failure:
                outcomes.append(failure)
            except Unusable as error:
                unusable = error
        if unusable is not None:
            raise unusable
        self._tell()
        return outcomes

    def close(self) -> None:
        self._crew.close()

    def _begun(self, item: Item) -> Future[Known] | ScoreFailure:
        if item.caption_missing or not item.caption.strip():
            return ScoreFailure(State.REFUSED, "the row has no caption to judge")
        try:
            key = key_of(item.sha256, item.caption, self.version, self.config)
        except ScoreFailure as failure:
            return failure
        with self._lock:
            if (same := self._asked.get(key)) is not None:
                return same
            future = self._crew.submit(self._value(item), lambda: self._row(item, key))
            self._asked[key] = future
        future.add_done_callback(lambda _: self._forget(key))
        return future

    def _forget(self, key: str) -> None:
        with self._lock:
            self._asked.pop(key, None)

    def _value(self, item: Item) -> float:
        """By which rows are asked, highest first; rows without a value last."""
        value = item.others.get(self.config.first) if self.config.first else None
        return float(value) if isinstance(value, int | float) and not math.isnan(value) else -math.inf

    def _row(self, item: Item, key: str) -> Known:
        """In a thread of the crew."""
        if self._unusable is not None and time.monotonic() < self._unusable[0]:
            raise self._unusable[1]
        try:
            known, picture = self.journal.known(key), None
            if known is None:
                picture = sent(item, self.config.max_side)
                known = self.asker.ask(Question(item.id, key, item.caption), picture)
            if known.score is not None and self._is_canary(item.id):
                self._canary(item, key, known.score, picture or sent(item, self.config.max_side))
            return known
        except Unusable as error:
            self._unusable = time.monotonic() + UNUSABLE_S, error
            raise
        finally:
            item.forget_pictures()

    def _given(self, item: Item, known: Known) -> float | ScoreFailure:
        key = key_of(item.sha256, item.caption, self.version, self.config)
        self.journal.give(Record(kind="same", key=key, id=item.id, version=self.version, at=time.time()))
        if known.score is None:
            return ScoreFailure(State.REFUSED, known.refusal or "refused")
        return float(known.score)

    def _is_canary(self, id: str) -> bool:
        share = self.config.canary_share
        digest = hashlib.sha256(f"canary {id}".encode()).digest()
        if int.from_bytes(digest[:8]) < share * 2**64:
            return True
        totals = self.journal.totals
        with self._lock:
            due = share > 0 and totals.answers >= FIRST_CANARY and not totals.canaries and not self._first_canary
            self._first_canary |= due
        return due

    def _canary(self, item: Item, plain_key: str, plain: int, picture: Sent) -> None:
        """Asks a second time, with an instruction to give the opposite score. Its answer is journaled, and is no
        score; a failure of it is no failure of the row."""
        target = 0 if plain >= 50 else 100
        caption = planted(item.caption, target)
        key = key_of(f"{item.sha256} canary of {plain_key}", caption, self.version, self.config)
        if self.journal.known(key) is not None:
            return
        try:
            self.asker.ask(Question(item.id, key, caption, target, plain), picture)
        except ScoreFailure as failure:
            log.info("the canary of row %s got no score: %s", item.id, failure)

    def _tell(self) -> None:
        totals = self.journal.totals
        with self._lock:
            news, self._told = totals.canaries > self._told, totals.canaries
        if news:
            shift = totals.shift / totals.canaries
            level = logging.WARNING if abs(shift) >= STEERED else logging.INFO
            log.log(level, "%d canaries: planted instructions move scores by %+.1f points", totals.canaries, shift)
