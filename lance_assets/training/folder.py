"""The folder of a checkpoint: weights, and beside them everything that says what they were made of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.atomic import write_atomically, write_json
from lance_assets.errors import BadInput
from lance_assets.training import rows
from lance_assets.training.card import model_card
from lance_assets.training.manifest import read_manifest, side
from lance_assets.training.resume import drop_leftovers

#: Its presence says that training ended; it is written last.
SUMMARY = "lance_assets.json"
MANIFEST = "manifest.json"
RECIPE = "recipe.json"
ENVIRONMENT = "environment.json"
#: SHA-256 of the weights and of what is needed to load them, by file name.
DIGESTS = "digests.json"
#: The rows of both sides: `side`, `id`, `image_sha256`.
ROWS = "rows.parquet"
CARD = "README.md"
EVALUATION = "evaluation.json"
#: In the folder of all checkpoints: the summary of the one that was materialized last.
LATEST = "latest.json"
MODEL_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*config.json",
    "tokenizer*",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
)


def finish(
    output: Path, manifest: dict[str, Any], recipe: dict[str, Any], environment: dict[str, Any], summary: dict[str, Any]
) -> dict[str, Any]:
    """Writes manifest, rows, recipe, environment, digests, model card and, last, the summary, which is returned; then
    nothing is left of what a killed training goes on from."""
    write_json(output / MANIFEST, manifest)
    pq.write_table(_rows(manifest), output / ROWS)
    write_json(output / RECIPE, recipe)
    write_json(output / ENVIRONMENT, environment)
    write_json(output / DIGESTS, digests(output))
    card = model_card(manifest, recipe, environment, summary)
    write_atomically(output / CARD, card.encode())
    write_json(output / SUMMARY, summary)
    drop_leftovers(output)
    return summary


def _rows(manifest: dict[str, Any]) -> pa.Table:
    sides = []
    for name in ("train", "test"):
        found = rows.scan(side(manifest, name), ["id", "image_sha256"])[0].drop_columns(["_rowid"])
        sides.append(found.add_column(0, "side", pa.array([name] * found.num_rows, pa.string())))
    return pa.concat_tables(sides).replace_schema_metadata(None)


def read_rows(output: Path) -> pa.Table | None:
    """The rows that a checkpoint keeps; None where an older release made it."""
    return pq.read_table(output / ROWS) if (output / ROWS).exists() else None


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the files that make a model, by name."""
    files = {path for pattern in MODEL_FILES for path in folder.glob(pattern)}
    return {path.name: file_digest(path) for path in sorted(files)}


def file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def model_digest(folder: Path) -> str | None:
    """One digest of the weights, tokenizer and configuration in a folder; None for a model that has no folder (a hub
    id)."""
    if not folder.is_dir():
        return None
    return hashlib.sha256(json.dumps(digests(folder), sort_keys=True).encode()).hexdigest()


def read_summary(output: Path) -> dict[str, Any] | None:
    """The summary of a finished checkpoint; None where training never ended. Raises BadInput where it is damaged."""
    return read_json(output / SUMMARY)


def weights_folder(folder: Path) -> Path | None:
    """Where the weights of a checkpoint lie that people name by this folder or the one above; None where no training
    ended in either."""
    return next((place for place in (folder, folder / "model") if (place / SUMMARY).exists()), None)


def model_folder(folder: Path) -> Path:
    """As weights_folder, absolute. Raises BadInput where there is none."""
    found = weights_folder(folder)
    if found is None:
        raise BadInput(f"{folder} is no finished checkpoint of this platform: it has no {SUMMARY}")
    return found.absolute()


def read_beside(output: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Manifest, recipe and environment of a finished checkpoint. Raises BadInput where one is missing or damaged."""
    manifest = read_manifest(output / MANIFEST)
    said: list[dict[str, Any]] = []
    for name in (RECIPE, ENVIRONMENT):
        if (found := read_json(output / name)) is None:
            raise BadInput(f"{output / name} is not there: an older release made this checkpoint")
        said.append(found)
    return manifest, said[0], said[1]


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is no such file. Raises BadInput for one that is damaged."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(said, dict):
        raise BadInput(f"{path} must be a JSON object")
    return said
