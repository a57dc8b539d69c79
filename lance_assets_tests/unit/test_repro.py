from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lance_assets.cli.repro_output import claim_output
from lance_assets.errors import BadInput

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
