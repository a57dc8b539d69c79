"""The scorers of a platform with the models that they need, and the learnt model's place on disk."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import ray
from ray.cloudpickle import register_pickle_by_value

from lance_assets.atomic import write_json
from lance_assets.compute.scorers import platform_scorers
from lance_assets.errors import BadInput
from lance_assets.ingest.conversation import caption_of
from lance_assets.scoring.alignment import MAX_ROWS as FIT_ROWS
from lance_assets.scoring.alignment import NOTHING, NothingToLearn, fit_alignment, model_folder
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.plugins import from_a_file
from lance_assets.settings import Platform
from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images


def active_scorers(platform: Platform) -> dict[str, Scorer]:
    """The scorers of a platform (see platform_scorers), as Ray needs them: those whose code lies in the home travel to
    its workers by value. Raises BadInput."""
    made = platform_scorers(platform)
    for scorer in made.values():
        module = from_a_file(scorer)
        if module is not None:
            register_pickle_by_value(module)
    return made


def asked_scorers(platform: Platform, names: Iterable[str]) -> dict[str, Scorer]:
    """The scorers of these names. Raises BadInput where platform.yaml has one no more that the code location loaded."""
    now = active_scorers(platform)
    for name in names:
        if name not in now:
            raise BadInput(f"{platform.home.platform_yaml} has no scorer {name} any more: reload the code location")
    return {name: now[name] for name in names}


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
    found = {"model_digest": fitted["model_digest"], "rows": dataset.count_rows()}
    write_json(models / "alignment" / "current.json", found)
    return fitted


def _sample(dataset: lance.LanceDataset) -> pa.Table:
    """At most FIT_ROWS rows with a caption of their own, spread evenly, with image bytes (a plain take gives positions
    of blobs instead)."""
    ids = dataset.scanner(columns=[], filter="NOT caption_missing", with_row_id=True).to_table()["_rowid"].to_numpy()
    wanted = ",".join(map(str, ids[:: max(1, -(-len(ids) // FIT_ROWS))]))
    return dataset.scanner(
        columns=["image", "image_sha256", "messages"],
        filter=f"_rowid IN ({wanted})" if wanted else "false",
        blob_handling="all_binary",
    ).to_table()
