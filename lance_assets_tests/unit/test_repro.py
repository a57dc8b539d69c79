from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lance_assets.cli.repro import exit_code, same_rows_seen
from lance_assets.cli.repro_output import claim_output
from lance_assets.errors import BadInput
from lance_assets.training.device import Chosen
from lance_assets.training.tune import train_into
from lance_assets_tests.unit.training_table import manifest_of, write_squares

SUMMARY: dict[str, Any] = {"manifest_sha256": "m", "recipe_sha256": "r"}


def test_repro_trains_in_an_empty_folder_or_one_that_it_made_for_the_same_checkpoint(tmp_path: Path) -> None:
    folder, out = tmp_path / "sft-1" / "model", tmp_path / "sft-1" / "repro"
    folder.mkdir(parents=True)
    assert claim_output(out, folder, SUMMARY) == out
    (out / "model").mkdir()
    assert claim_output(out, folder, SUMMARY) == out
    with pytest.raises(BadInput, match="holds the repro of another checkpoint"):
        claim_output(out, folder, SUMMARY | {"recipe_sha256": "other"})


def test_repro_never_trains_over_what_it_did_not_make(tmp_path: Path) -> None:
    folder, other = tmp_path / "sft-1" / "model", tmp_path / "other" / "model"
    for made in (folder, other):
        made.mkdir(parents=True)
    (other / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(BadInput, match="is not empty, and repro did not make it"):
        claim_output(other.parent, folder, SUMMARY)
    for holds in (folder, folder.parent, tmp_path, folder.parent / ".." / "sft-1"):
        with pytest.raises(BadInput, match="holds the checkpoint"):
            claim_output(holds, folder, SUMMARY)
    assert (other / "model.safetensors").read_bytes() == b"weights"
    assert not list(tmp_path.rglob("repro.json"))


def seen(folder: Path, rows: int, workers: int = 0, resumed_from: int | None = None) -> dict[str, Any]:
    """The summary of a training that saw so many rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train_args.json").write_text(json.dumps({"dataloader_num_workers": workers}))
    reader = {"seen": {"train": {"rows": rows, "checksum": f"{rows:016x}"}}}
    return {"path": str(folder), "reader": reader, "resumed_from": resumed_from}


def test_other_rows_fail_a_repro_and_what_cannot_be_known_does_not(tmp_path: Path) -> None:
    then, now = tmp_path / "then", tmp_path / "now"
    assert same_rows_seen(seen(then, 8), seen(now, 8)) is True
    assert same_rows_seen(seen(then, 8), seen(now, 9)) is False
    assert same_rows_seen(seen(then, 8, resumed_from=4), seen(now, 9)) is None
    assert same_rows_seen(seen(then, 8), seen(now, 9, resumed_from=4)) is None
    assert same_rows_seen(seen(then, 8, workers=2), seen(now, 9, workers=2)) is None
    codes = [exit_code({"same_rows": True, "same_curve": True, "same_rows_seen": one}) for one in (True, None, False)]
    assert codes == [0, 0, 1]
    assert exit_code({"same_rows": True}) == 0
    assert exit_code({"same_rows": False}) == exit_code({"same_rows": True, "same_curve": False}) == 1


def test_a_training_is_repeated_with_what_was_chosen_for_its_machine(tmp_path: Path) -> None:
    manifest = manifest_of(write_squares(tmp_path / "images.lance", 8), 2) | {"sha256": "m"}
    filled: dict[str, Any] = {"bf16": True, "dataloader_num_workers": 3}
    asked: list[Any] = []

    def run(function: Any, *arguments: Any, gpus: int | None = None, **_: Any) -> Any:
        args, *machine = arguments
        asked.extend([args, *machine, gpus])
        chosen = {"device": "other", "gpus": 2, "processes": 2, "arguments": {}}
        result = {"checkpoint": args["output_dir"], "chosen": chosen, "loss_first": 2.0, "loss_last": 1.0, "steps": 1}
        environment = {"packages": {}, "commit": None, "lance_assets": "0"}
        return result | {"seconds": 1.0, "environment": environment}

    again = Chosen(device="gpu", gpus=2, processes=2, arguments=filled)
    summary = train_into(
        tmp_path / "out", manifest, {"stage": "sft"}, "tiny", run, "repro", lambda _: None, again=again
    )
    assert asked[0].items() >= filled.items() and asked[1:] == [2, 2, 2]
    assert summary["chosen"] == {"device": "other", "gpus": 2, "processes": 2, "arguments": filled}
    assert json.loads((tmp_path / "out" / "model" / "recipe.json").read_text()) == {"stage": "sft"}
