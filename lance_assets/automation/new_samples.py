"""Which batches of a source to download now: a level-triggered plan over plain values."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import pyarrow as pa

from lance_assets.automation.requests import (
    IMAGES,
    RAW_CAPTIONS,
    Attempts,
    Flight,
    Limits,
    Request,
    ranges,
)
from lance_assets.partitions import Batch, batch_keys
from lance_assets.store.rejects import worth_another_try
from lance_assets.tags import AUTOMATION_TAG, MADE_TAG, PRIORITY_TAG, REASON_TAG

NEVER = float("-inf")
NEW_ROWS, CHANGED_ROWS = "new rows", "rows changed in the source"


def sensor_name(source: str) -> str:
    return f"new_samples_{source}"


def missing(keys: Sequence[str], stored: Collection[str], rejects: pa.Table) -> list[str]:
    """The batches of these keys that lack images. One of which no row could be stored is done, too, unless another try
    may go better."""
    keys = batch_keys(keys)
    refused = Counter(rejects["batch"].to_pylist())
    empty = {key for key in keys if refused[key] >= Batch.parse(key).rows}
    settled = empty - worth_another_try(rejects) | set(stored)
    return [key for key in keys if key not in settled]


def plan(
    source: str,
    lacking: Collection[str],
    changed: Collection[str],
    order: Sequence[str],
    flight: Flight,
    attempts: Attempts,
    made: str,
    limits: Limits,
    now: float,
    stored: Mapping[str, float] = MappingProxyType({}),
) -> list[Request]:
    """Runs for batches of a source that lack images, and then for those of which a row `changed`; `made` tells the
    settings by which they are loaded, `stored` when images of a batch were stored last (POSIX seconds): a run that
    stored some was not in vain. A batch that is in flight waits, and one that the last run could not store waits
    for its turn and then has a run of its own: where the captions of one batch cannot be had, no image of its run is
    loaded."""
    room = max(0, limits.runs - flight.runs.get(sensor_name(source), 0))
    asked: list[Request] = []
    for why, keys in ((NEW_ROWS, set(lacking)), (CHANGED_ROWS, set(changed) - set(lacking))):
        ready = [key for key in order if key in keys and ready_at(key, flight, attempts, made, stored.get(key)) <= now]
        tags = {
            AUTOMATION_TAG: sensor_name(source),
            REASON_TAG: why,
            MADE_TAG: json.dumps({IMAGES: made, RAW_CAPTIONS: made}),
            PRIORITY_TAG: "1",
        }
        before = [key for key in ready if attempts.count(IMAGES, key, made, stored.get(key, NEVER))]
        alone = [(key, key) for key in before]
        together = [ends for ends, _ in ranges(set(ready) - set(before), order, limits.batches)]
        asked += [Request((RAW_CAPTIONS, IMAGES), ends, tags) for ends in [*together, *alone]]
    return asked[:room]


def ready_at(batch: str, flight: Flight, attempts: Attempts, made: str, stored: float | None = None) -> float:
    """POSIX seconds from which a batch may be asked for: not while it is in flight (inf). `stored`: when images of it
    were stored last."""
    if flight.holds(RAW_CAPTIONS, batch) or flight.holds(IMAGES, batch):
        return float("inf")
    return attempts.wait_until(IMAGES, batch, made, NEVER if stored is None else stored)
