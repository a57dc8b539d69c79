"""Compares a tuned checkpoint with its base on held-out rows, and with itself when it cannot see the image."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lance_assets.training.checkpoint import Checkpoint, trained_pixels
from lance_assets.training.facts import score_facts, verdict
from lance_assets.training.heldout import Example, blank, held_out, others
from lance_assets.training.manifest import check_manifest
from lance_assets.training.overlap import rouge_l

EXAMPLES = 5


def evaluate(manifest: dict[str, Any], base: Path, tuned: Path, limit: int = 40, seed: int = 0) -> dict[str, Any]:
    """Evaluates on up to `limit` held-out rows of the manifest's version; both models are loaded with transformers.

    Returns {"rows", "loss": {"base", "tuned"} (nats per answer token, teacher-forced, each token counts alike),
    "overlap": {"base", "tuned"} (mean ROUGE-L F1), "facts": {name: FactScore}, "beats_base": bool (on the loss),
    "beats_blank": {name: bool}, "verdict": sentence, "examples": [{"id", "prompt", "truth", "base", "tuned"}],
    "seconds"}. Raises BadInput where nothing is held out or a checkpoint does not load, MissingExtra.
    """
    started = time.monotonic()
    examples = held_out(check_manifest(manifest), limit, seed)
    truths = [example.truth for example in examples]
    images = [example.image for example in examples]
    pixels = trained_pixels(tuned)

    untrained = Checkpoint(base, pixels)
    loss = {"base": _mean(untrained, examples)}
    base_answers = untrained.answers(examples, images)
    del untrained  # two models of real size need not fit together

    trained = Checkpoint(tuned, pixels)
    loss["tuned"] = _mean(trained, examples)
    tuned_answers = trained.answers(examples, images)
    facts, better = score_facts(
        truths, tuned_answers, trained.answers(examples, blank(examples)), trained.answers(examples, others(examples))
    )
    rows = list(zip(examples, base_answers, tuned_answers, strict=True))
    return {
        "rows": len(examples),
        "loss": loss,
        "overlap": {"base": _overlap(base_answers, truths), "tuned": _overlap(tuned_answers, truths)},
        "facts": facts,
        "beats_base": loss["tuned"] < loss["base"],
        "beats_blank": better,
        "verdict": verdict(facts, better, len(examples)),
        "examples": [
            {"id": e.id, "prompt": e.messages[-1]["content"], "truth": e.truth, "base": b, "tuned": t}
            for e, b, t in rows[:EXAMPLES]
        ],
        "seconds": round(time.monotonic() - started, 2),
    }


def _mean(checkpoint: Checkpoint, examples: list[Example]) -> float:
    total, tokens = checkpoint.losses(examples)
    return round(total / tokens, 4)


def _overlap(answers: list[str], truths: list[str]) -> float:
    return round(sum(map(rouge_l, answers, truths)) / len(truths), 4)
