"""promotions/<time>-<id>.json: who accepted labels that moved more than allowed, when, why, and what had been found.

Append-only: a promotion is never changed or deleted. It is written before the labels' trials end, so that a kill leaves
at worst one that is told twice.
"""

from __future__ import annotations

import uuid
from typing import Any

from lance_assets.errors import BadInput
from lance_assets.store import ledger
from lance_assets.store.files import DataRoot, names, read_json, write_json
from lance_assets.store.trials import Limits, end_trial, judge, on_trial

FOLDER = "promotions"

Promotion = dict[str, Any]
"""column, time (UTC, ISO), by, reason, and `verdicts`: the reports of the accepted batches without their rows."""


def promote(root: DataRoot, column: str, limits: Limits, by: str, reason: str) -> Promotion:
    """Accepts all labels of a column that are on trial. Raises BadInput where there are none that do not pass anyway,
    or without a reason."""
    if not reason.strip():
        raise BadInput("a promotion needs a reason")
    reports = [judge(root, column, batch, limits) for batch in on_trial(root, column)]
    failed = [report for report in reports if report and not report["passed"]]
    if not failed:
        raise BadInput(f"no labels of {column} wait to be accepted")
    time = ledger.now().isoformat(timespec="seconds")
    said = {"column": column, "time": time, "by": by, "reason": reason.strip()}
    verdicts = [{name: value for name, value in report.items() if name != "moves"} for report in failed]
    name = f"{time.replace(':', '')[:17]}-{uuid.uuid4().hex[:8]}.json"
    write_json(root, f"{FOLDER}/{name}", said | {"verdicts": verdicts})
    for report in failed:
        end_trial(root, column, report["batch"], said)
    return said | {"verdicts": verdicts}


def promotions(root: DataRoot) -> list[Promotion]:
    """All promotions, oldest first."""
    return [read_json(root, f"{FOLDER}/{name}") for name in names(root, FOLDER)]
