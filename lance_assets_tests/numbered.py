"""A home with two batches of forty rows and a scorer in a file that gives each row its number: told when to move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from lance_assets.assets.scores import score_key
from lance_assets.compute.fragment import Tools
from lance_assets.compute.in_process import in_process
from lance_assets.compute.label import label
from lance_assets.compute.registry import active_scorers
from lance_assets.definitions import build
from lance_assets.settings import Home, Platform
from lance_assets.store.batches import replace_batch, write_fragment
from lance_assets.store.captions import write_captions
from lance_assets.store.files import DataRoot
from lance_assets.store.schema import CAPTIONS, IMAGES
from lance_assets.tags import of_range
from lance_assets_tests.tables import add_batch, image_rows

A, B = "shots-0123abcd-0-40", "shots-0123abcd-40-80"
ROWS = 40
SCORER = '''
from lance_assets.scoring.functions import scorer


@scorer(version="{version}", fields=["messages"], bounds=(0, 100), unit="the number of the row")
def number(item):
    """The number of the row, and more of some."""
    value = int(item.caption.split()[1].rstrip("."))
    return value + ({add} if value < {below} else 0)
'''
KEY = score_key("number")


class Place:
    """The home; its training set wants numbers of 20 and more."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder, folder / "data")
        self.home.create()
        self.platform = Platform(self.home)
        self.root = DataRoot(self.home.data)
        self.home.platform_yaml.write_text(
            json.dumps(
                {
                    "scorers": [{"name": "caption_quality"}, {"name": "number", "uses": "numbers_of:number"}],
                    "sft": {"filter": "score_number >= 20"},
                }
            )
        )
        self.says("1")
        for number, batch in enumerate((A, B)):
            add_batch(self.root, batch, ROWS, first=number * ROWS)
            self.captions(batch, number * ROWS, ROWS)

    def captions(self, batch: str, first: int, rows: int) -> None:
        """Says that these rows were asked for."""
        like = image_rows(batch, rows, first).to_pylist()
        said = [
            dict.fromkeys(CAPTIONS.names)
            | {"id": row["id"], "caption": "x", "caption_missing": False, "row_in_file": 0}
            | {"source_path": "f", "source_sha256": "0", "source_revision": ""}
            for row in like
        ]
        write_captions(self.root, batch, pa.Table.from_pylist(said, schema=CAPTIONS))

    def images(self, batch: str, rows: list[dict[str, Any]]) -> None:
        """Stores these rows instead of the batch."""
        stored = write_fragment(self.root, iter([pa.RecordBatch.from_pylist(rows, schema=IMAGES)]))
        replace_batch(self.root, batch, stored, {})

    def says(self, version: str, add: int = 0, below: int = 0) -> None:
        """Writes the scorer; it adds something to numbers below `below`."""
        (self.home.root / "numbers_of.py").write_text(SCORER.format(version=version, add=add, below=below))

    def label(self, *batches: str) -> None:
        """Scores what is stale, in this process."""
        scorers = active_scorers(self.platform)
        tools = Tools(self.home.models)
        done = list(label(self.root, batches, scorers, "run", print, tools, runner=in_process))
        assert not [one.failure for one in done if one.failure]

    def check(
        self, instance: dg.DagsterInstance, *keys: dg.AssetCheckKey, batches: tuple[str, ...] = (A, B)
    ) -> dict[tuple[str, str | None], dg.AssetCheckEvaluation]:
        """Runs checks over batches in one run; what they found by check and batch."""
        job = build(self.platform).resolve_implicit_global_asset_job_def()
        subset = job.get_subset(asset_selection=set(), asset_check_selection=set(keys))
        done = subset.execute_in_process(instance=instance, tags=ends(batches))
        return {(one.check_name, one.partition): one for one in done.get_asset_check_evaluations()}

    def select(self, instance: dg.DagsterInstance) -> Any:
        """Materializes sft_dataset: its metadata, or the sentence it failed with."""
        job = build(self.platform).resolve_implicit_global_asset_job_def()
        subset = job.get_subset(asset_selection={dg.AssetKey("sft_dataset")}, asset_check_selection=set())
        done = subset.execute_in_process(instance=instance, raise_on_error=False)
        if done.success:
            (event,) = done.get_asset_materialization_events()
            return event.materialization.metadata
        (failed,) = done.filter_events(lambda event: event.is_step_failure)
        error = failed.step_failure_data.error
        assert error is not None
        return (error.cause or error).message


def ends(batches: tuple[str, ...]) -> dict[str, str]:
    """The tags of a run over these batches."""
    return of_range((batches[0], batches[-1]))
