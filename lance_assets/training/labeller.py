"""The labeller: a checkpoint of this platform that somebody promoted, so that scorers may use it."""

from __future__ import annotations

import shutil
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lance_assets.atomic import write_json
from lance_assets.errors import BadInput
from lance_assets.training.evaluate import FORMAT
from lance_assets.training.folder import (
    ENVIRONMENT,
    EVALUATION,
    MANIFEST,
    RECIPE,
    SUMMARY,
    model_digest,
    model_folder,
    read_json,
    read_summary,
)
from lance_assets.training.launch import ARGUMENTS_FILE
from lance_assets.training.merge import MERGED, model_of
from lance_assets.training.trust import BLOCKING

FOLDER = "labeller"
CURRENT = "current.json"
#: Beside the weights: which checkpoint they were, why and when it was promoted.
PROMOTION = "promotion.json"
#: What a merged model keeps of its adapter.
OF_ADAPTER = (SUMMARY, MANIFEST, RECIPE, ENVIRONMENT, EVALUATION, ARGUMENTS_FILE)


def labeller_folder(models: Path, digest: str) -> Path:
    """Where the promoted model of a digest lies, for as long as a label made by it is to be explained."""
    return models / FOLDER / digest[:16]


def current_labeller(models: Path) -> dict[str, Any] | None:
    """{model_digest} of the labeller in use; None before the first promotion."""
    return read_json(models / FOLDER / CURRENT)


def promotion_of(models: Path, digest: str) -> dict[str, Any]:
    """What was recorded when the model of a digest became the labeller. Raises BadInput where it never did."""
    path = labeller_folder(models, digest) / PROMOTION
    if (said := read_json(path)) is None:
        raise BadInput(f"no checkpoint with the digest {digest[:16]} was promoted: {path} is not there")
    return said


def promotions(models: Path) -> list[dict[str, Any]]:
    """What was recorded of every checkpoint that ever became the labeller."""
    found = map(read_json, sorted((models / FOLDER).glob(f"*/{PROMOTION}")))
    return [said for said in found if said is not None]


def promote_checkpoint(checkpoint: Path, models: Path, reason: str, by: str) -> dict[str, Any]:
    """Makes a checkpoint the labeller: its model is copied beside the platform's models, so that it outlives the
    checkpoint's folder. Returns {model_digest, checkpoint, tag, checks, reason, by, time}.

    Of an adapter the merged model beside it is copied, with what says how the adapter was trained and evaluated. Raises
    BadInput without a reason, for a folder that is no finished checkpoint, for an adapter that was not merged, and for
    one whose weights were not evaluated by this release, or failed a check that blocks.
    """
    if not reason.strip():
        raise BadInput("a promotion needs a reason")
    folder = model_folder(checkpoint.parent if checkpoint.name == MERGED else checkpoint)
    whole = model_of(folder)
    checks = _passed(folder)
    if not whole.exists():
        raise BadInput(f"{folder} is an adapter: materialize merged_model first, so that {whole} is there")
    summary, digest = read_summary(folder) or {}, model_digest(whole) or ""
    said = {
        "model_digest": digest,
        "checkpoint": str(folder),
        "tag": summary["tag"],
        "checks": {check["name"]: check["passed"] for check in checks},
        "reason": reason.strip(),
        "by": by,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    target = labeller_folder(models, digest)
    if not target.exists():
        draft = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
        shutil.copytree(whole, draft, ignore=shutil.ignore_patterns("checkpoint-*", "*.bin", "*.pt", "*.jsonl"))
        for name in OF_ADAPTER if whole != folder else ():
            if (folder / name).exists():
                shutil.copyfile(folder / name, draft / name)
        draft.rename(target)
    write_json(target / PROMOTION, said)
    write_json(models / FOLDER / CURRENT, {"model_digest": digest})
    return said


def _passed(folder: Path) -> list[dict[str, Any]]:
    """The checks of a checkpoint that may be promoted. Raises BadInput for another one."""
    evaluation = read_json(folder / EVALUATION)
    if evaluation is None:
        raise BadInput(f"{folder} was not evaluated: materialize evaluation first")
    if evaluation.get("format") != FORMAT or evaluation["asked"]["model"] != model_digest(folder):
        raise BadInput(f"the evaluation of {folder} is of an earlier release or other weights: materialize it again")
    checks = {check["name"]: check for check in evaluation["checks"]}
    if missing := [name for name in BLOCKING if name not in checks]:
        raise BadInput(f"the evaluation of {folder} does not say whether it passes {missing[0]}: materialize it again")
    if failed := [name for name in BLOCKING if not checks[name]["passed"]]:
        raise BadInput(f"{folder} failed {failed[0]}: {checks[failed[0]]['why']}")
    return list(checks.values())
