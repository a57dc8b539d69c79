"""`audit row`: everything that is known about one row, from the table, the ledger, the captions and the rejects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import lance
import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.audit.rights import rights_words, row_rights
from lance_assets.audit.text import aligned, labelled, shown, when
from lance_assets.audit.trained import Trained, trained_on, trained_words
from lance_assets.errors import BadInput
from lance_assets.partitions import KEY
from lance_assets.store.captions import captions_name
from lance_assets.store.files import DataRoot, opened, table_exists
from lance_assets.store.ledger import Intent
from lance_assets.store.provenance import Provenance, find, inputs_match
from lance_assets.store.rows import Cell, Row, explain_row
from lance_assets.store.table import exists, open_images, quoted

ORIGIN = ["id", "source_path", "source_sha256", "source_revision", "row_in_file"]
CAME = {
    "computed": "computed",
    "kept": "kept, others were scored again",
    "carried": "carried over, batch replaced",
    "compacted": "moved by compaction",
}


def audit_row(
    root: DataRoot,
    id: str,
    checkpoints: Sequence[Trained] = (),
    labellers: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Plain data about a row, stored or rejected, and which of the checkpoints saw it; `labellers` are promoted
    checkpoints by the config hash of the cells that they made. Raises BadInput for an id that is neither."""
    dataset = open_images(root) if exists(root) else None
    places = [] if dataset is None else find(dataset, id)
    rejects = _rejects(root, id)
    if dataset is None or not places:
        if not rejects:
            raise BadInput(_unknown(root, dataset, id))
        batch = rejects[0]["batch"]
        found = {"id": id, "batch": batch, "stored": None, "origin": _origin(root, batch, id), "rejected": rejects}
        seen = trained_on(root, checkpoints, batch, id) if dataset else []
        return found | {"rights": row_rights(root, batch, id), "checkpoints": seen}
    row = explain_row(root, dataset, places[0])
    return {
        "id": id,
        "batch": row.place.batch,
        "stored": {
            "table": root.images,
            "table_version": dataset.version,
            "fragment": row.place.fragment,
            "offset": row.place.offset,
            "copies_in": [place.batch for place in places[1:]],
            "runs": sorted({intent.run_id for intent in row.images}),
            "at": when(max((intent.planned for intent in row.images), default=None)),
        },
        "image": _image(row.values),
        "origin": _origin(root, row.place.batch, id),
        "scores": _scores(dataset, row, labellers),
        "rejected": rejects,
        "rights": row_rights(root, row.place.batch, id),
        "checkpoints": trained_on(root, checkpoints, row.place.batch, id),
    }


def _unknown(root: DataRoot, dataset: lance.LanceDataset | None, id: str) -> str:
    rejected = lance.dataset(root.rejects).count_rows() if table_exists(root.rejects) else 0
    if dataset is None or not dataset.count_rows():
        return f"no row has the id {id!r}: no image is stored at {root.uri}, {rejected} are rejected"
    example = dataset.to_table(columns=["id"], limit=1)["id"][0].as_py()
    return f"no row has the id {id!r}: {dataset.count_rows()} are stored, such as {example}, {rejected} are rejected"


def _rejects(root: DataRoot, id: str) -> list[dict[str, Any]]:
    if not table_exists(root.rejects):
        return []
    rows = lance.dataset(root.rejects).to_table(filter=f"id = {quoted(id)}").drop_columns(["id"]).to_pylist()
    return [row | {name: when(row[name]) for name in ("first_time", "last_time")} for row in rows]


def _image(values: Mapping[str, Any]) -> dict[str, Any]:
    data, digest = values["image"], values["image_sha256"]
    return {
        "url": values["image_url"],
        "sha256": digest,
        "intact": hashlib.sha256(data).hexdigest() == digest,
        "bytes": len(data),
        "format": values["format"],
        "width": values["width"],
        "height": values["height"],
        "is_placeholder": values["is_placeholder"],
        "caption_missing": values["caption_missing"],
    }


def _origin(root: DataRoot, batch: str, id: str) -> dict[str, Any]:
    """File, revision and row of the source; `missing` says why they are not known."""
    key, name = KEY.fullmatch(batch), captions_name(batch)
    found: dict[str, Any] = {"source": key["source"] if key else None, "missing": None}
    try:
        with opened(root, name) as file:
            rows = pq.read_table(file, columns=ORIGIN, filters=[("id", "=", id)]).drop_columns(["id"]).to_pylist()
    except FileNotFoundError:
        return found | {"missing": f"{root.at(name)} is not there"}
    except pa.ArrowInvalid as error:
        return found | {"missing": f"{root.at(name)} is damaged: {str(error).splitlines()[0]}"}
    return found | (rows[0] if rows else {"missing": f"{root.at(name)} does not have the row any more"})


