"""The scorers of a platform with the models that they need, and the learnt model's place on disk."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import ray
from ray.cloudpickle import register_pickle_by_value

from lance_assets.atomic import write_json
from lance_assets.compute.labeller import Labeller
from lance_assets.ingest.conversation import caption_of
from lance_assets.scoring.alignment import MAX_ROWS as FIT_ROWS
from lance_assets.scoring.alignment import (
    NOTHING,
    Alignment,
    NothingToLearn,
    fit_alignment,
    model_folder,
)
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.duplicate import Duplicate
from lance_assets.scoring.plugins import from_a_file
from lance_assets.scoring.registry import Entry, configured
from lance_assets.settings import Platform
from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images
from lance_assets.training.labeller import current_labeller


def active_scorers(platform: Platform) -> dict[str, Scorer]:
    """The scorers that platform.yaml asks for, by name, with the alignment model fitted last and the radius of the
    duplicates. Those whose code lies in the home travel to Ray's workers by value. Raises BadInput."""
    config = platform.config()
    chosen = config.scorers
    labeller = current_labeller(platform.home.models)
    entries = None if chosen is None else [_with(labeller, Entry(**entry.model_dump())) for entry in chosen]
    defaults = {
        Alignment.name: current_alignment(platform.home.models) or {},
        Duplicate.name: {"radius": config.duplicates.radius},
    }
    made = configured(entries, platform.home.root, defaults)
    for scorer in made.values():
        module = from_a_file(scorer)
        if module is not None:
            register_pickle_by_value(module)
    return made


def _with(labeller: Mapping[str, Any] | None, entry: Entry) -> Entry:
    """A scorer of labeller.py uses the checkpoint promoted last, unless its entry pins another."""
    if labeller is None or not (entry.uses or "").startswith(f"{Labeller.__module__}:"):
        return entry
    return replace(entry, config={**labeller, **entry.config})


def current_alignment(models: Path) -> dict[str, Any] | None:
    """{model_digest} of the alignment model in use; None before the first fit."""
    path = models / "alignment" / "current.json"
    return json.loads(path.read_text()) if path.exists() else None


def needs_fit(models: Path) -> bool:
    """True before the first fit, and where the last one found nothing to learn."""
    current = current_alignment(models)
    return current is None or current["model_digest"] == NOTHING


def fit(root: DataRoot, models: Path) -> dict[str, Any]:
    """Fits the alignment model on up to 2,000 rows of the table, spread evenly, and makes it the current one.

    Rows whose caption is missing teach nothing and are left out. The same rows give the same digest, and then nothing
    becomes stale. Where there is nothing to learn, `nothing` says why and every row will be refused.
    """
    return ray.get(ray.remote(num_cpus=1)(_fit).remote(root, models))


def _fit(root: DataRoot, models: Path) -> dict[str, Any]:
    dataset = open_images(root)
    table = _sample(dataset)
    fitted = {"rows": table.num_rows, "lance_version": dataset.version, "metrics": {}, "folder": "", "nothing": None}
    captions = [caption_of(messages) for messages in table["messages"].to_pylist()]
    try:
        model = fit_alignment(table["image"].to_pylist(), captions, table["image_sha256"].to_pylist())
    except NothingToLearn as error:
        fitted |= {"model_digest": NOTHING, "nothing": str(error)}
    else:
        draft = models / "alignment" / f"draft-{uuid.uuid4().hex}"
        digest = model.save(draft)
        folder = model_folder(models, digest)
        if folder.exists():
            shutil.rmtree(draft)
        else:
            draft.rename(folder)
        fitted |= {"model_digest": digest, "folder": str(folder), "metrics": model.metrics}
    write_json(models / "alignment" / "current.json", {"model_digest": fitted["model_digest"]})
    return fitted


def _sample(dataset: lance.LanceDataset) -> pa.Table:
    """At most FIT_ROWS rows with a caption of their own, spread evenly, with image bytes (a plain take gives positions
    of blobs instead)."""
    ids = dataset.scanner(columns=[], filter="NOT caption_missing", with_row_id=True).to_table()["_rowid"].to_pylist()
    wanted = ",".join(map(str, ids[:: max(1, -(-len(ids) // FIT_ROWS))]))
    return dataset.scanner(
        columns=["image", "image_sha256", "messages"],
        filter=f"_rowid IN ({wanted})" if wanted else "false",
        blob_handling="all_binary",
    ).to_table()
