from __future__ import annotations

import json
from pathlib import Path

import pytest

from lance_assets.errors import BadInput
from lance_assets.training.launch import CAPTION, prepare
from lance_assets.training.manifest import read_manifest
from lance_assets.training.recipe import llamafactory_keys, load_recipe, shipped
from lance_assets.training.tiny import build_tiny

MANIFEST = {"uri": "/d/i.lance", "version": 4, "tag": "t", "train": "a", "test": "b", "rows": {"train": 3, "test": 1}}


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_recipe_loads_by_name_and_saves_steps_to_resume_from(name: str) -> None:
    assert load_recipe(name)["save_steps"] > 0


def test_the_demo_trains_the_eyes_too() -> None:
    recipe = load_recipe("demo")
    assert (recipe["freeze_vision_tower"], recipe["freeze_multi_modal_projector"]) == (False, False)


def test_recipes_are_there_for_each_model_and_method() -> None:
    models = ("qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-4b")
    real = [f"{model}-{method}" for model in models for method in ("full", "lora", "pt", "qlora")]
    assert shipped() == sorted(["demo", *real, "tiny-lora", "tiny-pt", "tiny-qlora", "tiny-screen"])
    for name in real:
        assert load_recipe(name)["model_name_or_path"].lower().startswith(f"qwen/{name.rpartition('-')[0]}")


def test_keys_of_a_recipe_are_replaced_and_checked_in_the_same_way() -> None:
    recipe = load_recipe("demo", {"max_steps": 3, "learning_rate": 0.1})
    assert (recipe["max_steps"], recipe["learning_rate"], recipe["stage"]) == (3, 0.1, "sft")
    with pytest.raises(BadInput, match=r"overrides of recipe .*demo.*no key max_step; max_steps"):
        load_recipe("demo", {"max_step": 3})
    with pytest.raises(BadInput, match="output_dir is set by the platform"):
        load_recipe("demo", {"output_dir": "/tmp"})


@pytest.mark.skipif(not llamafactory_keys(), reason="needs the extra train")
def test_numbers_and_flags_of_a_wrong_type_are_refused_by_key() -> None:
    for key, value in (("max_steps", "ten"), ("max_steps", 1.5), ("bf16", "yes"), ("learning_rate", "fast")):
        with pytest.raises(BadInput, match=f"overrides of recipe .*: {key} must be .*, not {value!r}"):
            load_recipe("demo", {key: value})
    usable = {"learning_rate": "1e-4", "save_steps": 0.5, "warmup_steps": 3, "bf16": None, "num_train_epochs": 2}
    assert load_recipe("demo", usable)["learning_rate"] == "1e-4"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stage: sft\nlearning_rat: 1", "no key learning_rat; learning_rate?"),
        ("stage: sft\ndataset: mine", "dataset is set by the platform"),
        ("stage: rm", "stage must be sft or pt"),
        ("stage: sft\nhf_hub_token: hf_1", "leave hf_hub_token out: .* keys come from the environment"),
        ("stage: sft\nswanlab_api_key: k1", "leave swanlab_api_key out: .* keys come from the environment"),
        ("stage: sft\npush_to_hub: true", "leave push_to_hub out: a training publishes nothing"),
        ("stage: sft\nmax_samples: 10", "leave max_samples out: which rows"),
        ("stage: sft\nstreaming: true\nmax_steps: ten", "max_steps must (be int, not 'ten'|say)"),
        ("stage: sft\nstreaming: true", "max_steps must say"),
        ("- a\n- b", "must be a mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_refused_by_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    if "no key" in words and not llamafactory_keys():
        pytest.skip("keys are checked only where LLaMA-Factory is installed")
    with pytest.raises(BadInput, match=words.replace("?", r"\?")) as refused:
        load_recipe(path)
    assert str(path) in str(refused.value)


def test_a_missing_recipe_names_those_that_are_shipped() -> None:
    with pytest.raises(BadInput, match=r"nowhere\.yaml .* demo"):
        load_recipe("nowhere.yaml")


def test_prepare_pins_both_sides_and_leaves_the_recipe_alone(tmp_path: Path) -> None:
    recipe = {"stage": "sft", "learning_rate": 0.1}
    arguments = prepare(MANIFEST, recipe, Path("base"), tmp_path)
    info = json.loads((tmp_path / "dataset" / "dataset_info.json").read_text())
    assert info["train"]["lance"] == {"uri": "/d/i.lance", "version": 4, "filter": "a", "rows": 3}
    assert info["eval"]["lance"] == {"uri": "/d/i.lance", "version": 4, "filter": "b", "rows": 1}
    assert arguments["dataset"] == "train"
    prepare(MANIFEST, {"stage": "pt"}, Path("base"), tmp_path)
    text = json.loads((tmp_path / "dataset" / "dataset_info.json").read_text())["train"]
    assert (text["lance"]["columns"], text["columns"]) == (CAPTION, {"prompt": "caption"})
    assert "eval_dataset" not in arguments
    assert recipe == {"stage": "sft", "learning_rate": 0.1}
    assert prepare(MANIFEST, recipe | {"do_eval": True}, Path("base"), tmp_path)["eval_dataset"] == "eval"


def test_a_training_set_without_rows_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no row to train on"):
        prepare(MANIFEST | {"rows": {"train": 0, "test": 4}}, {}, Path("base"), tmp_path)


@pytest.mark.parametrize(("text", "word"), [("{", "not JSON"), ("[]", "object"), ('{"uri": "a"}', "version")])
def test_a_manifest_that_cannot_be_used_is_refused(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=word):
        read_manifest(path)


def test_a_missing_manifest_says_what_to_materialize(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="materialize sft_dataset"):
        read_manifest(tmp_path / "m.json")


def test_the_tiny_model_needs_captions(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="caption"):
        build_tiny(tmp_path, ["", ""])