def _scores(dataset: lance.LanceDataset, row: Row, labellers: Mapping[str, str]) -> dict[str, Any]:
    known: dict[Any, bool | None] = {}  # columns of one scorer's fields share their digest

    def unchanged(made: Provenance) -> bool | None:
        offsets = None if made.intent.offsets is None else made.intent.offsets.tobytes()
        key = made.how, made.intent.input_digest, tuple(made.intent.fields), offsets
        if key not in known:
            known[key] = inputs_match(dataset, row.place, made)
        return known[key]

    return {
        column: {
            "value": cell.value,
            "state": _state(cell),
            "unreadable": cell.unreadable,
            "made": None
            if cell.made is None
            else _made(cell.made.intent, cell.made, unchanged(cell.made))
            | {"checkpoint": labellers.get(cell.made.intent.config_hash)},
        }
        for column, cell in row.cells.items()
    }


def _state(cell: Cell) -> str:
    if cell.unreadable is not None:
        return "unreadable"
    return "never scored" if cell.state is None else cell.state.name.lower()


def _made(intent: Intent, made: Provenance, unchanged: bool | None) -> dict[str, Any]:
    return {
        "scorer": intent.scorer,
        "version": intent.version,
        "config_hash": intent.config_hash,
        "fields": list(intent.fields),
        "input_digest": intent.input_digest,
        "inputs_unchanged": unchanged,
        "run_id": intent.run_id,
        "lance_version_read": intent.read_version,
        "scored_at": when(intent.planned),
        "attempts": intent.attempts,
        "due": when(intent.due),
        "came": made.how,
        "path": [{"file": file, "came": how} for file, how in made.path],
        "damage": made.damage,
    }


def words(found: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    lines = labelled([("row", found["id"]), ("batch", found["batch"]), ("origin", _origin_words(found["origin"]))])
    for reject in found["rejected"]:
        passing = "may go better next time" if reject["transient"] else "for good"
        lines += labelled(
            [
                ("rejected", f"{reject['reason']}, {passing}: {shown(reject['detail'], 200)}"),
                ("", f"{reject['attempts']} attempts from {reject['first_time']} to {reject['last_time']}"),
                ("url", shown(reject["image_url"], 200)),
            ]
        )
    lines += labelled(rights_words(found["rights"]))
    lines += labelled(trained_words(found["checkpoints"]))
    if (stored := found["stored"]) is None:
        return lines
    image = found["image"]
    marks = [
        text for name, text in (("is_placeholder", "a placeholder"), ("caption_missing", "no caption")) if image[name]
    ]
    lines += labelled(
        [
            (
                "image",
                ", ".join([f"{image['format']} {image['width']}x{image['height']}, {image['bytes']} bytes", *marks]),
            ),
            ("sha256", image["sha256"] + (", intact" if image["intact"] else ", NOT what is stored")),
            ("url", shown(image["url"], 200)),
            ("stored", f"{stored['at'] or 'at an unrecorded time'}, run {' or '.join(stored['runs']) or 'unrecorded'}"),
            (
                "place",
                f"fragment {stored['fragment']}, offset {stored['offset']}, table version {stored['table_version']}",
            ),
        ]
    )
    lines += labelled([("TWICE", f"it is stored in {batch}, too") for batch in stored["copies_in"]])
    scores = found["scores"].items()
    made_by = [(name, one["made"]["checkpoint"]) for name, one in scores if one["made"]]
    lines += labelled([("made by", f"{checkpoint}: {name}") for name, checkpoint in made_by if checkpoint])
    header = ["column", "value", "state", "scorer", "config", "run", "lance", "scored at", "tries", "came", "inputs"]
    return [*lines, "", *aligned(header, [_score_words(column, score) for column, score in scores])]


def _origin_words(origin: Mapping[str, Any]) -> str:
    source = f"source {origin['source']}, " if origin["source"] else ""
    if origin["missing"]:
        return f"{source}unknown: {origin['missing']}"
    revision = f", revision {origin['source_revision']}" if origin["source_revision"] else ""
    return f"{source}{origin['source_path']} row {origin['row_in_file']}{revision}, sha256 {origin['source_sha256']}"


def _score_words(column: str, score: Mapping[str, Any]) -> list[str]:
    made = score["made"]
    first = [column, shown(score["value"], 24), score["state"]]
    if made is None:
        unexplained = "" if score["state"] == "never scored" else "UNEXPLAINED: the ledger does not know who made it"
        return [*first, *[""] * 6, unexplained, ""]
    inputs = {True: "unchanged", False: "CHANGED", None: "not compared"}[made["inputs_unchanged"]]
    return [
        *first,
        f"{made['scorer']} {made['version']}",
        made["config_hash"][:12],
        made["run_id"][:8],
        str(made["lance_version_read"]),
        str(made["scored_at"]),
        str(made["attempts"]),
        CAME[made["came"]],
        inputs if made["damage"] is None else f"{inputs}, DAMAGED: {shown(made['damage'])}",
    ]
