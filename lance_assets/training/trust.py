"""What makes an evaluation worth nothing: a model that ignores the image, held-out rows that were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import pyarrow.compute as pc

from lance_assets.training import rows
from lance_assets.training.facts import more_often
from lance_assets.training.manifest import side


class Looks(TypedDict):
    """`gain` = loss with another row's image less loss with the row's own, mean nats per answer token; `won` rows of
    `rows` have the lower loss with their own. reads: that is more than chance (one-sided sign test at 0.05)."""

    gain: float
    won: int
    rows: int
    reads: bool


def looks(own: Sequence[float], other: Sequence[float]) -> Looks:
    """Whether a model looks at the image, told from its losses alone, so for any captions. One that was trained on
    shuffled labels, or ignores the image, gains nothing by the right one."""
    gains = [theirs - mine for mine, theirs in zip(own, other, strict=True)]
    won, lost = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    mean = round(sum(gains) / len(gains), 4)
    return Looks(gain=mean, won=won, rows=len(gains), reads=mean > 0 and more_often(won, lost))


def leaked(manifest: dict[str, Any]) -> int:
    """How many held-out rows of a manifest are trained on, too: by id, or by the very bytes of their image."""
    train, test = (rows.scan(side(manifest, name), ["id", "image_sha256"])[0] for name in ("train", "test"))
    ids, digests = (pc.field(name).isin(train[name].combine_chunks()) for name in ("id", "image_sha256"))
    return test.filter(ids | digests).num_rows


class Check(TypedDict):
    """What an evaluation has to pass; `why` is one sentence for people. Nothing may be built on a checkpoint that fails
    a `blocking` one."""

    name: str
    passed: bool
    blocking: bool
    why: str


BLOCKING = ("better_than_base", "held_out_rows_are_not_trained_on")
CHECKS = (*BLOCKING, "reads_the_image", "not_worse_than_before")


def checks(result: dict[str, Any]) -> list[Check]:
    """The checks of an evaluation, in the order of CHECKS."""
    loss, seen, gone = result["loss"], result["looks"], result["leaked"]
    of = f"of {result['rows']} held-out rows"
    before = (
        "no other checkpoint was evaluated before"
        if loss["previous"] is None
        else f"loss {loss['tuned']} against {loss['previous']} of the checkpoint evaluated before, on the same rows"
    )
    found = {
        "better_than_base": (result["beats_base"], f"loss {loss['tuned']} against {loss['base']} of the base {of}"),
        "held_out_rows_are_not_trained_on": (not gone, f"{gone} held-out rows, or their very images, are trained on"),
        "reads_the_image": (
            seen["reads"],
            f"the row's own image lowers the loss by {seen['gain']} against another row's; on {seen['won']} {of}",
        ),
        "not_worse_than_before": (not result["regressed"], before),
    }
    return [Check(name=name, passed=found[name][0], blocking=name in BLOCKING, why=found[name][1]) for name in CHECKS]
