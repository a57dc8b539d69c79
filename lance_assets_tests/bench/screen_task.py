"""The two parts of `bench screen` that load torch, each in a process of its own: train, and ask what was learnt."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lance_assets.training.facts import compiled, read_facts, score_facts
from lance_assets_tests.bench.screen import FACTS


def train(place: Path) -> dict[str, Any]:
    from lance_assets.training.launch import train

    return train(json.loads((place / "train.json").read_text()))


def ask(place: Path) -> dict[str, Any]:
    """{"facts": FactScores of the last model, "steps": {step: {fact: share right}}, "losses": {step: nats a token}}."""
    from lance_assets.training.checkpoint import Checkpoint, trained_pixels
    from lance_assets.training.heldout import blank, held_out, others

    manifest = json.loads((place / "manifest.json").read_text())
    examples = held_out(manifest, manifest["rows"]["test"], seed=0)
    images, truths, known = [e.image for e in examples], [e.truth for e in examples], compiled(FACTS)
    stated = [read_facts(truth, known) for truth in truths]
    model, pixels = place / "model", trained_pixels(place / "model")
    saved = sorted(model.glob("checkpoint-*"), key=_step)
    steps: dict[str, dict[str, float]] = {}
    losses: dict[str, float] = {}
    for folder in saved:
        checkpoint = Checkpoint(folder, pixels)
        answers = [read_facts(answer, known) for answer in checkpoint.answers(examples, images)]
        parts = checkpoint.losses(examples)
        losses[str(_step(folder))] = sum(total for total, _ in parts) / sum(tokens for _, tokens in parts)
        steps[str(_step(folder))] = {
            name: _share(
                [said.get(name) == true[name] for said, true in zip(answers, stated, strict=True) if name in true]
            )
            for name in FACTS
        }
    last = Checkpoint(model, pixels)
    own, grey, other = (last.answers(examples, shown) for shown in (images, blank(examples), others(examples)))
    facts, _ = score_facts([known] * len(examples), truths, own, grey, other)
    return {"facts": facts, "steps": steps, "losses": losses}


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _share(right: list[bool]) -> float:
    return round(sum(right) / len(right), 3) if right else 0.0


if __name__ == "__main__":
    task, where = sys.argv[1], Path(sys.argv[2])
    (where / f"{task}ed.json").write_text(json.dumps({"train": train, "ask": ask}[task](where)))
