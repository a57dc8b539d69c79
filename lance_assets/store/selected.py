"""Why one row would be selected by a filter, and on which side of the split it would fall: `selection.pin`, asked about
a single row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import lance
import pyarrow.compute as pc

from lance_assets.errors import BadInput
from lance_assets.store.duplicates import COLUMN
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import fragment_at
from lance_assets.store.provenance import Place
from lance_assets.store.selection import Groups, group_limits, key_of, latest_manifest, selects, threshold
from lance_assets.store.table import quoted

#: What becomes of a row. `filtered`: a clause of the filter does not hold; the last three are named as in a manifest.
Outcome = Literal["train", "held_out", "filtered", "bridges_split", "duplicates", "not_grouped"]
PLACEHOLDER = "NOT is_placeholder"
WORDS = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|`[^`]*`|[()]|\w+""")


@dataclass(frozen=True)
class Clause:
    """A condition that all others are joined to by AND. `holds` None = it is NULL, which selects nothing; `values` are
    those of the columns that it names."""

    text: str
    holds: bool | None
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Selected:
    """`low` and `high` are the keys that the split goes by, `below` its threshold: keys below are held out. `like` is
    what duplicates said of the row, None where nobody compared it."""

    outcome: Outcome
    clauses: Sequence[Clause]
    low: str
    high: str
    below: str
    like: Mapping[str, Any] | None


def explain_selection(
    root: DataRoot, dataset: lance.LanceDataset, place: Place, chosen: str | None, share: float, groups: Groups | None
) -> Selected:
    """What `pin` would do with a row, given the same filter, share and groups. Reads the row, and all keys where no
    training set gave a threshold yet. Raises BadInput where the filter cannot be used, FragmentGone."""
    compared = COLUMN in dataset.schema.names
    texts = ([] if "is_placeholder" in (chosen or "") else [PLACEHOLDER]) + clauses(chosen)
    named = [[name for name in dict.fromkeys(_words(text)) if name in dataset.schema.names] for text in texts]
    columns = {f"clause {number}": f"({text})" for number, text in enumerate(texts)}
    columns |= {f"value {name}": name for names in named for name in names}
    columns |= {"selected": selects(chosen), **{name: key_of(name, None, compared) for name in ("low", "high")}}
    columns |= {"like": COLUMN} if compared else {}
    try:
        scanner = dataset.scanner(
            columns=columns, filter=f"id = {quoted(place.id)}", fragments=[fragment_at(dataset, place.fragment)]
        )
        [row] = scanner.to_table().to_pylist()[:1]
    except (ValueError, OSError) as error:
        raise BadInput(f"sft.filter {chosen!r} cannot be used: {str(error).splitlines()[0]}") from error
    below = _below(root, dataset, chosen, share, groups, compared)
    found = [
        Clause(text, row[f"clause {number}"], {name: row[f"value {name}"] for name in names})
        for number, (text, names) in enumerate(zip(texts, named, strict=True))
    ]
    return Selected(_outcome(row, below, groups), found, row["low"], row["high"], below, row.get("like"))


def _outcome(row: Mapping[str, Any], below: str, groups: Groups | None) -> Outcome:
    like = row.get("like") or {}
    if not row["selected"]:
        return "filtered"
    if groups and "like" in row:
        if like.get("by") != groups.by:
            return "not_grouped"
        if groups.drop and like["first"] is not None:
            return "duplicates"
    if row["low"] >= below:
        return "train"
    return "held_out" if row["high"] < below else "bridges_split"


def _below(
    root: DataRoot, dataset: lance.LanceDataset, chosen: str | None, share: float, groups: Groups | None, compared: bool
) -> str:
    """The threshold of the training set pinned last, or, where there is none of this share, of the next one."""
    before = latest_manifest(root)
    if before and before["split"]["share"] == share:
        return before["split"]["below"]
    where = " AND ".join([selects(chosen), *group_limits(groups, compared)])
    keys = dataset.to_table(columns={"high": key_of("high", groups, compared)}, filter=where)
    return threshold(keys.filter(pc.field("high").is_valid()), share)


def clauses(chosen: str | None) -> list[str]:
    """The conditions that a filter joins by AND; the whole of one that is no such chain."""
    if not chosen:
        return []
    parts, start, depth, between = [], 0, 0, False
    for word in WORDS.finditer(chosen):
        text = word[0].upper()
        depth += (text in ("(", "CASE")) - (text in (")", "END"))
        if depth:
            continue
        if text == "OR":
            return [chosen.strip()]
        if text == "AND" and not between:
            parts.append(chosen[start : word.start()].strip())
            start = word.end()
        between = text == "BETWEEN" or (between and text != "AND")
    return [*parts, chosen[start:].strip()]


def _words(text: str) -> list[str]:
    """Names in a clause, without what stands in quotes of a string."""
    return [word.strip('"`') for word in WORDS.findall(text) if not word.startswith("'")]
