"""Which stale cells to ask for now: a level-triggered plan over plain values. It keeps no memory of what was asked:
a lost cursor, a failed run or a killed daemon changes nothing but the time at which the rest is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from lance_assets.audit.stale import WORDS, reasons
from lance_assets.automation.requests import (
    IMAGES,
    MODEL,
    RAW_CAPTIONS,
    Attempts,
    Flight,
    Limits,
    Request,
    ranges,
    score_asset,
)
from lance_assets.store.backlog import Backlog
from lance_assets.store.columns import column_of
from lance_assets.store.ledger import IMAGE
from lance_assets.tags import AUTOMATION_TAG, MADE_TAG, PRIORITY_TAG, REASON_TAG

#: Cells that hold a value which the column's scorer would not give now. The others hold none.
WRONG = ("damaged", "unknown", "version", "config")
RELABEL = "relabel"
#: Why stale cells are not asked for now.
PAUSED, IN_FLIGHT, NO_MODEL, IMAGES_COMING, BACKING_OFF = (
    "paused in platform.yaml",
    "in flight",
    "its model is not fitted yet",
    "its images are being stored",
    "the last run changed nothing: tried again later",
)


@dataclass(frozen=True)
class Column:
    """A score column as the platform has it: its scorer, what makes it now (version and config hash), which pass it
    takes part in (columns of one pass share a run), the scorers whose columns it reads, and why it cannot be scored yet
    (empty = it can)."""

    scorer: str
    made: str
    shares: str
    reads: tuple[str, ...] = ()
    lacks: str = ""


@dataclass
class Plan:
    """What to ask for, the most urgent first. `coming`: batches by scorer that are in flight, asked for, or would be
    had the tick room for them. `waiting`: batches by scorer and reason that are stale and not coming."""

    requests: list[Request] = field(default_factory=list)
    coming: dict[str, set[str]] = field(default_factory=dict)
    waiting: dict[str, dict[str, list[str]]] = field(default_factory=dict)


def plan(
    found: Backlog,
    order: Sequence[str],
    columns: Sequence[Column],
    paused: Collection[str],
    flight: Flight,
    attempts: Attempts,
    limits: Limits,
    now: float,
) -> Plan:
    """`order` are the batches in the order of Dagster's partitions, `now` POSIX seconds. Asks for batches that have
    images stored and a stale cell, and for no other; those of a pass that lack the same columns share runs."""
    made = Plan()
    ready: dict[str, dict[str, list[Column]]] = {}
    for column in columns:
        for batch in order:
            if column_of(column.scorer) not in found.stale.get(batch, {}):
                continue
            why = _held_back(found, batch, column, paused, flight, attempts, now)
            if not why:
                ready.setdefault(column.shares, {}).setdefault(batch, []).append(column)
            if why in ("", IN_FLIGHT):
                made.coming.setdefault(column.scorer, set()).add(batch)
            else:
                made.waiting.setdefault(column.scorer, {}).setdefault(why, []).append(batch)
    asked = sorted(
        (request for batches in ready.values() for request in _requests(found, batches, order, limits.batches)),
        key=lambda one: one[0],
    )
    room = max(0, limits.runs - flight.runs.get(RELABEL, 0))
    made.requests = [request for _, request in asked[:room]]
    return made


def _held_back(
    found: Backlog,
    batch: str,
    column: Column,
    paused: Collection[str],
    flight: Flight,
    attempts: Attempts,
    now: float,
) -> str:
    """Why a stale batch of a column is not asked for now; empty where it is."""
    asset = score_asset(column.scorer)
    if column.scorer in paused:
        return PAUSED
    if column.lacks:
        return column.lacks
    if flight.holds(asset, batch):
        return IN_FLIGHT
    if flight.holds(IMAGES, batch) or flight.holds(RAW_CAPTIONS, batch):
        return IMAGES_COMING
    for name in column.reads:
        if flight.holds(score_asset(name), batch) or reasons(found, batch, name):
            return f"waits for {name}, which it reads"
    since = max(found.made.get((batch, name), float("-inf")) for name in (column_of(column.scorer), IMAGE))
    if attempts.wait_until(asset, batch, column.made, since) > now:
        return BACKING_OFF
    return ""


def _requests(
    found: Backlog, batches: Mapping[str, Sequence[Column]], order: Sequence[str], most: int
) -> list[tuple[tuple[int, int], Request]]:
    """One pass: batches that lack the same columns share runs. Each with its place in the queue."""
    urgency, position = {reason: at for at, reason in enumerate(WORDS)}, {key: at for at, key in enumerate(order)}
    alike: dict[tuple[str, ...], list[str]] = {}
    of = {one.scorer: one for some in batches.values() for one in some}
    for batch, some in batches.items():
        alike.setdefault(tuple(one.scorer for one in some), []).append(batch)
    made: list[tuple[tuple[int, int], Request]] = []
    for names, keys in alike.items():
        for ends, count in ranges(keys, order, most):
            at = position[ends[0]]
            rows: dict[str, int] = {}
            for batch in order[at : at + count]:
                for name in names:
                    for reason, number in reasons(found, batch, name).items():
                        rows[reason] = rows.get(reason, 0) + number
            first = min(rows, key=lambda reason: urgency[reason])
            tags = {
                AUTOMATION_TAG: RELABEL,
                REASON_TAG: ", ".join(f"{word} ({rows[why]})" for why, word in WORDS.items() if why in rows),
                MADE_TAG: json.dumps({score_asset(name): of[name].made for name in names}),
                # People wait for new samples; a relabelled table is as good tomorrow.
                PRIORITY_TAG: "1" if first in ("new", "image") else "0",
            }
            request = Request(tuple(score_asset(name) for name in names), ends, tags)
            made.append(((urgency[first], at), request))
    return made


def fit_request(
    columns: Sequence[Column], images: bool, flight: Flight, attempts: Attempts, now: float
) -> list[Request]:
    """The alignment model, where a column lacks it and there are images to learn from. Not while images are on their
    way: it is learnt once, from as many rows as there are by then."""
    lacking = [column for column in columns if column.lacks == NO_MODEL]
    coming = any(flight.holds(asset) for asset in (RAW_CAPTIONS, IMAGES, MODEL))
    if not lacking or not images or coming or attempts.wait_until(MODEL, None, "", float("-inf")) > now:
        return []
    return [Request((MODEL,), None, {AUTOMATION_TAG: RELABEL, REASON_TAG: NO_MODEL})]
