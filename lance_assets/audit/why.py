"""`audit row --why`: whether filter, split and policy of duplicates select a row as they are now, and what decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lance_assets.audit.text import aligned, labelled, shown
from lance_assets.audit.trained import PinGone, side_of
from lance_assets.store.columns import score_columns, scorer_of
from lance_assets.store.failures import failures
from lance_assets.store.files import DataRoot
from lance_assets.store.provenance import Place
from lance_assets.store.selected import Selected, explain_selection
from lance_assets.store.selection import Groups, latest_manifest
from lance_assets.store.staleness import Identity
from lance_assets.store.table import open_images

OUTCOMES = {
    "rejected": "not selected",
    "train": "selected, and trains",
    "held_out": "selected, and held out for evaluation",
    "filtered": "not selected",
    "bridges_split": "left out (bridges_split): what it looks like lies on both sides of the split",
    "duplicates": "left out (duplicates): another row shows the same and came first",
    "not_grouped": "left out (not_grouped): it was not compared with the other rows yet",
}


def audit_why(
    root: DataRoot,
    row: Mapping[str, Any],
    chosen: str | None,
    share: float,
    groups: Groups | None,
    identities: Sequence[Identity],
) -> dict[str, Any]:
    """Plain data about the selection of a row, as `audit_row` gave it; `identities` are the scorers of now. Raises
    BadInput for a filter that cannot be used."""
    if row["stored"] is None:
        reason = f"it is not stored: {row['rejected'][0]['reason']}"
        return {"filter": chosen, "outcome": "rejected", "because": [reason], "clauses": [], "scores": {}}
    stored = row["stored"]
    dataset = open_images(root, stored["table_version"])
    place = Place(row["id"], row["batch"], stored["fragment"], stored["offset"])
    said = explain_selection(root, dataset, place, chosen, share, groups)
    scores = score_columns(dataset.schema)
    named = [name for clause in said.clauses for name in clause.values if name in scores]
    now = {identity.column: identity for identity in identities}
    notes = {name: _note(root, row, name, now.get(name)) for name in dict.fromkeys(named)}
    return {
        "filter": chosen,
        "outcome": said.outcome,
        "because": _because(said, notes),
        "clauses": [asdict(clause) for clause in said.clauses],
        "scores": notes,
        "split": {"share": share, "below": said.below, "low": said.low, "high": said.high},
        "duplicate": said.like,
        "pinned": _pinned(root, row),
    }


def _note(root: DataRoot, row: Mapping[str, Any], column: str, now: Identity | None) -> dict[str, Any]:
    """State of a score, why it has no value, and why it is stale (None = it is not)."""
    score = row["scores"][column]
    message = None
    if score["state"].startswith("failed") or score["state"] == "refused":
        rows = failures(root, column, [row["batch"]]).to_pylist()
        message = next((one["message"] for one in rows if one["id"] == row["id"]), None)
    return {"state": score["state"], "message": message, "stale": _stale(score, column, now)}


def _stale(score: Mapping[str, Any], column: str, now: Identity | None) -> str | None:
    made = score["made"]
    if now is None:
        return f"platform.yaml has no scorer {scorer_of(column)} any more"
    if made is None:
        return "nobody scored it yet" if score["state"] == "never scored" else "nobody knows who made it"
    if made["damage"]:
        return f"damaged: {made['damage']}"
    if made["version"] != now.version:
        return f"version {made['version']} made it, the scorer is at version {now.version}"
    if made["config_hash"] != now.config_hash:
        return f"config {made['config_hash'][:12]} made it, the scorer has {now.config_hash[:12]}"
    return f"failed in passing, tried again from {made['due']} on" if score["state"] == "failed_transient" else None


def _because(said: Selected, notes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What decided, one reason a line."""
    if said.outcome == "filtered":
        return [
            f"{clause.text} {'does not hold' if clause.holds is False else 'is NULL'}: {_values(clause.values, notes)}"
            for clause in said.clauses
            if not clause.holds
        ]
    like = said.like or {}
    if said.outcome == "duplicates":
        how = "the same bytes" if like["exact"] else f"{like['distance']} bits of 256 apart"
        return [f"row {like['first']} came first, {how}"]
    if said.outcome == "not_grouped":
        return [f"its score_duplicate was made by {like['by']}" if like.get("by") else "score_duplicate is empty"]
    key = said.low if said.low == said.high else f"{said.low[:12]}..{said.high[:12]}"
    side = {"train": "not below", "held_out": "below", "bridges_split": "on both sides of"}[said.outcome]
    return [f"its key {key[:26]} is {side} the threshold {said.below}"]


def _values(values: Mapping[str, Any], notes: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{name} is {shown(value)}" + (f" ({notes[name]['state']})" if name in notes and value is None else "")
        for name, value in values.items()
    )


def _pinned(root: DataRoot, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The side of the row in the training set that was pinned last; None before the first."""
    manifest = latest_manifest(root)
    if manifest is None:
        return None
    said = {"tag": manifest["tag"], "version": manifest["version"], "filter": manifest["filter"]}
    try:
        return said | {"side": side_of(root, manifest, row["batch"], row["id"]), "unknown": None}
    except PinGone as error:
        return said | {"side": None, "unknown": str(error)}


def why_words(found: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    lines = ["", *labelled([("now", OUTCOMES[found["outcome"]])])]
    lines += labelled([("because", reason) for reason in found["because"]])
    if found["clauses"]:
        holds = {True: "yes", False: "no", None: "NULL"}
        rows = [
            [clause["text"], holds[clause["holds"]], ", ".join(f"{n} {shown(v)}" for n, v in clause["values"].items())]
            for clause in found["clauses"]
        ]
        lines += ["", *aligned(["condition", "holds", "values"], rows), ""]
    for column, note in found["scores"].items():
        if note["message"]:
            lines += labelled([("failed", f"{column}: {shown(note['message'], 120)}")])
        if note["stale"]:
            lines += labelled([("STALE", f"{column}: {note['stale']}")])
    if pinned := found.get("pinned"):
        sides = {"train": "it trains", "test": "it is held out", None: "it is not in it"}
        said = pinned["unknown"] or sides[pinned["side"]]
        lines += labelled([("pinned last", f" {pinned['tag']}, version {pinned['version']}: {said}")])
    return lines
