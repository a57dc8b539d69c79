"""Homes with scorers of their own, for tests of plug-ins."""

from __future__ import annotations

from pathlib import Path

PLAIN = '''
def words(item):
    """Words of the caption."""
    return len(item.caption.split())
'''

DECORATED = '''
import pyarrow as pa
from lance_assets.scoring.api import ScorerConfig
from lance_assets.scoring.functions import scorer

class Config(ScorerConfig):
    least: int = 2

@scorer(version="{version}", fields=("messages",), type=pa.bool_(), config=Config, name="long_{name}")
def long_enough(item, config):
    """Whether the caption has enough words."""
    return len(item.caption.split()) >= config.least
'''

CLASS = '''
from lance_assets.scoring.api import RowScorer, ScorerConfig, Served

class Config(ScorerConfig):
    factor: float = 1.0

class Letters(RowScorer):
    """Letters of the caption."""
    name, version, fields, description = "letters", "{version}", ("messages",), "letters"
    served = Served(batch_rows=8)
    Config = Config

    def score_one(self, item):
        return {sign}len(item.caption) * self.config.factor
'''


def home(folder: Path, **files: str) -> Path:
    """A home with these Python files (without their ending)."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder
