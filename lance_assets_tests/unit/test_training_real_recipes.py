"""Recipes for real Qwen-VL models, without their weights: LLaMA-Factory's own argument parser accepts them, and the
real processors make the same batches of our reader's rows as of files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lance
import pytest

from lance_assets.training import finder, tiny
from lance_assets.training.launch import ENTRY, prepare
from lance_assets.training.recipe import load_recipe, shipped
from lance_assets_tests.unit.training_table import COLOURS, manifest_of, square, write_squares

pytest.importorskip("llamafactory", reason="needs the extra train")

CAPTIONS = [f"The square is {name}." for name in COLOURS]
FAMILIES = {"qwen2.5-vl-3b-lora": "qwen2_5_vl", "qwen3-vl-4b-lora": "qwen3_vl"}


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> lance.LanceDataset:
    return write_squares(tmp_path_factory.mktemp("real") / "images.lance", 10)


def parsed(recipe: dict[str, Any], base: Path, manifest: dict[str, Any], out: Path) -> Any:
    """Model, data, training, finetuning and generating arguments."""
    from llamafactory.hparams import get_train_args

    return get_train_args(prepare(manifest, recipe, base, out))


@pytest.mark.parametrize("name", shipped())
def test_llamafactorys_own_parser_accepts_every_recipe(name: str, squares: lance.LanceDataset, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    base = Path(recipe.get("model_name_or_path", "tiny"))
    model, data, training, finetuning, _ = parsed(recipe, base, manifest_of(squares, 2), tmp_path)
    assert model.model_name_or_path == str(base)
    assert finetuning.stage == recipe["stage"]
    assert model.quantization_bit == (4 if name.endswith("qlora") else None)
    assert data.packing is (recipe["stage"] == "pt")
    assert training.save_steps == recipe["save_steps"]


def write_processor(kind: str, folder: Path) -> Path:
    """The processor of a real model with a small vocabulary, and the configuration by which it is found."""
    import transformers as t
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

    tokenizer = tiny._tokenizer(CAPTIONS)
    sizes: dict[str, Any] = {"patch_size": 14 if kind == "qwen2_5_vl" else 16, "merge_size": 2}
    images, template = t.Qwen2VLImageProcessor(**sizes), tiny.CHAT_TEMPLATE
    if kind == "qwen2_5_vl":
        video, made, config = Qwen2VLVideoProcessor(**sizes), t.Qwen2_5_VLProcessor, t.Qwen2_5_VLConfig()
    else:
        video, made, config = Qwen3VLVideoProcessor(**sizes), t.Qwen3VLProcessor, t.Qwen3VLConfig()
    made(images, tokenizer, video, chat_template=template).save_pretrained(folder)
    config.save_pretrained(folder)
    return folder


def batch_of(dataset: str, arguments: Any) -> dict[str, Any]:
    """The first two rows of an entry, as they go to the model."""
    from llamafactory.data import SFTDataCollatorWith4DAttentionMask, get_dataset, get_template_and_fix_tokenizer
    from llamafactory.model import load_tokenizer

    model, data, training, finetuning, _ = arguments
    data.dataset = [dataset]
    loaded = load_tokenizer(model)
    template = get_template_and_fix_tokenizer(loaded["tokenizer"], data)
    found = get_dataset(template, model, data, training, stage=finetuning.stage, **loaded)
    rows: Any = found.get("train_dataset")
    collator = SFTDataCollatorWith4DAttentionMask(template=template, **loaded)
    return dict(collator([rows[0], rows[1]]))


@pytest.mark.parametrize(("name", "kind"), FAMILIES.items())
def test_the_real_processors_make_the_same_batch_of_lance_and_of_files(
    name: str, kind: str, squares: lance.LanceDataset, tmp_path: Path
) -> None:
    import torch

    finder.install()
    base = write_processor(kind, tmp_path / "base")
    arguments = parsed(load_recipe(name), base, manifest_of(squares, 2), tmp_path / "out")
    folder = tmp_path / "out" / "dataset"
    rows = squares.to_table(columns=["messages"], filter="id >= 'row-0002'").to_pylist()
    for number in range(8):
        colour = list(COLOURS)[(number + 2) % len(COLOURS)]
        (folder / f"{number}.png").write_bytes(square(colour, (number + 2) // len(COLOURS)))
    said = [{**row, "image": [f"{number}.png"]} for number, row in enumerate(rows)]
    (folder / "plain.json").write_text(json.dumps(said))
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps(info | {"plain": {"file_name": "plain.json", **ENTRY}}))

    ours, theirs = batch_of("train", arguments), batch_of("plain", arguments)
    assert ours.keys() == theirs.keys() >= {"input_ids", "labels", "pixel_values", "image_grid_thw"}
    for key in ours:
        assert torch.equal(ours[key], theirs[key]), key
    patches = int(ours["image_grid_thw"].prod(dim=1).sum())
    assert ours["pixel_values"].shape[0] == patches
