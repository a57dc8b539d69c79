"""The scorers of a platform with the models that they need, and the learnt model's place on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lance
import ray

from lance_assets.errors import BadInput
from lance_assets.ingest.conversation import caption_of
from lance_assets.scoring.alignment import Alignment, AlignmentModel
from lance_assets.scoring.alignment_fit import fit_alignment
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.registry import scorers
from lance_assets.store.files import DataRoot, write_json
from lance_assets.store.table import open_images

FIT_ROWS = 2_000


def active_scorers(
    names: Sequence[str] | None, configs: Mapping[str, Mapping[str, Any]], models: Path
) -> dict[str, Scorer]:
    """The platform's scorers by name; alignment carries the digest and folder of the model fitted last, if any."""
    known = {name: dict(config) for name, config in configs.items()}
    current = current_alignment(models)
    if current:
        known["alignment"] = {**known.get("alignment", {}), **current}
    return scorers(names, known)


def current_alignment(models: Path) -> dict[str, Any] | None:
    """{model_digest} of the alignment model in use; None before the first fit."""
    path = models / "alignment" / "current.json"
    return json.loads(path.read_text()) if path.exists() else None


def with_model(scorer: Scorer, models: Path) -> Scorer:
    """The scorer holding the model that its config names, ready to score. Raises BadInput before the first fit."""
    if not isinstance(scorer, Alignment):
        return scorer
    digest = scorer.config.model_digest
    if digest is None:
        raise BadInput("score/alignment needs a model: materialize alignment_model first")
    return Alignment(scorer.config, AlignmentModel.load(_folder(models, digest)))


def _folder(models: Path, digest: str) -> Path:
    return models / "alignment" / digest[:16]


def fit(root: DataRoot, models: Path) -> dict[str, Any]:
    """Fits the alignment model on up to 2,000 rows of the table, spread evenly, and makes it the current one.

    The same rows give the same digest, and then nothing becomes stale. Raises BadInput on an empty table.
    """
    return ray.get(ray.remote(num_cpus=1)(_fit).remote(root, models))


def _fit(root: DataRoot, models: Path) -> dict[str, Any]:
    dataset = open_images(root)
    rows = dataset.count_rows()
    if rows == 0:
        raise BadInput("alignment_model: the image table has no row to learn from")
    step = max(1, -(-rows // FIT_ROWS))
    table = _take(dataset, list(range(0, rows, step)))
    captions = [caption_of(messages) for messages in table["messages"].to_pylist()]
    model = fit_alignment(table["image"].to_pylist(), captions, table["image_sha256"].to_pylist())
    draft = models / "alignment" / "draft"
    digest = model.save(draft)
    folder = _folder(models, digest)
    if not folder.exists():
        draft.rename(folder)
    write_json(models / "alignment" / "current.json", {"model_digest": digest})
    return {
        "model_digest": digest,
        "folder": str(folder),
        "rows": table.num_rows,
        "lance_version": dataset.version,
        "metrics": model.metrics,
    }


def _take(dataset: lance.LanceDataset, offsets: list[int]) -> Any:
    """Rows by position with their image bytes; a plain take gives positions of blobs instead."""
    ids = dataset.scanner(columns=[], with_row_id=True).to_table()["_rowid"].take(offsets).to_pylist()
    wanted = ",".join(map(str, ids))
    return dataset.scanner(
        columns=["image", "image_sha256", "messages"], filter=f"_rowid IN ({wanted})", blob_handling="all_binary"
    ).to_table()
