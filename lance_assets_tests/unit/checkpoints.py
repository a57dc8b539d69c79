"""Checkpoints of a tiny model of random weights, as a training and an evaluation leave them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from lance_assets.compute.labeller import LabellerConfig
from lance_assets.training.evaluate import FORMAT
from lance_assets.training.folder import model_digest
from lance_assets.training.labeller import promote_checkpoint

CAPTIONS = ["The player stands on grass.", "It is night. Health 4.", "A cow to the left."]
PASSED = {"name": "better_than_base", "passed": True, "blocking": True, "why": "loss 1 against 2"}
UNLEAKED = PASSED | {"name": "held_out_rows_are_not_trained_on", "why": "0 held-out rows"}


def picture(shade: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 40, 90)).save(sink, "PNG")
    return sink.getvalue()


def finished(folder: Path, seed: int, checks: list[dict[str, Any]] | None) -> Path:
    """What a training and an evaluation leave."""
    from lance_assets.training.tiny import build_tiny

    model = build_tiny(folder / "model", CAPTIONS, seed)
    (model / "lance_assets.json").write_text(json.dumps({"path": str(model), "tag": "sft-1"}))
    (model / "train_args.json").write_text(json.dumps({"image_min_pixels": 20736, "image_max_pixels": 20736}))
    if checks is not None:
        evaluated(model, checks)
    return folder


def evaluated(model: Path, checks: list[dict[str, Any]], **said: Any) -> None:
    found = {"format": FORMAT, "asked": {"model": model_digest(model)}, "checks": checks} | said
    (model / "evaluation.json").write_text(json.dumps(found))


def adapter(folder: Path, checks: list[dict[str, Any]]) -> Path:
    """What a training of an adapter and its evaluation leave, merged already."""
    finished(folder, 3, None)
    (folder / "model").rename(folder / "merged")
    (folder / "model").mkdir()
    for name in ("lance_assets.json", "train_args.json"):
        (folder / "merged" / name).rename(folder / "model" / name)
    (folder / "model" / "adapter_config.json").write_text("{}")
    evaluated(folder / "model", checks)
    return folder


def promoted(checkpoint: Path, models: Path) -> LabellerConfig:
    return LabellerConfig(**{"model_digest": promote_checkpoint(checkpoint, models, "first", "me")["model_digest"]})
