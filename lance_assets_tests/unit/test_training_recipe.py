from __future__ import annotations

import json
from pathlib import Path

import pytest

from lance_assets.errors import BadInput
from lance_assets.training.launch import prepare
from lance_assets.training.manifest import read_manifest
from lance_assets.training.recipe import llamafactory_keys, load_recipe, shipped
from lance_assets.training.tiny import build_tiny

MANIFEST = {"uri": "/d/i.lance", "version": 4, "tag": "t", "train": "a", "test": "b", "rows": {"train": 3, "test": 1}}


def test_shipped_recipes_load_by_name_and_train_the_eyes_too() -> None:
    assert shipped() == ["demo"]
    recipe = load_recipe("demo")
    assert (recipe["freeze_vision_tower"], recipe["freeze_multi_modal_projector"]) == (False, False)
    assert recipe["save_strategy"] == "no"  # YAML would read a bare no as false


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stage: sft\nlearning_rat: 1", "no key learning_rat; learning_rate?"),
        ("stage: sft\ndataset: mine", "dataset is set by the platform"),
        ("stage: pt", "stage must be sft"),
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
