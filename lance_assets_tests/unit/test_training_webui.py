from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from lance_assets.training import preview, webui, wraps
from lance_assets.training.device import Device
from lance_assets.training.launch import dataset_entry
from lance_assets.training.manifest import side
from lance_assets.training.recipe import load_recipe
from lance_assets.training.rows import parse_spec
from lance_assets_tests.unit.training_table import manifest_of, write_squares


@pytest.fixture
def manifest(tmp_path: Path) -> dict[str, Any]:
    return manifest_of(write_squares(tmp_path / "images.lance", 12), 5)


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webui, "find_device", lambda: Device(0, False, 2))


def test_both_sides_of_every_training_set_are_registered(cpu: None, tmp_path: Path, manifest: dict[str, Any]) -> None:
    older = {**manifest, "tag": "sft-older", "rows": {"train": 12, "test": 0}}
    names = webui.prepare_folder(tmp_path / "ui", [manifest, older], load_recipe("demo"), tmp_path / "none")
    assert names == ["sft-test-train", "sft-test-test", "sft-older-train"]
    info = json.loads((tmp_path / "ui" / "data" / "dataset_info.json").read_text())
    assert list(info) == names
    assert info["sft-test-test"]["lance"]["rows"] == 5
    assert not (tmp_path / "ui" / "llamaboard_cache" / "user_config.yaml").exists()


def test_the_tiny_model_is_offered_first_and_what_people_chose_later_stays(
    cpu: None, tmp_path: Path, manifest: dict[str, Any]
) -> None:
    model, chosen = tmp_path / "tiny", tmp_path / "ui" / "llamaboard_cache" / "user_config.yaml"
    model.mkdir()
    webui.prepare_folder(tmp_path / "ui", [manifest], load_recipe("demo"), model)
    assert yaml.safe_load(chosen.read_text())["path_dict"] == {"Custom": str(model)}
    chosen.write_text("lang: zh\n")
    webui.prepare_folder(tmp_path / "ui", [manifest], load_recipe("demo"), model)
    assert chosen.read_text() == "lang: zh\n"


def test_a_recipe_becomes_fields_of_the_ui_and_the_rest_extra_arguments(cpu: None) -> None:
    found = webui.configuration(load_recipe("demo"))
    assert (found["top.finetuning_type"], found["train.learning_rate"], found["train.compute_type"]) == (
        "full",
        "0.003",
        "fp32",
    )
    extra = json.loads(found["train.extra_args"])
    assert (extra["max_steps"], extra["adam_beta2"], extra["seed"]) == (160, 0.95, 7)
    assert not {"learning_rate", "stage", "bf16"} & set(extra)


def test_every_field_is_one_of_the_ui() -> None:
    llamaboard = pytest.importorskip("llamafactory.webui.manager", reason="needs the extra train")
    import gradio
    from llamafactory.webui.engine import Engine
    from llamafactory.webui.interface import create_top, create_train_tab

    assert llamaboard
    with gradio.Blocks():
        engine = Engine(demo_mode=True)
        engine.manager.add_elems("top", create_top())
        engine.manager.add_elems("train", create_train_tab(engine))
    known = set(engine.manager._id_to_elem)
    assert known >= {*webui.FIELDS.values(), "train.compute_type", "train.extra_args"}


def test_it_is_on_loopback_and_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SHARE", "1")
    found = webui.ui_environment(7860)
    assert (os.environ | found)["GRADIO_SHARE"] == "0"
    assert (found["GRADIO_SERVER_NAME"], found["GRADIO_ANALYTICS_ENABLED"]) == ("127.0.0.1", "False")


def test_a_page_of_the_preview_has_as_many_images_as_rows(manifest: dict[str, Any]) -> None:
    source = side(manifest, "train")
    count, shown = preview.page(source, dataset_entry(source), 2, 2)
    assert (count, len(shown)) == (7, 2)
    assert shown[0]["messages"][1]["content"] == "The square is yellow."
    assert preview.pictures(source, dataset_entry(source), 2, 2).count("<img ") == 2
    text = dataset_entry(source, "pt")
    assert preview.page(parse_spec("text", text["lance"], ""), text, 2, 2)[1][0]["caption"] == "The square is yellow."
    assert preview.pictures(parse_spec("text", text["lance"], ""), text, 2, 2) == ""


def test_no_more_processes_count_tokens_than_there_are_cores() -> None:
    asked = SimpleNamespace(preprocessing_num_workers=10_000)
    wraps._limit_processes(asked)
    assert asked.preprocessing_num_workers == len(os.sched_getaffinity(0))
    wraps._limit_processes(SimpleNamespace(preprocessing_num_workers=None))
