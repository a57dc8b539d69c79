"""Who made the cells of a score column: the ledger's rows of the files that answer for it now, added up by maker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lance_assets.store import ledger
from lance_assets.store.columns import CellState, field_ids, owner, state_of
from lance_assets.store.files import DataRoot, table_exists
from lance_assets.store.fragments import first_batch
from lance_assets.store.ledger import COUNTS, MAKER
from lance_assets.store.schema import LEDGER
from lance_assets.store.staging import alive_offsets
from lance_assets.store.table import open_images, quoted


@dataclass(frozen=True)
class Maker:
    """Cells that one (scorer, version, config) made. `carried` of them lie in another file than they were computed for;
    `first` and `last` tell when they were computed, `runs` and `batches` which, sorted."""

    scorer: str
    version: str
    config_hash: str
    rows: Mapping[CellState, int]
    carried: int
    batches: Sequence[str]
    runs: Sequence[str]
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Gap:
    """Cells of one fragment that no ledger row explains."""

    batch: str
    fragment: int
    file: str
    rows: int


@dataclass(frozen=True)
class Column:
    """A score column at one version of the table. `never` rows were never scored, `damaged` ones lie in files in which
    verify found something wrong. Of the transient failures `due` may be tried again now, the next of the others at
    `next_due`."""

    name: str
    type: pa.DataType
    table_version: int
    rows: int
    never: int
    damaged: int
    makers: list[Maker]
    gaps: list[Gap] = field(default_factory=list)
    due: int = 0
    next_due: datetime | None = None


def explain_column(root: DataRoot, column: str, now: datetime | None = None) -> Column:
    """Adds up the ledger's rows of a score column. Values are not read; states only in fragments for which the ledger
    does not account wholly. Raises BadInput where there is no table, Superseded where there is no such column."""
    dataset = open_images(root)
    first = field_ids(dataset, column)[0]
    fragments = dataset.get_fragments()
    files = {fragment.fragment_id: owner(fragment, first) for fragment in fragments}
    rows, hurt = _counting(root, column, {file for file in files.values() if file})
    told = rows.group_by("planned_file").aggregate([("rows", "sum")])
    told = dict(zip(told["planned_file"].to_pylist(), told["rows_sum"].to_pylist(), strict=True))
    never, damaged, gaps = 0, 0, []
    for fragment in fragments:
        file, stored = files[fragment.fragment_id], fragment.physical_rows - fragment.num_deletions
        damaged += stored if file in hurt else 0
        if file is None:
            never += stored
        elif told.get(file) != stored or fragment.num_deletions:
            unscored, unexplained = _open(dataset, fragment, column, rows.filter(pc.field("planned_file") == file))
            never += unscored
            if unexplained:
                [batch] = first_batch(dataset, fragment)
                gaps.append(Gap(batch, fragment.fragment_id, file, unexplained))
    due, next_due = _due(rows, now or ledger.now())
    type = dataset.schema.field(column).type
    total = dataset.count_rows()
    return Column(column, type, dataset.version, total, never, damaged, _makers(rows), gaps, due, next_due)


def _counting(root: DataRoot, column: str, files: set[str]) -> tuple[pa.Table, set[str]]:
    """The ledger's rows of a column that count, with `rows` = cells that each speaks of, and `carried` of them; and the
    files that are known to be damaged (their ledger rows have no scorer)."""
    found = LEDGER.empty_table()
    if table_exists(root.ledger):
        names = [
            "planned_file",
            *MAKER,
            *COUNTS.values(),
            "batch",
            "run_id",
            "planned",
            "due",
            "carried_from",
            "offsets",
        ]
        found = lance.dataset(root.ledger).to_table(columns=names, filter=f"column = {quoted(column)}")
    found = found.filter(pc.field("planned_file").isin(pa.array(sorted(files), pa.string())))
    hurt = set(found.filter(pc.field("scorer") == "")["planned_file"].to_pylist())
    found = found.filter(pc.field("scorer") != "")
    rows, carried = ledger.counted(found)
    return found.append_column("rows", pa.array(rows)).append_column("carried", pa.array(carried)), hurt


def _makers(rows: pa.Table) -> list[Maker]:
    sums = [(name, "sum") for name in (*COUNTS.values(), "carried")]
    seen = [("batch", "distinct"), ("run_id", "distinct"), ("planned", "min"), ("planned", "max")]
    return [
        Maker(
            *(one[name] for name in MAKER),
            rows={state: one[f"{name}_sum"] for state, name in COUNTS.items()},
            carried=one["carried_sum"],
            batches=sorted(one["batch_distinct"]),
            runs=sorted(one["run_id_distinct"]),
            first=one["planned_min"],
            last=one["planned_max"],
        )
        for one in rows.group_by(list(MAKER)).aggregate([*sums, *seen]).sort_by("planned_min").to_pylist()
    ]


def _due(rows: pa.Table, now: datetime) -> tuple[int, datetime | None]:
    """Transient failures that may be tried again now, and when the next of the others may."""
    name = COUNTS[CellState.FAILED_TRANSIENT]
    failed = rows.select([name, "due"]).filter(pc.field(name) > 0).to_pylist()
    later = [one for one in failed if one["due"] is not None and one["due"] > now]
    return sum(one[name] for one in failed if one not in later), min((one["due"] for one in later), default=None)


def _open(dataset: lance.LanceDataset, fragment: lance.LanceFragment, column: str, rows: pa.Table) -> tuple[int, int]:
    """Rows of a fragment that were never scored, and those that are scored without an explanation."""
    states = dataset.scanner(columns=[state_of(column)], fragments=[fragment], scan_in_order=True).to_table()
    scored = states[state_of(column)].is_valid().to_numpy()
    covered = np.zeros(fragment.physical_rows, bool)
    for offsets in rows["offsets"].to_pylist():
        covered[slice(None) if offsets is None else np.asarray(offsets, np.int64)] = True
    return int((~scored).sum()), int((scored & ~covered[alive_offsets(fragment)]).sum())
