"""What the screens are told when somebody accepts labels that failed the check drift."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from lance_assets.assets.scores import score_key
from lance_assets.checks.finding import Finding, evaluation
from lance_assets.checks.scores import DRIFT, drift_text
from lance_assets.store.columns import scorer_of
from lance_assets.store.promotions import Promotion


def promoted(promotion: Promotion) -> Iterator[dg.AssetCheckEvaluation | dg.AssetObservation]:
    """The check passes for each batch, with the reason; the column's events name who accepted what."""
    key = score_key(scorer_of(promotion["column"]))
    for verdict in promotion["verdicts"]:
        numbers = {name: verdict[name] for name in ("psi", "crossing_share")}
        said = {**numbers, "promoted_by": promotion["by"], "reason": promotion["reason"]}
        finding = Finding(True, drift_text(verdict | {"promotion": promotion}, used=False), said)
        yield evaluation(dg.AssetCheckKey(key, DRIFT), finding, verdict["batch"])
    yield dg.AssetObservation(
        key,
        description=f"{len(promotion['verdicts'])} batches with other labels accepted: {promotion['reason']}",
        metadata={
            "promoted_by": promotion["by"],
            "reason": promotion["reason"],
            "promoted": promotion["time"],
            "batches": [verdict["batch"] for verdict in promotion["verdicts"][:50]],
            "why_it_failed": "; ".join(promotion["verdicts"][0]["why"]),
        },
    )
