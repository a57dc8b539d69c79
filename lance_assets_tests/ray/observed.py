"""Scorers that say what they do, so that a test can kill somebody in the middle and count calls afterwards."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lance_assets.scoring.api import Item, Scorer, ScorerConfig, Served


class Watched(ScorerConfig):
    """`log`: where each call is written down. `hold`: while this file is there, a call of more than `free` rows waits.
    `poison`: rows on which the process ends."""

    log: str
    hold: str = ""
    poison: tuple[str, ...] = ()


class Observed(Scorer):
    """The length of a row's id."""

    name, version, fields, description = "observed", "1", ("messages",), "for tests"
    Config = Watched
    config: Watched

    def score(self, items: Sequence[Item]) -> list[float]:
        ids = [item.id for item in items]
        self._note("asked", ids)
        if set(ids) & set(self.config.poison):
            os.kill(os.getpid(), signal.SIGKILL)
        deadline = time.monotonic() + 120
        while self.config.hold and Path(self.config.hold).exists() and time.monotonic() < deadline:
            time.sleep(0.05)  # between two looks
        self._note("scored", ids)
        return [float(len(id)) for id in ids]

    def _note(self, what: str, ids: list[str]) -> None:
        with Path(self.config.log).open("a") as log:
            log.write(json.dumps({"what": what, "pid": os.getpid(), "ids": ids}) + "\n")


class ObservedServed(Observed):
    """The same behind Ray Serve."""

    name = "observed_served"
    served = Served(batch_rows=8)


class Log:
    """What an Observed scorer wrote."""

    def __init__(self, folder: Path) -> None:
        self.file, self.hold = folder / "calls.jsonl", folder / "hold"

    def notes(self, what: str) -> list[dict[str, Any]]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [note for note in map(json.loads, lines) if note["what"] == what]

    def rows(self, what: str) -> Counter[str]:
        """How often each row was asked for, or scored."""
        return Counter(id for note in self.notes(what) for id in note["ids"])

    @contextmanager
    def held(self) -> Iterator[None]:
        """Calls wait for the length of the block."""
        self.hold.touch()
        try:
            yield
        finally:
            self.hold.unlink()

    def asked_pid(self, seconds: float = 120, beyond: int = 0) -> int:
        """The process of a call that waits now, the first after `beyond` calls."""
        deadline = time.monotonic() + seconds
        while len(self.notes("asked")) <= beyond:
            assert time.monotonic() < deadline, "no scorer was asked"
            time.sleep(0.05)  # between two looks
        return self.notes("asked")[beyond]["pid"]
