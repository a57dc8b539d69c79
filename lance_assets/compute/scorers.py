"""The scorers that platform.yaml asks for, with what they learnt. Imports no Ray, so that an audit answers at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lance_assets.compute.labeller import LabellerConfig
from lance_assets.ingest.conversation import PROMPT
from lance_assets.scoring.alignment import NOTHING, Alignment
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.duplicate import Duplicate
from lance_assets.scoring.registry import Entry, configured
from lance_assets.settings import Platform, ScorerEntry
from lance_assets.training.labeller import current_labeller, promotions

#: Metadata of sft_dataset: the table version that was looked at (the manifest may pin an earlier one that gave the same
#: rows), and `selection_of` then.
SEEN_VERSION, SELECTION = "table_version_seen", "selection_sha256"
#: Scorers of this module use the checkpoint promoted last.
LABELLERS = "lance_assets.compute.labeller:"


def platform_scorers(platform: Platform) -> dict[str, Scorer]:
    """The scorers by name, with the alignment model fitted last and the radius of the duplicates. Raises BadInput."""
    config = platform.config()
    chosen = config.scorers
    entries = None if chosen is None else [_entry(entry, platform.home.models) for entry in chosen]
    defaults = {
        Alignment.name: model_in_use(current_alignment(platform.home.models)),
        Duplicate.name: {"radius": config.duplicates.radius},
    }
    return configured(entries, platform.home.root, defaults)


def _entry(said: ScorerEntry, models: Path) -> Entry:
    """A scorer that uses the promoted checkpoint is told which one, unless its settings pin another."""
    entry = Entry(**said.model_dump())
    if not (entry.uses or "").startswith(LABELLERS):
        return entry
    return replace(entry, config={**(current_labeller(models) or {}), **entry.config})


def labelled_by(platform: Platform) -> dict[str, str]:
    """The checkpoint, by the config hash of the cells that it makes as labeller: with the usual prompt, and with those
    that platform.yaml names now. Raises BadInput."""
    entries = [entry for entry in platform.config().scorers or () if (entry.uses or "").startswith(LABELLERS)]
    prompts = {PROMPT, *(str(entry.config["prompt"]) for entry in entries if "prompt" in entry.config)}
    return {
        LabellerConfig.model_construct(model_digest=one["model_digest"], prompt=prompt).config_hash(): one["checkpoint"]
        for one in promotions(platform.home.models)
        for prompt in prompts
    }


def selection_of(platform: Platform, scorers: Mapping[str, Scorer]) -> str:
    """What platform.yaml says about the training set, in 16 hex digits: with the same selection the same table gives
    the same manifest."""
    config = platform.config()
    said = [config.sft.model_dump(), config.duplicates.model_dump(), sorted(scorers)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def model_in_use(fitted: dict[str, Any] | None) -> dict[str, Any]:
    """What the scorer wants to know of the last fit."""
    return {} if fitted is None else {"model_digest": fitted["model_digest"]}


def current_alignment(models: Path) -> dict[str, Any] | None:
    """{model_digest, rows} of the alignment model in use; None before the first fit. A fit by an earlier release does
    not say how many rows it saw."""
    path = models / "alignment" / "current.json"
    return json.loads(path.read_text()) if path.exists() else None


def needs_fit(models: Path, rows: int | None = None) -> bool:
    """True before the first fit, and where the last one found nothing to learn; where the number of `rows` in the table
    is given, only if it is not the one of then."""
    current = current_alignment(models)
    if current is None:
        return True
    return current["model_digest"] == NOTHING and (rows is None or current.get("rows") != rows)
