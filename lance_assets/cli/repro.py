"""`lance-assets repro CHECKPOINT_DIR [--check]`: proves that a checkpoint's rows are the same, and trains again."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

#: Largest difference of two losses that counts as equal: on the CPU, same threads and versions, there is none.
TOLERANCE = 1e-6
#: Of the rows that were collated into batches, what same_rows_seen says.
COLLATED = {True: "are the same", False: "ARE NOT THE SAME", None: "cannot be compared (a kill, or workers)"}


def add(parser: ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT_DIR", type=Path, help="a folder under checkpoints")
    parser.add_argument("--check", action="store_true", help="only prove that the rows are the same")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="a new folder to train again in (default: CHECKPOINT_DIR/repro)"
    )
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """Exit code 1 where rows are gone, or the loss curve or the rows that were collated differ. Raises BadInput."""
    from lance_assets.audit.proof import prove
    from lance_assets.cli.repro_output import claim_output
    from lance_assets.training.environment import changes, differences, environment
    from lance_assets.training.folder import model_folder, read_beside, read_rows, read_summary

    folder = model_folder(flags.checkpoint)
    manifest, recipe, then = read_beside(folder)
    proof = prove(manifest, read_rows(folder))
    found: dict[str, Any] = {"checkpoint": str(folder), "rows": asdict(proof), "same_rows": not proof.gone}
    lines = [f"restored  {line}" for line in proof.restored] + [f"GONE      {line}" for line in proof.gone]
    if not proof.gone:
        sides = f"{proof.rows['train']} rows to train on and {proof.rows['test']} held out are the same"
        lines.append(f"rows      {sides}: ids, messages and {proof.images} images ({proof.image_bytes:,} bytes) hashed")
        if not flags.check:
            _say(lines)
            lines = []
            summary = read_summary(folder) or {}
            out = claim_output(flags.output or folder.parent / "repro", folder, summary)
            # the version that has the rows, should it not be the one of then
            again = _train_again({**manifest, "version": proof.version}, recipe, then, summary, out)
            found |= compare(summary, again, folder) | {"again": again["path"]}
            found["environment"] = differences(then, {**environment(), "threads": then.get("threads")})
            if "chosen" in summary:
                # the arguments that were chosen for the machine are repeated
                found["environment"] += changes(*(_machine(one["chosen"]) for one in (summary, again)))
            lines += [f"differs   {line}" for line in found["environment"]]
            lines.append(
                f"loss      {'equal' if found['same_curve'] else 'NOT EQUAL'}: largest difference "
                f"{found['largest_difference']} in {found['points']} points; weights "
                f"{'are the same bytes' if found['same_weights'] else 'differ'}; rows collated "
                f"{COLLATED[found['same_rows_seen']]}"
            )
    if flags.json:
        print(json.dumps(found))
    else:
        print("\n".join(lines))
    return exit_code(found)


def exit_code(found: dict[str, Any]) -> int:
    """What is unknown (None) is no failure."""
    return 1 if any(found.get(name) is False for name in ("same_rows", "same_curve", "same_rows_seen")) else 0


def compare(then: dict[str, Any], now: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The two loss curves point by point, the digests of the two sets of weights, and the rows that were collated."""
    from lance_assets.training.folder import digests

    curves = [{point["step"]: point["loss"] for point in one["curve"]} for one in (then, now)]
    steps = curves[0].keys() & curves[1].keys()
    largest = max((abs(curves[0][step] - curves[1][step]) for step in steps), default=float("inf"))
    weights = [
        {name: digest for name, digest in digests(one).items() if name.endswith(".safetensors")}
        for one in (folder, Path(now["path"]))
    ]
    return {
        "same_curve": curves[0].keys() == curves[1].keys() and largest <= TOLERANCE,
        "largest_difference": largest,
        "points": len(steps),
        "same_weights": weights[0] == weights[1],
        "same_rows_seen": same_rows_seen(then, now),
    }


def same_rows_seen(then: dict[str, Any], now: dict[str, Any]) -> bool | None:
    """None = unknown: after a kill some rows were collated twice, and workers collate as far ahead as they come."""
    if then["reader"]["seen"] == now["reader"]["seen"]:
        return True
    uncertain = any(one.get("resumed_from") or _workers(one) for one in (then, now))
    return None if uncertain else False


def _workers(summary: dict[str, Any]) -> int:
    from lance_assets.training.folder import read_json
    from lance_assets.training.launch import ARGUMENTS_FILE

    arguments = read_json(Path(summary["path"]) / ARGUMENTS_FILE) or {}
    return arguments.get("dataloader_num_workers", 0)


def _machine(chosen: dict[str, Any]) -> dict[str, Any]:
    return {name: chosen[name] for name in ("device", "gpus", "processes")}


def _train_again(
    manifest: dict[str, Any], recipe: dict[str, Any], then: dict[str, Any], summary: dict[str, Any], out: Path
) -> dict[str, Any]:
    """The summary of the second training. Raises BadInput where the base model is not the one of then."""
    from lance_assets.errors import BadInput
    from lance_assets.training.child import Child
    from lance_assets.training.folder import model_digest
    from lance_assets.training.tune import base_model, train_into

    run = Child(lambda line: _say([line]), then.get("threads"))
    base = summary["base"]
    if summary.get("base_sha256") and not Path(base).exists():
        base = base_model(recipe, manifest, out / "models", run, run.report)
    if (digest := summary.get("base_sha256")) and model_digest(Path(base)) != digest:
        raise BadInput(f"the base model {base} is not the one that this checkpoint was trained from: its files differ")
    return train_into(out, manifest, recipe, base, run, "repro", run.report, again=summary.get("chosen"))


def _say(lines: list[str]) -> None:
    print("\n".join(lines), file=sys.stderr, flush=True)
