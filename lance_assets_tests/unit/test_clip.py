"""The scorer clip with tiny models of random weights: what it computes, which model made a cell, what it refuses."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from lance_assets.errors import BadInput, MissingExtra
from lance_assets.scoring.api import Item, ScoreFailure, State
from lance_assets.scoring.clip import Clip, ClipConfig
from lance_assets.scoring.model_files import folder_digest
from lance_assets.scoring.registry import scorers
from lance_assets_tests.pair_models import SIDE, TEXTS, TOKENS, tiny_clip, tiny_siglip

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {"clip": tiny_clip(root / "clip", seed=3), "siglip": tiny_siglip(root / "siglip")}


def clip(folder: Path, **config) -> Clip:
    return Clip(ClipConfig.model_validate({"model": str(folder), "device": "cpu", **config}))


def picture(seed: int, width: int = 48, height: int = 40) -> bytes:
    out = io.BytesIO()
    noise = np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "PNG")
    return out.getvalue()


def rows(count: int = 7) -> list[Item]:
    return [Item(str(at), TEXTS[at % len(TEXTS)], data=picture(at)) for at in range(count)]


def directly(folder: Path, item: Item) -> float:
    """The score by the parts of the model themselves: each tower, its projection, one product."""
    import torch
    from transformers import AutoModel, AutoProcessor

    processor, model = AutoProcessor.from_pretrained(folder), AutoModel.from_pretrained(folder)
    tokens = processor.tokenizer(item.caption, padding="max_length", truncation=True, max_length=TOKENS)
    pixels = processor.image_processor(item.image, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        ids = torch.tensor([tokens["input_ids"]])
        sigmoid = hasattr(model, "logit_bias")
        mask = {} if sigmoid else {"attention_mask": torch.tensor([tokens["attention_mask"]])}
        text, image = model.text_model(ids, **mask).pooler_output, model.vision_model(pixels).pooler_output
        if not sigmoid:
            text, image = model.text_projection(text), model.visual_projection(image)
        cosine = torch.nn.functional.cosine_similarity(text, image)[0]
        score = torch.sigmoid(cosine * model.logit_scale.exp() + model.logit_bias) if sigmoid else cosine.clamp(min=0)
    return 100 * float(score)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_score_is_the_cosine_or_the_probability_of_the_model(folders, kind):
    scores = clip(folders[kind]).score(rows())
    assert scores == pytest.approx([directly(folders[kind], item) for item in rows()], abs=0.01)
    assert len(set(scores)) > 3 and all(isinstance(score, float) and 0 <= score <= 100 for score in scores)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_batch_scores_as_its_rows_do(folders, kind):
    together = clip(folders[kind]).score(rows())
    for count in (1, 3):
        assert clip(folders[kind], batch_rows=count).score(rows()) == pytest.approx(together, abs=0.001)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_long_caption_is_cut_where_the_model_ends(folders, kind):
    start = " ".join(TEXTS[:2] * 4)
    one, other, short = (
        Item("a", caption, data=picture(1)) for caption in (f"{start} {TEXTS[2]}", f"{start} {TEXTS[3] * 50}", TEXTS[2])
    )
    scores = clip(folders[kind]).score([one, other, short])
    assert scores[0] == pytest.approx(scores[1], abs=0.001)
    assert scores[0] != pytest.approx(scores[2], abs=0.001)


def test_rows_without_a_picture_or_a_caption_fail_alone(folders):
    good = rows(1)[0]
    items = [good, Item("b", "", data=picture(1)), Item("c", "x", data=picture(1)[:60]), Item("d", "x"), rows(1)[0]]
    items.append(Item("e", "a text that stands in", caption_missing=True, data=picture(1)))
    first, *failures, last, missing = clip(folders["clip"]).score(items)
    assert first == last
    assert all(isinstance(one, ScoreFailure) and one.state == State.FAILED_PERMANENT for one in [*failures, missing])
    assert [str(one) for one in (failures[0], missing)] == ["the row has no caption"] * 2


def test_pictures_of_every_shape_and_mode_are_scored(folders):
    sizes = [(1, 1), (1, 300), (300, 1), (2000, 1500), (SIDE, SIDE)]
    items = [Item("a", TEXTS[0], data=picture(0, *size)) for size in sizes]
    assert all(isinstance(score, float) for score in clip(folders["clip"]).score(items))


def test_the_same_files_elsewhere_are_the_same_model(folders, tmp_path):
    copy = shutil.copytree(folders["clip"], tmp_path / "copy")
    (copy / "README.md").write_text("a note")
    assert clip(copy).config_hash() == clip(folders["clip"]).config_hash() != clip(folders["siglip"]).config_hash()


def test_one_changed_tensor_or_setting_makes_cells_stale_and_a_touched_file_does_not(folders, tmp_path):
    copy = shutil.copytree(folders["clip"], tmp_path / "copy")
    before = clip(copy).config_hash()
    weights = load_file(copy / "model.safetensors")
    name = "text_model.encoder.layers.1.mlp.fc1.weight"
    save_file({**weights, name: weights[name] * np.float32(1.01)}, copy / "model.safetensors", {"format": "pt"})
    trained = clip(copy).config_hash()
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    again = clip(copy).config_hash()
    settings = json.loads((copy / "processor_config.json").read_text())
    settings["image_processor"]["image_mean"] = [0.5, 0.5, 0.5]
    (copy / "processor_config.json").write_text(json.dumps(settings))
    assert trained != before == again != clip(copy).config_hash()


def test_settings_that_change_no_score_are_not_hashed(folders):
    plain, other = (
        scorers(["clip"], {"clip": {"model": str(folders["clip"]), **config}})["clip"]
        for config in ({}, {"device": "cpu", "batch_rows": 2})
    )
    assert plain.config_hash() == other.config_hash()


def test_a_model_that_was_replaced_after_planning_is_not_used(folders, tmp_path):
    copy = shutil.copytree(folders["clip"], tmp_path / "copy")
    planned = pickle.loads(pickle.dumps(clip(copy)))  # noqa: S301 - as it travels to a worker
    planned.load(Path())
    tiny_clip(copy, seed=9)
    with pytest.raises(BadInput, match=r"holds another model .* load the definitions again"):
        planned.load(Path())


def test_a_folder_without_a_model_is_said_before_any_row_and_definitions_load(folders, tmp_path):
    missing = clip(tmp_path / "nothing")
    with pytest.raises(BadInput, match=r"there is no .*nothing/config\.json"):
        missing.check(Path())
    copy = shutil.copytree(folders["clip"], tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(BadInput, match="holds no safetensors file"):
        clip(copy).check(Path())
    (copy / "model.safetensors").write_bytes(b"\x80\x04 a pickle, not tensors")
    with pytest.raises(BadInput, match="is no safetensors file"):
        clip(copy).check(Path())


def test_a_model_that_compares_nothing_is_refused(folders, tmp_path):
    from transformers import BertConfig, BertModel

    shutil.copytree(folders["clip"], tmp_path / "bert")
    BertModel(BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=50)).save_pretrained(
        tmp_path / "bert"
    )
    with pytest.raises(BadInput, match="model"):
        clip(tmp_path / "bert").load(Path())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, r"model: Field required"),
        ({"model": "clip"}, r"model: .*neither an absolute path nor a hub id"),
        ({"model": "../models/clip"}, r"model: .*neither an absolute path nor a hub id"),
        ({"model": "owner/name"}, r"revision: .*needs the commit of its repository"),
        ({"model": "owner/name", "revision": "main"}, r"revision: .*match pattern"),
        ({"model": "/models/clip", "revision": COMMIT}, r"revision: .*a folder has no revision"),
    ],
)
def test_a_config_that_names_no_fixed_model_is_refused_in_a_sentence(config, said):
    with pytest.raises(BadInput, match=said):
        scorers(["clip"], {"clip": config})


def test_a_hub_id_needs_a_commit_and_nothing_is_asked_of_the_hub_before_scoring():
    named, other = (
        scorers(["clip"], {"clip": {"model": "owner/name", "revision": commit}})["clip"]
        for commit in (COMMIT, COMMIT[::-1])
    )
    named.check(Path())
    assert named.config_hash() != other.config_hash()


def test_a_missing_package_says_which_extra_brings_it(folders, monkeypatch):
    monkeypatch.setattr("lance_assets.scoring.clip.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"the scorer clip needs the package torch: .*'lance_assets\[train\]'"):
        clip(folders["clip"]).check(Path())


def test_a_digest_needs_no_torch_and_reads_little_of_the_weights(tmp_path):
    values = {f"layer.{at}": np.full((512, 512), at, np.float32) for at in range(20)}  # 20 MB
    save_file(values, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    before = folder_digest(tmp_path)
    values["layer.7"][-1, -1] = 0.5
    save_file(values, tmp_path / "model.safetensors")
    assert folder_digest(tmp_path) != before
    code = "import sys; from lance_assets.scoring.registry import known; known(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "onnxruntime", "cv2", "py3langid"} & set(done.stdout.split())
