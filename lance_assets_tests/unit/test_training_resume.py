from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lance_assets.errors import BadInput
from lance_assets.training.folder import LATEST, SUMMARY, finish, read_summary
from lance_assets.training.launch import train
from lance_assets.training.recipe import load_recipe
from lance_assets.training.resume import (
    PROGRESS_FILE,
    RESULTS_FILE,
    STATE,
    drop_leftovers,
    keep_result,
    last_step,
    prepare_to_resume,
    read_curve,
    read_end,
    read_result,
)
from lance_assets.training.tune import Order, Places, fine_tune, latest_checkpoint, recipe_sha256
from lance_assets_tests.unit.training_table import manifest_of, write_squares

RESULT = {"loss_first": 3.0, "loss_last": 1.0, "steps": 4, "seconds": 1.5, "resumed_from": None}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Killed at step 7 while the checkpoint of step 6 was being written, and a line of the log."""
    for step, state in ((2, "{}"), (4, '{"global_step": 4}'), (6, '{"global_')):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "trainer_state.json").write_text(state)
    lines = [json.dumps({"current_steps": step, "loss": 1 / step}) for step in range(1, 8)]
    (tmp_path / PROGRESS_FILE).write_text("\n".join([*lines, '{"current_st']))
    return tmp_path


def test_the_newest_whole_checkpoint_counts_and_what_comes_after_it_goes(output: Path) -> None:
    assert last_step(output) == 4
    assert prepare_to_resume(output) == 4
    assert sorted(path.name for path in output.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    assert [point["step"] for point in read_curve(output)] == [1, 2, 3, 4]


def test_without_a_whole_checkpoint_training_starts_in_an_empty_folder(output: Path) -> None:
    for step in (2, 4):
        (output / f"checkpoint-{step}" / "trainer_state.json").unlink()
    assert prepare_to_resume(output) is None
    assert list(output.iterdir()) == []
    assert prepare_to_resume(output / "new") is None
    assert (output / "new").is_dir()


def test_after_the_end_no_checkpoint_is_kept(output: Path) -> None:
    keep_result(output, RESULT)
    drop_leftovers(output)
    assert [path.name for path in output.iterdir()] == [PROGRESS_FILE]


def test_a_line_that_is_being_written_is_not_read(output: Path) -> None:
    assert [point["step"] for point in read_curve(output)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_training_that_ended_is_not_done_again_though_what_came_after_it_failed(output: Path) -> None:
    pytest.importorskip("llamafactory", reason="needs the extra train")
    keep_result(output, RESULT)
    before = sorted(output.iterdir())
    assert train({"output_dir": str(output)}) == RESULT
    assert sorted(output.iterdir()) == before


def test_steps_to_resume_from_go_only_when_everything_is_written(output: Path, tmp_path: Path) -> None:
    manifest = manifest_of(write_squares(tmp_path / "images.lance", 8), 2)
    keep_result(output, RESULT)
    environment = {"packages": {}, "commit": None, "lance_assets": "0"}
    summary = RESULT | {"path": str(output), "base": "tiny"}
    with pytest.raises(BadInput, match="the manifest names 9"):
        finish(output, manifest | {"rows": {"train": 9, "test": 2}}, {}, environment, summary)
    assert (read_summary(output), read_result(output), last_step(output)) == (None, RESULT, 4)
    finish(output, manifest, {}, environment, summary)
    assert (read_summary(output), read_result(output), last_step(output)) == (summary, None, None)


def test_a_death_right_before_the_last_clearing_up_is_made_good_the_next_time(tmp_path: Path) -> None:
    recipe = load_recipe("demo")
    output = tmp_path / f"sft-1-{recipe_sha256(recipe)[:8]}" / "model"
    (output / "checkpoint-4").mkdir(parents=True)
    (output / SUMMARY).write_text("{}")
    keep_result(output, RESULT)
    never: Any = None
    assert fine_tune({"tag": "sft-1"}, Order("demo"), Places(tmp_path, tmp_path), never, "r", lambda _: None) == {}
    assert [path.name for path in output.iterdir()] == [SUMMARY]


def ended(folder: Path, losses: dict[int, float]) -> None:
    """What LLaMA-Factory leaves of a training of 7 steps, which logged these losses."""
    lines = [{"current_steps": step, "loss": loss} for step, loss in losses.items()] + [{"current_steps": 7}]
    (folder / PROGRESS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / STATE).write_text('{"global_step": 7}')
    (folder / RESULTS_FILE).write_text('{"train_loss": 2.5}')


def test_the_last_step_counts_though_its_loss_was_not_logged(tmp_path: Path) -> None:
    ended(tmp_path, {5: 2.0})
    assert read_end(tmp_path) == (7, [{"step": 5, "loss": 2.0}])


def test_a_training_that_is_shorter_than_its_first_logged_step_has_its_mean_loss(tmp_path: Path) -> None:
    ended(tmp_path, {})
    assert read_end(tmp_path) == (7, [{"step": 7, "loss": 2.5}])


def test_a_training_that_trained_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="logged no loss"):
        read_end(tmp_path)


def test_a_summary_that_is_damaged_is_bad_input_wherever_it_is_read(tmp_path: Path) -> None:
    (tmp_path / SUMMARY).write_text("{")
    (tmp_path / LATEST).write_text("[]")
    with pytest.raises(BadInput, match=f"{SUMMARY} cannot be read"):
        read_summary(tmp_path)
    with pytest.raises(BadInput, match=f"{LATEST} must be a JSON object"):
        latest_checkpoint(Places(tmp_path, tmp_path))
