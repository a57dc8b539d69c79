"""Checks of image_dataset: its rows are all there, and what is stored is what was downloaded."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import dagster as dg

from lance_assets.assets.common import BATCHES, PlatformParam, data_root
from lance_assets.assets.image_dataset import image_dataset
from lance_assets.checks.finding import Finding, batches_of, evaluation
from lance_assets.compute.preview import rows_by_id, spread_rows
from lance_assets.scoring.api import ScoreFailure
from lance_assets.scoring.decoding import decode
from lance_assets.store.captions import read_captions
from lance_assets.store.files import DataRoot
from lance_assets.store.rejects import read_rejects, reasons
from lance_assets.store.table import of_batch, open_images

COMPLETE, DECODABLE = "complete", "decodable"
NAMED = 5
"""So many rows are named; the others are counted."""


def complete(root: DataRoot, batch: str) -> Finding:
    """Whether each row that was asked for is either stored or rejected."""
    asked = set(read_captions(root, batch)["id"].to_pylist())
    stored = open_images(root).to_table(columns=["id"], filter=of_batch(batch))["id"].to_pylist()
    rejects = read_rejects(root, batch)
    rejected = set(rejects["id"].to_pylist())
    wrong = {
        "missing": asked - set(stored) - rejected,
        "stored_and_rejected": set(stored) & rejected,
        "not_asked_for": (set(stored) | rejected) - asked,
        "stored_twice": {id for id, count in Counter(stored).items() if count > 1},
    }
    why = ", ".join(f"{count} {reason}" for reason, count in reasons(rejects).items())
    text = f"{len(asked)} rows asked for: {len(stored)} stored, {len(rejected)} rejected{f' ({why})' if why else ''}"
    faults = [
        f"{len(ids)} {name.replace('_', ' ')}: {', '.join(sorted(ids)[:NAMED])}" for name, ids in wrong.items() if ids
    ]
    counts: dict[str, Any] = {"asked": len(asked), "stored": len(stored), "rejected": len(rejected)}
    return Finding(not faults, "; ".join([text, *faults]), counts | {name: len(ids) for name, ids in wrong.items()})


def decodable(root: DataRoot, batch: str, count: int) -> Finding:
    """Whether images spread over the batch decode, to the size and from the bytes that their rows tell."""
    dataset = open_images(root)
    columns = ("id", "image", "image_sha256", "width", "height")
    rows = rows_by_id(dataset, spread_rows(dataset, batch, count), columns).values()
    faults = [f"{row['id']}: {why}" for row in rows if (why := _fault(row))]
    total = dataset.count_rows(filter=of_batch(batch))
    text = f"{len(rows) - len(faults)} of {len(rows)} images looked at ({total} are stored) are as they were downloaded"
    return Finding(not faults, "; ".join([text, *faults[:NAMED]]), {"looked_at": len(rows), "faults": len(faults)})


def _fault(row: dict[str, Any]) -> str | None:
    if hashlib.sha256(row["image"]).hexdigest() != row["image_sha256"]:
        return "its bytes are not those of image_sha256"
    try:
        size = decode(row["image"]).size
    except ScoreFailure as error:
        return str(error)
    if size != (row["width"], row["height"]):
        return f"it decodes to {size[0]} x {size[1]}, its row says {row['width']} x {row['height']}"
    return None


SPECS = [
    dg.AssetCheckSpec(
        COMPLETE,
        asset=image_dataset.key,
        partitions_def=BATCHES,
        description="Each row that was asked for is either stored or rejected with a reason.",
    ),
    dg.AssetCheckSpec(
        DECODABLE,
        asset=image_dataset.key,
        partitions_def=BATCHES,
        description="Images spread over the batch decode; bytes and size are those that the row tells.",
    ),
]


@dg.multi_asset_check(name="image_checks", specs=SPECS, can_subset=True)
def image_checks(context: dg.AssetCheckExecutionContext, platform: PlatformParam) -> Iterable[Any]:
    root, settings = data_root(platform), platform.config().checks
    for spec in SPECS:
        if spec.key in context.selected_asset_check_keys:
            for batch in batches_of(context):
                found = complete(root, batch) if spec.name == COMPLETE else decodable(root, batch, settings.decoded)
                yield evaluation(spec.key, found, batch)
            yield dg.Output(None, output_name=spec.get_python_identifier())
