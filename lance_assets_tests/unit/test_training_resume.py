from __future__ import annotations

import json
from pathlib import Path

import pytest

from lance_assets.training.resume import PROGRESS_FILE, drop_checkpoints, last_step, prepare_to_resume, read_curve


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
    drop_checkpoints(output)
    assert [path.name for path in output.iterdir()] == [PROGRESS_FILE]


def test_a_line_that_is_being_written_is_not_read(output: Path) -> None:
    assert [point["step"] for point in read_curve(output)] == [1, 2, 3, 4, 5, 6, 7]
