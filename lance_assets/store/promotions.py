"""promotions/<time>-<id>.json: who accepted labels that moved more than allowed, when, why, and what had been found.

A promotion is written before the labels' trials end, so that a kill leaves at worst one that is told twice; where a
trial could not end, it is written again with those that did, and nothing changes it from then on.
"""

from __future__ import annotations

import uuid
from typing import Any

from lance_assets.errors import BadInput
from lance_assets.store import ledger
from lance_assets.store.claims import Busy
from lance_assets.store.files import DataRoot, delete, names, read_json, write_json
from lance_assets.store.moved import Limits
from lance_assets.store.trials import end_trial, judge, on_trial

FOLDER = "promotions"

Promotion = dict[str, Any]
"""column, time (UTC, ISO), by, reason, and `verdicts`: the reports of the accepted batches without their rows;
where not all could be accepted also `left`: batches that wait still, and why."""


def promote(root: DataRoot, column: str, limits: Limits, by: str, reason: str) -> Promotion:
    """Accepts all labels of a column that are on trial, but those that somebody works on or that changed since they
    were compared. Raises BadInput where there are none that do not pass anyway, or none could be accepted, or without a
    reason."""
    if not reason.strip():
        raise BadInput("a promotion needs a reason")
    reports = [judge(root, column, batch, limits) for batch in on_trial(root, column)]
    failed = [report for report in reports if report and not report["passed"]]
    if not failed:
        raise BadInput(f"no labels of {column} wait to be accepted")
    time = ledger.now().isoformat(timespec="seconds")
    said = {"column": column, "time": time, "by": by, "reason": reason.strip()}
    verdicts = [{name: value for name, value in report.items() if name != "moves"} for report in failed]
    name = f"{FOLDER}/{time.replace(':', '')[:17]}-{uuid.uuid4().hex[:8]}.json"
    write_json(root, name, said | {"verdicts": verdicts})
    left: dict[str, str] = {}
    for report in failed:
        try:
            end_trial(root, report, limits, said)
        except (Busy, BadInput) as error:  # the others are accepted; who promotes is told which were not
            left[report["batch"]] = str(error)
    if not left:
        return said | {"verdicts": verdicts}
    told = said | {"verdicts": [one for one in verdicts if one["batch"] not in left], "left": left}
    if not told["verdicts"]:
        delete(root, name)
        raise BadInput(f"no labels of {column} were accepted: {next(iter(left.values()))}")
    write_json(root, name, told)
    return told


def promotions(root: DataRoot) -> list[Promotion]:
    """All promotions, oldest first."""
    return [read_json(root, f"{FOLDER}/{name}") for name in names(root, FOLDER)]
