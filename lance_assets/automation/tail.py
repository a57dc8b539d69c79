"""When to renew the training set, and what hangs on it: a level-triggered plan over plain values.

Not by Dagster's automation conditions, since what they look at is not the truth here. They see events of partitions: a
batch whose every row was rejected never gets a score event and would count as missing for ever, a column that was
relabelled in the middle of a range counts as updated while it is half done, and an edge that falls into a failed run or
a fresh cursor is lost. And they are fixed when the code is loaded, while platform.yaml may say `train: auto` any time.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from lance_assets.audit.stale import reasons
from lance_assets.automation.relabel import PAUSED, WRONG, Plan
from lance_assets.automation.requests import (
    IMAGES,
    MODEL,
    RAW_CAPTIONS,
    Attempts,
    Flight,
    Request,
    score_asset,
)
from lance_assets.store.backlog import Backlog
from lance_assets.tags import AUTOMATION_TAG, MADE_TAG, REASON_TAG

TRAINING_SET, CHECKPOINT, EVALUATION = "sft_dataset", "qwen_vl_checkpoint", "evaluation"
TAIL = "tail"
#: A training that failed is not asked for again after so many tries, until its rows or its recipe change.
TRAININGS = 3


@dataclass(frozen=True)
class Renewal:
    """An asset of the tail: why it should be renewed (empty = it is of what is there now), and what it would be made
    of then."""

    why: str = ""
    made: str = ""


@dataclass(frozen=True)
class Tail:
    """The three assets as they stand. `unsettled`: why what they are made from is not at rest (empty = it is)."""

    unsettled: str
    training_set: Renewal
    checkpoint: Renewal
    evaluation: Renewal


@dataclass(frozen=True)
class TailPlan:
    """At most one run, and what to tell people otherwise."""

    request: Request | None = None
    says: str = ""


def unsettled(
    found: Backlog,
    columns: Plan,
    flight: Flight,
    arriving: Collection[str],
) -> str:
    """Why no training set should be pinned now: rows or scores are on their way (`arriving`: batches that are about to
    be downloaded), or a column that nobody paused holds values that its scorer would not give now. Labels that moved
    too far are asked for last (compute.drift).

    Rows that were never scored and cannot be now (a budget is spent, a server is down) do not hold it up: a filter does
    not select them.
    """
    for asset in flight.busy:
        if asset in (RAW_CAPTIONS, IMAGES, MODEL) or asset.startswith(score_asset("")):
            return f"{asset} is in flight"
    if arriving:
        return f"{len(arriving)} batches are about to be downloaded"
    for scorer, batches in columns.coming.items():
        if batches:
            return f"{score_asset(scorer)} is stale in {len(batches)} batches"
    for scorer, whys in columns.waiting.items():
        for why, batches in whys.items():
            wrong = [batch for batch in batches if set(reasons(found, batch, scorer)) & set(WRONG)]
            if wrong and why != PAUSED:
                return f"{score_asset(scorer)} is stale in {len(wrong)} batches: {why}"
    return ""


def plan(tail: Tail, train: str, flight: Flight, attempts: Attempts, now: float) -> TailPlan:
    """Nothing is asked for while anything upstream is missing, stale or in flight, or an asset of the tail is."""
    if tail.unsettled:
        return TailPlan(says=tail.unsettled)
    for asset in (TRAINING_SET, CHECKPOINT, EVALUATION):
        if flight.holds(asset):
            return TailPlan(says=f"{asset} is in flight")
    if tail.training_set.why:
        if attempts.wait_until(TRAINING_SET, None, tail.training_set.made, float("-inf")) > now:
            return TailPlan(says=f"{TRAINING_SET}: {tail.training_set.why}, and the last run did not change that")
        return TailPlan(_request((TRAINING_SET,), tail.training_set))
    for asset, renewal in ((CHECKPOINT, tail.checkpoint), (EVALUATION, tail.evaluation)):
        if not renewal.why:
            continue
        if train != "auto":
            return TailPlan(says=f"{asset}: {renewal.why}; automation.train is manual")
        if attempts.count(asset, None, renewal.made) >= TRAININGS:
            return TailPlan(says=f"{asset}: {renewal.why}; it failed {TRAININGS} times and is left to people")
        if attempts.wait_until(asset, None, renewal.made, float("-inf")) > now:
            return TailPlan(says=f"{asset}: {renewal.why}, and the last run did not change that")
        return TailPlan(_request((asset, EVALUATION) if asset == CHECKPOINT else (asset,), renewal))
    return TailPlan(says="the training set, its checkpoint and evaluation are of what is there")


def _request(assets: tuple[str, ...], renewal: Renewal) -> Request:
    made = json.dumps(dict.fromkeys(assets, renewal.made))
    return Request(assets, None, {AUTOMATION_TAG: TAIL, REASON_TAG: renewal.why, MADE_TAG: made})
