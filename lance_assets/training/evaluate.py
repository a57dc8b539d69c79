"""Compares a tuned checkpoint with its base on held-out rows, and with itself when it cannot see the image."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lance_assets.training.checkpoint import Checkpoint, trained_pixels
from lance_assets.training.facts import Definitions, compiled, score_facts, share_right, verdict
from lance_assets.training.heldout import Example, blank, held_out, others
from lance_assets.training.manifest import check_manifest
from lance_assets.training.overlap import rouge_l
from lance_assets.training.slices import Measured, by_slice
from lance_assets.training.trust import checks, leaked, looks

EXAMPLES = 5
#: Raised when an evaluation says more than before: an older one is done again.
FORMAT = 3


def evaluate(
    manifest: dict[str, Any],
    base: Path,
    tuned: Path,
    limit: int = 40,
    seed: int = 0,
    facts: Mapping[str, Mapping[str, str]] | None = None,
    previous: Path | None = None,
) -> dict[str, Any]:
    """Evaluates on up to `limit` held-out rows of the manifest's version; the models are loaded with transformers.

    `facts` are expressions by source id (see facts.compiled), `previous` another checkpoint to hold the tuned one
    against. Returns {"format", "rows", "rows_sha256" (of their ids), "leaked" (held-out rows that were trained on),
    "loss": {"base", "tuned", "other", "previous" or None} (nats per answer token, teacher-forced, each token counts
    alike; other = tuned with another row's image), "looks": Looks, "overlap": {"base", "tuned"} (mean ROUGE-L F1),
    "facts": {name: FactScore}, "slices": see by_slice, "beats_base": bool (on the loss), "regressed": bool or None (the
    loss is higher than that of `previous`), "beats_blank": {name: bool}, "verdict": sentence, "examples": [{"id",
    "prompt", "truth", "base", "tuned"}], "seconds", "checks": [Check]}. Raises BadInput where nothing is held out or a
    checkpoint does not load, MissingExtra.
    """
    started = time.monotonic()
    patterns = {source: compiled(said) for source, said in (facts or {}).items()}
    examples = held_out(check_manifest(manifest), limit, seed)
    definitions = [_definitions(patterns, example) for example in examples]
    truths = [example.truth for example in examples]
    images = [example.image for example in examples]
    pixels = trained_pixels(tuned)

    untrained = Checkpoint(base, pixels)
    base_losses, base_answers = untrained.losses(examples), untrained.answers(examples, images)
    del untrained  # two models of real size need not fit together
    before = None if previous is None else _mean(Checkpoint(previous, trained_pixels(previous)).losses(examples))

    trained = Checkpoint(tuned, pixels)
    losses, other_losses = trained.losses(examples), trained.losses(examples, others(examples))
    tuned_answers = trained.answers(examples, images)
    blank_answers, other_answers = (trained.answers(examples, wrong(examples)) for wrong in (blank, others))
    scores, better = score_facts(definitions, truths, tuned_answers, blank_answers, other_answers)
    per_base, per_tuned, per_other = map(_per_token, (base_losses, losses, other_losses))
    measured = [
        Measured(e.batch, len(e.truth.split()), base, tuned, share_right(known, e.truth, answer), e.scores)
        for e, base, tuned, known, answer in zip(examples, per_base, per_tuned, definitions, tuned_answers, strict=True)
    ]
    loss: dict[str, Any] = {
        "base": _mean(base_losses),
        "tuned": _mean(losses),
        "other": _mean(other_losses),
        "previous": before,
    }
    result: dict[str, Any] = {
        "format": FORMAT,
        "rows": len(examples),
        "rows_sha256": hashlib.sha256("\n".join(sorted(e.id for e in examples)).encode()).hexdigest(),
        "leaked": leaked(manifest),
        "loss": loss,
        "looks": looks(per_tuned, per_other),
        "overlap": {"base": _overlap(base_answers, truths), "tuned": _overlap(tuned_answers, truths)},
        "facts": scores,
        "slices": by_slice(measured),
        "beats_base": loss["tuned"] < loss["base"],
        "regressed": None if before is None else loss["tuned"] > before,
        "beats_blank": better,
        "verdict": verdict(scores, better, len(examples)),
        "examples": [
            {"id": e.id, "prompt": e.messages[-1]["content"], "truth": e.truth, "base": b, "tuned": t}
            for e, b, t in list(zip(examples, base_answers, tuned_answers, strict=True))[:EXAMPLES]
        ],
        "seconds": round(time.monotonic() - started, 2),
    }
    return result | {"checks": checks(result)}


def _definitions(patterns: Mapping[str, Definitions], example: Example) -> Definitions:
    """The facts of a row's source, with whose id the key of its batch begins."""
    return patterns.get(example.batch.partition("-")[0], {})


def _mean(losses: list[tuple[float, int]]) -> float:
    return round(sum(total for total, _ in losses) / sum(tokens for _, tokens in losses), 4)


def _per_token(losses: list[tuple[float, int]]) -> list[float]:
    return [total / max(1, tokens) for total, tokens in losses]


def _overlap(answers: list[str], truths: list[str]) -> float:
    return round(sum(map(rouge_l, answers, truths)) / len(truths), 4)
