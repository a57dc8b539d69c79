"""Real LLaMA-Factory on a real Lance table, in processes of its own as on Ray. About half a minute."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lance_assets.errors import BadInput
from lance_assets_tests.unit import training_runs
from lance_assets_tests.unit.training_table import COLOURS, manifest_of, write_squares

pytest.importorskip("llamafactory", reason="needs the extra train")

ROWS, HELD_OUT, HEAVY = 40, 8, 50_000
CAPTIONS = [f"The square is {name}." for name in COLOURS]


class Trained(NamedTuple):
    folder: Path
    manifest: dict[str, Any]
    result: dict[str, Any]
    output: str
    table_bytes: int


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("training")
    dataset = write_squares(folder / "images.lance", ROWS, HEAVY)
    manifest = manifest_of(dataset, HELD_OUT)
    shuffled = manifest_of(write_squares(folder / "shuffled.lance", ROWS, shuffled=True), HELD_OUT)
    said = {"max_steps": 40, "per_device_train_batch_size": 8, "logging_steps": 5}
    args = [
        training_runs.arguments(folder, rows, name, **said) for name, rows in (("out", manifest), ("cheat", shuffled))
    ]
    [result, _], output = training_runs.trained(folder, args, CAPTIONS)
    size = sum(file.stat().st_size for file in (folder / "images.lance" / "data").iterdir())
    return Trained(folder, manifest, result, output, size)


def test_the_same_captions_and_seed_build_the_same_tiny_model_in_another_process(
    trained: Trained, tmp_path: Path
) -> None:
    from lance_assets.training.tiny import build_tiny

    again = build_tiny(tmp_path / "again", CAPTIONS)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (again / name).read_bytes() == (trained.folder / "base" / name).read_bytes(), name
    other = build_tiny(tmp_path / "other", CAPTIONS, seed=1)
    assert (other / "model.safetensors").read_bytes() != (again / "model.safetensors").read_bytes()


def test_it_learns_and_reports_its_curve(trained: Trained) -> None:
    result = trained.result
    assert result["steps"] == 40
    assert result["loss_last"] < result["loss_first"] / 2
    assert [point["step"] for point in result["curve"]] == list(range(5, 41, 5))


def test_only_the_needed_columns_of_the_training_rows_are_read(trained: Trained) -> None:
    reader = trained.result["reader"]
    assert reader["columns"] == ["image", "messages"]
    assert reader["rows"] == ROWS - HELD_OUT
    # to count tokens; images as small as these then stay in memory
    assert reader["images_fetched"] == ROWS - HELD_OUT
    assert reader["seen"]["train"]["rows"] == 40 * 8
    assert 0 < reader["text_bytes"] < trained.table_bytes / 20
    assert 0 < reader["image_bytes"] / reader["images_fetched"] < HEAVY / 20


def test_evaluation_uses_the_very_tokens_of_the_training(trained: Trained) -> None:
    from lance_assets.training import rows
    from lance_assets.training.checkpoint import IGNORED, Checkpoint, trained_pixels
    from lance_assets.training.heldout import held_out

    checkpoint = Checkpoint(trained.folder / "base", trained_pixels(Path(trained.result["checkpoint"])))
    # what LLaMA-Factory prints as its training example is the first row of the table's training side
    first = f"id = 'row-{HELD_OUT:04d}'"
    example = held_out(trained.manifest | {"test": first, "rows": {"train": 1, "test": 1}}, 1, 0)
    inputs = checkpoint._inputs(example, [example[0].image], with_answers=True)
    printed = trained.output.split("training example:", 1)[1]
    theirs = {
        name: ast.literal_eval(printed.split(f"{name}:\n", 1)[1].splitlines()[0]) for name in ("input_ids", "label_ids")
    }
    assert rows.scan(rows.LanceRows(trained.manifest["uri"], trained.manifest["version"], first), [])[0].num_rows == 1
    assert inputs["input_ids"][0].tolist() == theirs["input_ids"]
    assert inputs["labels"][0].tolist() == theirs["label_ids"]
    assert theirs["label_ids"].count(IGNORED) > 81


FACTS = {"squares": {"colour": r"square is (\w+)"}}


def failed(result: dict[str, Any]) -> list[str]:
    return [check["name"] for check in result["checks"] if not check["passed"]]


def test_the_checkpoint_loads_again_answers_and_beats_its_base(trained: Trained) -> None:
    from lance_assets.training.evaluate import evaluate

    checkpoint = Path(trained.result["checkpoint"])
    assert [file.name for file in checkpoint.glob("*.safetensors")] == ["model.safetensors"]
    assert not list(checkpoint.glob("*.bin"))  # a pickle
    cheat = trained.folder / "cheat" / "model"
    result = evaluate(trained.manifest, trained.folder / "base", checkpoint, limit=100, facts=FACTS, previous=cheat)
    assert result["rows"] == HELD_OUT
    assert failed(result) == []
    assert result["overlap"]["tuned"] > result["overlap"]["base"]
    assert result["loss"]["tuned"] < result["loss"]["previous"]
    assert result["facts"]["colour"]["reads"]
    assert "another row on colour" in result["verdict"]
    assert len(result["examples"]) == 5
    assert result["examples"][0]["tuned"].startswith("The square is")
    with pytest.raises(BadInput, match="holds no row out"):
        evaluate(trained.manifest | {"test": "id = 'none'", "rows": {"train": 1, "test": 0}}, checkpoint, checkpoint)


def test_a_model_trained_on_shuffled_captions_is_found_out(trained: Trained) -> None:
    from lance_assets.training.evaluate import evaluate

    cheat, good = trained.folder / "cheat" / "model", Path(trained.result["checkpoint"])
    result = evaluate(trained.manifest, trained.folder / "base", cheat, limit=100, facts=FACTS, previous=good)
    assert result["beats_base"]  # it has learnt how captions begin
    assert failed(result) == ["reads_the_image", "not_worse_than_before"]
    assert not result["facts"]["colour"]["reads"]


def test_a_model_that_learnt_nothing_is_found_out(trained: Trained) -> None:
    from lance_assets.training.evaluate import evaluate

    base = trained.folder / "base"
    assert failed(evaluate(trained.manifest, base, base, limit=100)) == ["better_than_base", "reads_the_image"]


def test_held_out_rows_that_are_trained_on_are_found_out(trained: Trained) -> None:
    from lance_assets.training.evaluate import evaluate

    leaky = trained.manifest | {"train": "true", "rows": {"train": ROWS, "test": HELD_OUT}}
    result = evaluate(leaky, trained.folder / "base", Path(trained.result["checkpoint"]), limit=100)
    assert failed(result) == ["held_out_rows_are_not_trained_on"]
    assert result["leaked"] == HELD_OUT


def test_one_held_out_row_is_enough(trained: Trained) -> None:
    from lance_assets.training.evaluate import evaluate

    checkpoint = Path(trained.result["checkpoint"])
    assert evaluate(trained.manifest, trained.folder / "base", checkpoint, limit=1)["rows"] == 1
