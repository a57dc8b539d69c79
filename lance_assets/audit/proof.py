"""Whether the rows that a training set names are still there, byte for byte; what can be put back is put back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import lance
import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.store.files import DataRoot, read_json, write_json
from lance_assets.store.selection import COLUMNS, manifest_name, rows_digest
from lance_assets.store.table import exists, open_images
from lance_assets.store.versions import steady, tag

SIDES = ("train", "test")
BATCH = 64
#: Rows that are named one by one.
NAMED = 5


@dataclass
class Proof:
    """`gone` says in sentences what is not as the manifest says; empty = the rows are the same. `restored` names what
    was missing around them and is there again. `version` is the one where the rows were found."""

    uri: str
    tag: str
    version: int | None = None
    rows: dict[str, int] = field(default_factory=dict)
    images: int = 0
    image_bytes: int = 0
    gone: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)


def prove(manifest: dict[str, Any], wanted: pa.Table | None = None) -> Proof:
    """Compares ids, messages and image digests of both sides with the manifest, and hashes every image again.

    A tag or a manifest file that was deleted is restored where the rows are the same. Where the version is gone, the
    newest one may still have the same rows. `wanted`, the rows (`side`, `id`, `image_sha256`) that a checkpoint keeps
    beside its weights, lets single rows be named.
    """
    root = DataRoot(manifest["uri"].rpartition("/")[0])
    proof = Proof(manifest["uri"], manifest["tag"])
    if not exists(root):
        proof.gone.append(f"the table {manifest['uri']} is gone")
        return proof
    dataset = _version(root, manifest["version"])
    if dataset is None:
        newest = open_images(root)
        why = f"version {manifest['version']} of {manifest['uri']} is gone: its tag was deleted, then it was cleaned up"
        if differences := _differences(newest, manifest):
            proof.gone += [why, *(f"in version {newest.version}, the newest, {line}" for line in differences)]
            proof.gone += _lost(newest, wanted)
            return proof
        proof.restored.append(f"{why}; version {newest.version} has the same rows and stands in for it")
        dataset = newest
    proof.version = dataset.version
    if differences := _differences(dataset, manifest):
        proof.gone += [*differences, *_lost(dataset, wanted)]
    if not proof.gone:
        _hash_images(dataset, manifest, proof)
    if not proof.gone:
        proof.rows = {side: manifest["rows"][side] for side in SIDES}
        _restore(root, dataset, manifest, proof)
    return proof


def _version(root: DataRoot, version: int) -> lance.LanceDataset | None:
    try:
        return open_images(root, version)
    except (ValueError, OSError) as error:
        if "not found" in str(error).lower():
            return None
        raise


def _differences(dataset: lance.LanceDataset, manifest: dict[str, Any]) -> list[str]:
    """Sentences on the sides whose rows are not those of the manifest."""
    said: list[str] = []
    for side in SIDES:
        wanted = manifest["rows"][side]
        try:
            rows = dataset.to_table(columns=COLUMNS, filter=manifest[side]).sort_by("id")
        except (ValueError, OSError) as error:
            said.append(f"the {side} rows cannot be selected any more: {str(error).splitlines()[0]}")
            continue
        if rows.num_rows != wanted:
            said.append(f"the {side} filter selects {rows.num_rows} rows, and the manifest names {wanted}")
        elif rows_digest(rows) != manifest["row_ids_sha256"][side]:
            said.append(f"the {wanted} {side} rows have other ids, image digests or messages than the manifest's")
    return said


def _lost(dataset: lance.LanceDataset, wanted: pa.Table | None) -> list[str]:
    """Sentences on rows that a version does not have any more, or has with another image; nothing where nobody knows
    which rows there were."""
    if wanted is None:
        return []
    digests = dict(zip(wanted["id"].to_pylist(), wanted["image_sha256"].to_pylist(), strict=True))
    there: dict[str, str] = {}
    for batch in dataset.scanner(columns=["id", "image_sha256"]).to_batches():
        there |= {row["id"]: row["image_sha256"] for row in batch.to_pylist() if row["id"] in digests}
    gone = [row for row in digests if row not in there]
    other = [row for row, digest in digests.items() if there.get(row, digest) != digest]
    return [
        f"{len(rows)} of the {len(digests)} rows {what}: {_some(rows)}"
        for rows, what in ((gone, "are gone from the table"), (other, "have another image now"))
        if rows
    ]


def _some(rows: list[str]) -> str:
    return ", ".join(rows[:NAMED]) + (f" and {len(rows) - NAMED} more" if len(rows) > NAMED else "")


def _hash_images(dataset: lance.LanceDataset, manifest: dict[str, Any], proof: Proof) -> None:
    damaged: list[str] = []
    for side in SIDES:
        scanner = dataset.scanner(
            columns=["id", "image_sha256", "image"],
            filter=manifest[side],
            batch_size=BATCH,
            blob_handling="all_binary",
        )
        for batch in scanner.to_batches():
            for row in batch.to_pylist():
                proof.images += 1
                proof.image_bytes += len(row["image"] or b"")
                if hashlib.sha256(row["image"] or b"").hexdigest() != row["image_sha256"]:
                    damaged.append(row["id"])
    if damaged:
        proof.gone.append(f"the stored image has another digest in row {_some(damaged)}")


def _restore(root: DataRoot, dataset: lance.LanceDataset, manifest: dict[str, Any], proof: Proof) -> None:
    name = manifest["tag"]
    if name not in steady(dataset.tags.list):
        tag(root, name, dataset.version, f"training set {name}, restored")
        proof.restored.append(f"the tag {name}, which protects version {dataset.version} from cleanup")
    try:
        stored = read_json(root, manifest_name(name))
    except FileNotFoundError:
        stored = None
    except json.JSONDecodeError as error:
        raise BadInput(f"{root.at(manifest_name(name))} is not JSON: {error}") from error
    if stored is None:
        write_json(root, manifest_name(name), {**manifest, "version": dataset.version})
        proof.restored.append(f"the manifest {root.at(manifest_name(name))}")
