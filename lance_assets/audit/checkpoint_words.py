"""`audit checkpoint` for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lance_assets.audit.text import aligned, labelled, shown

#: Settings of a recipe that say most about it; the JSON has all.
RECIPE = (
    *("stage", "finetuning_type", "template", "learning_rate", "num_train_epochs", "max_steps"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "cutoff_len", "seed"),
)


def words(found: Mapping[str, Any]) -> list[str]:
    lines = labelled([("checkpoint", f" {found['path']}"), ("base", str(found["base"]))])
    size = sum(found["weights"].values())
    lines += labelled(
        [("weights", f"{len(found['weights'])} safetensors files, {size / 1e6:.1f} MB; {_compared(found)}")]
    )
    lines += [*_manifest(found), *_made(found), *_quality(found), *_table(found["table"]), *_head(found["head"])]
    rows = [
        [column, one["version"], one["config_hash"][:12]] for column, made in found["scorers"].items() for one in made
    ]
    return [*lines, "", *aligned(["scores when it was pinned", "version", "config"], rows)] if rows else lines


def _manifest(found: Mapping[str, Any]) -> list[str]:
    said = found["manifest"]
    left_out = "".join(f", {count} {reason}" for reason, count in (said.get("excluded") or {}).items() if count)
    lines = labelled(
        [
            ("rows", f"{said['rows']['train']} trained, {said['rows']['test']} held out{left_out}"),
            ("pinned", f"{said['tag']} = version {said['version']} of {said['uri']}, {said.get('created', '')}"),
            ("filter", str(said["filter"])),
            ("rows hash", (said.get("row_ids_sha256") or {}).get("train", "unrecorded")),
        ]
    )
    return lines + ([] if found["manifest_intact"] else labelled([("DAMAGED", "the manifest is not what was pinned")]))


def _made(found: Mapping[str, Any]) -> list[str]:
    recipe = found["recipe"] or {}
    said = ", ".join(f"{name} {recipe[name]}" for name in RECIPE if name in recipe)
    lines = labelled(
        [
            ("run", str(found["run_id"])),
            ("recipe", f"{said or 'unrecorded'}; sha256 {str(found['recipe_sha256'])[:12]}"),
        ]
    )
    if found["recipe_intact"] is False:
        lines += labelled([("DAMAGED", "recipe.json is not the recipe that trained it")])
    made = found["environment"]
    if made is None:
        return lines + labelled([("code", "unrecorded: an earlier release trained it")])
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    return lines + labelled(
        [
            ("code", f"lance_assets {made['lance_assets']}, commit {made['commit'] or 'unknown'}"),
            ("packages", packages),
            ("machine", f"Python {made['python']}, {made['machine']}; {found['seconds']} s of training"),
        ]
    )


def _compared(found: Mapping[str, Any]) -> str:
    if found["digests"] is None:
        return "no digest was recorded"
    if found["differ"] is None:
        return "too large to be compared with their digests here"
    named = ", ".join(found["differ"])
    return f"NOT what was trained: {named}" if named else "they are what their digests say"


def _quality(found: Mapping[str, Any]) -> list[str]:
    first, last = (shown(found[name]) for name in ("loss_first", "loss_last"))
    losses = [("loss", f"{first} at first, {last} after {found['steps']} steps")]
    evaluation = found["evaluation"]
    if evaluation is None:
        return labelled([*losses, ("evaluation", " not made yet")])
    loss, beats = evaluation["loss"], "beats" if evaluation["beats_base"] else "does NOT beat"
    against = f"{loss['tuned']} tuned, {loss['base']} base on {evaluation['rows']} held-out rows: {beats} its base"
    return labelled([*losses, ("held out", against), ("", shown(evaluation["verdict"], 300))])


def _table(table: Mapping[str, Any]) -> list[str]:
    if table["same_rows"] is None:
        return labelled([("ROWS GONE", f" {table['missing']}")])
    if not table["same_rows"]:
        counts = f"{table['rows']['train']} and {table['rows']['test']}"
        return labelled([("ROWS DIFFER", f" the pinned version has {counts} rows on its sides")])
    tag = "its tag protects them" if table["protected"] else "NO TAG protects them: the next cleanup takes them"
    return labelled([("rows now", f"still there at the pinned version (counted); {tag}")])


def _head(head: Mapping[str, Any]) -> list[str]:
    if "table" not in head:
        return []
    lines = labelled([("since then", f" {head['commits_since']} versions, {_counts(head['table'])} in the table")])
    if head["unusable"]:
        lines += labelled([("now", f"its filter cannot be used any more: {shown(head['unusable'], 200)}")])
    else:
        same = {side: f"{_counts(said)} {side}" for side, said in head["selected"].items()}
        lines += labelled([("now", f"its filter would select: {'; '.join(same.values())}")])
    for one in head["relabelled"]:
        what = f"{one['cells'] - one['carried']} cells of {one['column']} by {one['scorer']} {one['version']}"
        lines += labelled([("relabelled", f" {what}, config {one['config_hash'][:12]}")])
    return lines


def _counts(said: Mapping[str, int]) -> str:
    """`+3 -1 ~2`: what came, went and changed; rows that only moved are the same."""
    if not any(said[name] for name in ("added", "removed", "changed")):
        return "no other rows"
    return f"{said['added']} rows more, {said['removed']} fewer, {said['changed']} with other content"
