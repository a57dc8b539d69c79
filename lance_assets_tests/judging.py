"""Rows for the judge, and a judge that asks a server of the tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lance_assets.scoring.api import Item
from lance_assets.scoring.judge import Judge, JudgeConfig
from lance_assets_tests.fault_files import jpeg
from lance_assets_tests.judge_server import Model

KEY = "sk-secret-of-the-tests-0123456789"
ASK = """
import sys
from pathlib import Path
from lance_assets_tests.judging import judge, rows
url, models, count, places, variable = sys.argv[1:]
with judge(url, Path(models), concurrency=int(places), key_variable=variable) as ours:
    ours.score(rows(int(count)))
"""


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


def asking(
    url: str, models: Path, count: int, places: int, variable: str = "OPENAI_API_KEY"
) -> subprocess.Popen[bytes]:
    """A process of its own that asks for so many rows, to be killed; its environment holds the key."""
    return subprocess.Popen([sys.executable, "-c", ASK, url, str(models), str(count), str(places), variable])
