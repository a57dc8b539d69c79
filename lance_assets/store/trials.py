"""Labels on trial: those that another version or config of a scorer wrote over, until somebody compared them.

Before such labels are published, the ones that they replace are written to drift/<column>/trials/<batch>.parquet; so a
kill at any time leaves either the old labels or a trial. `judge` compares and ends the trial where little moved;
`promote` ends it on somebody's word. While a trial lasts, no training set takes labels of its column.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.errors import BadInput
from lance_assets.store.claims import Busy, claim
from lance_assets.store.columns import scorer_of, state_of
from lance_assets.store.files import DataRoot, delete, names, read, read_json, write, write_json
from lance_assets.store.fragments import fragment_at
from lance_assets.store.moved import DIGEST, MAKERS, Limits, Report, compared, compared_with, made_now, makers
from lance_assets.store.staleness import StaleCell
from lance_assets.store.table import open_images

FOLDER = "drift"
#: Why cells are stale whose labels were made in another way.
REPLACED = ("version", "config")
#: Seconds to wait for who works on a batch: a check has others to look at, a person is there to try again.
BRIEFLY, PATIENTLY = 5, 60


class HeldBack(RuntimeError):
    """Labels of a column moved more than allowed and nobody accepted that."""


def begin(root: DataRoot, dataset: lance.LanceDataset, batch: str, column: str, stale: Sequence[StaleCell]) -> None:
    """Keeps the labels that are about to be replaced by those of another version or config, with the claim of the
    batch. Rows on trial already keep the labels that were compared last. Other stale cells have nothing to compare."""
    again = [cell for cell in stale if cell.column == column and cell.reason in REPLACED]
    if not again or not comparable(dataset.schema.field(column).type):
        return
    rows = pa.concat_tables([_labels(dataset, column, cell) for cell in again])
    made = made_now(root, dataset, batch, column)
    before = _trial(root, column, batch)
    if before is not None:
        known = set(before["id"].to_pylist())
        new = rows.filter(pa.array([id not in known for id in rows["id"].to_pylist()], pa.bool_()))
        rows = pa.concat_tables([before.replace_schema_metadata(None), new])
        made |= set(makers(before))
    rows = rows.replace_schema_metadata({MAKERS: json.dumps(sorted(made)).encode()})
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    write(root, _trial_name(column, batch), sink.getvalue())


def judge(root: DataRoot, column: str, batch: str, limits: Limits) -> Report | None:
    """Compares the labels on trial with those that the table holds now, writes the report, and ends the trial where
    they pass, unless somebody works on the batch, maybe for hours: then at another look. Without a trial the last
    report, None where no label was ever replaced."""
    before = _trial(root, column, batch)
    if before is None:
        return _report(root, column, batch)
    try:
        return judge_now(root, column, batch, limits, BRIEFLY)
    except Busy:
        return compared(root, open_images(root), column, batch, before, limits)


def judge_now(root: DataRoot, column: str, batch: str, limits: Limits, wait_s: float = 0) -> Report | None:
    """The same, but raises Busy where somebody works on the batch for longer than `wait_s` seconds."""
    with claim(root, batch, timeout=wait_s):
        before = _trial(root, column, batch)
        if before is None:
            return _report(root, column, batch)
        report = compared(root, open_images(root), column, batch, before, limits)
        write_json(root, _report_name(column, batch), report)
        if report["passed"]:
            delete(root, _trial_name(column, batch))
        return report


def on_trial(root: DataRoot, column: str) -> list[str]:
    """The batches of which labels are on trial, sorted."""
    return [name.removesuffix(".parquet") for name in names(root, f"{FOLDER}/{column}/trials")]


def unjudged(root: DataRoot, dataset: lance.LanceDataset, column: str, limits: Limits) -> Iterator[str]:
    """The batches on trial of which no report is about these labels and limits."""
    for batch in on_trial(root, column):
        before, known = _trial(root, column, batch), _report(root, column, batch)
        if before is not None and not _about(known, dataset, column, batch, before, limits):
            yield batch


def require_accepted(
    root: DataRoot, dataset: lance.LanceDataset, columns: Sequence[str], limits: Limits, count: bool = True
) -> None:
    """Raises HeldBack where labels of these columns, as a version of the table holds them, are on trial and do not
    pass. Claims nothing and ends no trial: whoever is about to pin that version may hold other claims. What `judge`
    found in the same labels is believed. Without `count` the first batch is enough."""
    for column in columns:
        failed = (one for one in _reports(root, dataset, column, limits) if not one["passed"])
        some = list(failed if count else islice(failed, 1))
        if some:
            raise HeldBack(_refusal(column, some, "" if count else "at least "))


def _reports(root: DataRoot, dataset: lance.LanceDataset, column: str, limits: Limits) -> Iterator[Report]:
    for batch in on_trial(root, column):
        before, known = _trial(root, column, batch), _report(root, column, batch)
        if before is None:
            continue
        if known and _about(known, dataset, column, batch, before, limits):
            yield known
        else:
            yield compared(root, dataset, column, batch, before, limits)


def _about(
    known: Report | None, dataset: lance.LanceDataset, column: str, batch: str, before: pa.Table, limits: Limits
) -> bool:
    return known is not None and known.get("of") == compared_with(dataset, column, batch, before, limits)


def end_trial(root: DataRoot, judged: Report, limits: Limits, promotion: Mapping[str, Any]) -> None:
    """Accepts the labels of a batch on somebody's word, which its report tells from then on. Raises Busy, and BadInput
    where the labels, or what they are compared with, are not those that were `judged`: nobody has seen these."""
    column, batch = judged["column"], judged["batch"]
    with claim(root, batch, timeout=PATIENTLY):
        before = _trial(root, column, batch)
        found = None if before is None else compared(root, open_images(root), column, batch, before, limits)
        if found is None or _said(found) != _said(judged):
            raise BadInput(f"labels of {column} in {batch} changed since they were compared: look at them again")
        write_json(root, _report_name(column, batch), found | {"promotion": dict(promotion)})
        delete(root, _trial_name(column, batch))


def _said(report: Report) -> Report:
    return {name: value for name, value in report.items() if name not in ("time", "of")}


def comparable(type: pa.DataType) -> bool:
    """Labels that can be compared one by one: numbers, truth values and texts."""
    tests: Sequence[Callable[[pa.DataType], bool]] = (
        pa.types.is_floating,
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_string,
    )
    return any(test(type) for test in tests)


def _labels(dataset: lance.LanceDataset, column: str, cell: StaleCell) -> pa.Table:
    """id and label of the cells that have been scored before."""
    scanner = dataset.scanner(
        columns=["id", column, state_of(column)], fragments=[fragment_at(dataset, cell.fragment)], with_row_address=True
    )
    rows = scanner.to_table()
    mine = rows[state_of(column)].is_valid().to_numpy()
    if cell.offsets is not None:
        mine = mine & np.isin(rows["_rowaddr"].to_numpy() & 0xFFFFFFFF, cell.offsets)
    return rows.filter(pa.array(mine)).select(["id", column]).rename_columns(["id", "label"])


def _refusal(column: str, failed: Sequence[Report], about: str) -> str:
    shown = ", ".join(report["batch"] for report in failed[:5])
    more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
    name = scorer_of(column)
    count = f"{about}{len(failed)} batch{'es' if len(failed) > 1 else ''}"
    return (
        f"{column} moved more than checks.drift allows in {count} ({shown}{more}): "
        f"{'; '.join(failed[0]['why'])}. Look at the check drift of score/{name}; then `lance-assets promote --column "
        f"{name} --reason TEXT` accepts the new labels, or another version of the scorer replaces them"
    )


def _trial(root: DataRoot, column: str, batch: str) -> pa.Table | None:
    try:
        data = read(root, _trial_name(column, batch))
    except FileNotFoundError:
        return None
    rows = pq.read_table(pa.BufferReader(data))
    said = {**(rows.schema.metadata or {}), DIGEST: hashlib.sha256(data).hexdigest().encode()}
    return rows.replace_schema_metadata(said)


def _report(root: DataRoot, column: str, batch: str) -> Report | None:
    try:
        return read_json(root, _report_name(column, batch))
    except FileNotFoundError:
        return None


def _trial_name(column: str, batch: str) -> str:
    return f"{FOLDER}/{column}/trials/{batch}.parquet"


def _report_name(column: str, batch: str) -> str:
    return f"{FOLDER}/{column}/{batch}.json"
