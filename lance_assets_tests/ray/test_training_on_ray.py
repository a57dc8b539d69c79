"""One adapter trained and merged by Ray tasks, as the assets do it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lance_assets.compute.train import Order, Places, fine_tune, latest_checkpoint, merged
from lance_assets.errors import BadInput
from lance_assets_tests.unit.training_runs import every_row_once
from lance_assets_tests.unit.training_table import manifest_of, write_squares

pytest.importorskip("llamafactory", reason="needs the extra train")
pytestmark = pytest.mark.usefixtures("joined")

ROWS, HELD_OUT, BATCH = 40, 8, 4
EPOCH = {"max_steps": (ROWS - HELD_OUT) // BATCH, "per_device_train_batch_size": BATCH, "plot_loss": False}


def test_an_adapter_sees_the_pinned_rows_and_is_merged_into_a_model_of_its_own(tmp_path: Path) -> None:
    manifest = manifest_of(write_squares(tmp_path / "images.lance", ROWS), HELD_OUT) | {"sha256": "0" * 64}
    places, said = Places(tmp_path / "models", tmp_path / "checkpoints"), []
    order = Order("tiny-lora", EPOCH)
    summary = fine_tune(manifest, order, places, "run", said.append)
    assert summary["reader"]["seen"] == {"train": every_row_once(manifest)}
    assert latest_checkpoint(places) == summary
    assert json.loads((Path(summary["path"]) / "adapter_config.json").read_text())["r"] == 16
    assert fine_tune(manifest, order, places, "another", said.append) == summary
    assert said[-1].endswith("exists: same rows, same recipe")

    path, digests = merged(summary, places, said.append)
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(digests)
    assert path.parent == Path(summary["path"]).parent
    with pytest.raises(BadInput, match="9 GPUs are asked for, and no node of the Ray cluster has more than 0"):
        fine_tune(manifest, Order("tiny-lora", EPOCH | {"seed": 8}, gpus=9), places, "run", said.append)
