"""Held-out rows with their images, drawn for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from lance_assets.errors import BadInput
from lance_assets.store.columns import is_number, score_columns
from lance_assets.training import rows
from lance_assets.training.manifest import side
from lance_assets.training.pictures import opened

GREY = (128, 128, 128)


@dataclass(frozen=True)
class Example:
    """One row: `messages` up to the last answer, the true answer, and the image (PIL, RGB); its batch and its numeric
    scores by column."""

    id: str
    messages: list[dict[str, str]]
    truth: str
    image: Any
    batch: str = ""
    scores: Mapping[str, float | None] = field(default_factory=dict)


def held_out(manifest: dict[str, Any], limit: int, seed: int) -> list[Example]:
    """Up to `limit` rows of the test side, the same for the same seed. Raises BadInput where the side is empty."""
    source = side(manifest, "test")
    scores = _numeric_scores(source)
    listed, _ = rows.scan(source, ["id"])
    if listed.num_rows == 0 or limit < 1:
        raise BadInput(
            f"the training set {manifest.get('tag', source.uri)} holds no row out, so there is nothing to evaluate on"
        )
    drawn = sorted(listed.to_pylist(), key=lambda row: sha256(f"{seed}/{row['id']}".encode()).digest())[:limit]
    wanted = ",".join(str(row["_rowid"]) for row in drawn)
    few = replace(source, filter=f"_rowid IN ({wanted})", rows=len(drawn))
    table, _ = rows.scan(few, ["batch", "messages", *scores])
    found = {row["_rowid"]: row for row in table.to_pylist()}
    chosen = [row | found[row["_rowid"]] for row in drawn]
    images, _ = rows.fetch(source.uri, source.version, "image", [row["_rowid"] for row in chosen])
    return [
        Example(
            id=row["id"],
            messages=row["messages"][:-1],
            truth=row["messages"][-1]["content"],
            image=opened(data[0]).convert("RGB"),
            batch=row["batch"],
            scores={name: row[name] for name in scores},
        )
        for row, data in zip(chosen, images, strict=True)
    ]


def _numeric_scores(source: rows.LanceRows) -> list[str]:
    schema = rows.schema_of(source)
    return [name for name in score_columns(schema) if is_number(schema.field(name).type)]


def blank(examples: list[Example]) -> list[Any]:
    """Grey images of the same sizes: what can be said without looking."""
    from PIL import Image

    return [Image.new("RGB", example.image.size, GREY) for example in examples]


def others(examples: list[Example]) -> list[Any]:
    """For each row the image of the next: a real image, and the wrong one (the right one where there is one row)."""
    images = [example.image for example in examples]
    return images[1:] + images[:1]
