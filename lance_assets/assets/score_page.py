"""What the page of a score column shows: its scorer, its columns, and of each batch numbers, histogram, pictures."""

import inspect
from collections.abc import Sequence
from typing import Any

import dagster as dg
import numpy as np

from lance_assets.assets.common import BATCHES
from lance_assets.assets.image_dataset import image_dataset
from lance_assets.compute.duplicates_preview import duplicate_numbers, pairs_sheet
from lance_assets.compute.label import Labelled
from lance_assets.compute.preview import batch_values, score_sheets
from lance_assets.preview.histogram import histogram_markdown, shown_range
from lance_assets.preview.numbers import score_numbers
from lance_assets.scoring.api import Scorer, State
from lance_assets.scoring.duplicate import MAX_RADIUS
from lance_assets.store.columns import column_of, is_number, state_of
from lance_assets.store.files import DataRoot


def score_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["score", name])


def score_spec(scorer: Scorer, deps: Sequence[dg.AssetKey]) -> dg.AssetSpec:
    """The asset of one column; its code version is the scorer's declared version and nothing else."""
    return dg.AssetSpec(
        score_key(scorer.name),
        deps=deps,
        group_name="scores",
        code_version=scorer.version,
        kinds={"ray", "lance"},
        description=scorer.description,
        partitions_def=BATCHES,
        metadata={
            "column": column_of(scorer.name),
            "reads": ", ".join(scorer.fields),
            "scale": scorer.unit,
            "dagster/column_schema": _schema(scorer),
            **_code(scorer),
        },
    )


def _schema(scorer: Scorer) -> dg.TableSchema:
    column = column_of(scorer.name)
    states = ", ".join(f"{state.value} {state.name.lower()}" for state in State)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(column, str(scorer.type), f"{scorer.unit}; NULL where the state is not ok"),
            dg.TableColumn(state_of(column), "uint8", f"{states}; NULL = never scored"),
        ]
    )


def _code(scorer: Scorer) -> dict[str, Any]:
    """A link to the scorer's own file; the asset is made by a factory, which says nothing about it."""
    function = getattr(type(scorer), "function", type(scorer))
    try:
        file, line = inspect.getsourcefile(function), inspect.getsourcelines(function)[1]
    except (OSError, TypeError):  # made in a notebook, or by hand
        return {}
    if file is None:
        return {}
    reference = dg.LocalFileCodeReference(file_path=file, line_number=line, label=f"the scorer {scorer.name}")
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference])}


def page(root: DataRoot, done: Labelled, scorer: Scorer) -> dict[str, Any]:
    """Metadata of one batch of a column."""
    shown, rows = _duplicates_shown(root, done) if scorer.across else _scores_shown(root, done)
    return {
        **shown,
        "scorer_calls": done.calls,
        "why": ", ".join(done.reasons) or "up to date",
        **({"first_failure": done.message} if done.message else {}),
        "scorer_version": scorer.version,
        "config": scorer.config_hash(),
        "lance_version": done.version,
        "images": page_of(image_dataset.key, done.batch),
        "dagster/partition_row_count": rows,
        "dagster/uri": root.images,
    }


def page_of(key: dg.AssetKey, batch: str) -> dg.UrlMetadataValue:
    """A link to the page of a batch of an asset."""
    return dg.MetadataValue.url(f"/assets/{'/'.join(key.path)}?view=partitions&partition={batch}")


def _scores_shown(root: DataRoot, done: Labelled) -> tuple[dict[str, Any], int]:
    values, states = batch_values(root, done.batch, done.scorer)
    sheets = {name: dg.MetadataValue.md(sheet) for name, sheet in score_sheets(root, done.batch, done.scorer).items()}
    if not is_number(values.type):
        failed = sum(state not in (None, 0) for state in states)
        return {**sheets, "rows": len(states), "failed": failed}, len(states)
    floats = values.to_numpy().astype(np.float64)
    numbers = score_numbers(floats, states)
    low, high = shown_range(floats)
    histogram = dg.MetadataValue.md(histogram_markdown(floats, low, high))
    return {"histogram": histogram, **sheets, **numbers}, int(numbers["rows"])


def _duplicates_shown(root: DataRoot, done: Labelled) -> tuple[dict[str, Any], int]:
    numbers = duplicate_numbers(root, done.batch)
    distances = numbers.pop("distances")
    sheets = {
        "distances": dg.MetadataValue.md(histogram_markdown(distances, high=MAX_RADIUS + 1)),
        "pairs": dg.MetadataValue.md(pairs_sheet(root, done.pairs)),
    }
    return {**sheets, **numbers}, numbers["rows"]
