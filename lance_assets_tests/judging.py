"""Rows for the judge, and a judge that asks a server of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lance_assets.scoring.api import Item
from lance_assets.scoring.judge import Judge, JudgeConfig
from lance_assets_tests.fault_files import jpeg
from lance_assets_tests.judge_server import Model

KEY = "sk-secret-of-the-tests-0123456789"


def rows(count: int, start: int = 0) -> list[Item]:
    """Rows that all differ in their captions."""
    return [Item(f"id-{at}", f"a picture of row {at}.", data=jpeg(64, at % 8)) for at in range(start, start + count)]


@contextmanager
def judge(model: Model | str, models: Path, **config: Any) -> Iterator[Judge]:
    """A loaded judge without a ramp; the keywords are its config. The environment must hold the key."""
    url = model if isinstance(model, str) else model.url
    said = {"model": "stub-vl", "base_url": url, "ramp_s": 0, "canary_share": 0, "patience_s": 5, **config}
    made = Judge(JudgeConfig(**said))
    made.check(models)
    made.load(models)
    try:
        yield made
    finally:
        made.close()
