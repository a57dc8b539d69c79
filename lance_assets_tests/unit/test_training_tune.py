from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from lance_assets.errors import BadInput, Failed
from lance_assets.training.card import model_card
from lance_assets.training.child import VISIBLE, Child
from lance_assets.training.environment import code_commit, differences
from lance_assets.training.launch import train
from lance_assets.training.merge import merge
from lance_assets.training.tune import progress, recipe_sha256, watched

WAITS = """
import sys
from pathlib import Path
from lance_assets.training import child
child.ACTS["train"] = None  # never reached: the request is a pipe that nobody writes to
child.main(Path(sys.argv[1]), Path("/dev/null"))
"""


def quiet(_: str) -> None:
    """Progress that nobody reads."""


def test_a_line_of_the_log_tells_step_loss_learning_rate_and_throughput() -> None:
    line = {
        "current_steps": 5,
        "total_steps": 40,
        "loss": 2.5,
        "lr": 3e-3,
        "throughput": 1234.5,
        "remaining_time": "0:07",
    }
    assert progress(line) == "step 5/40, loss 2.5, learning rate 3.00e-03, 1234 tokens/s, 0:07 left"
    assert progress({"current_steps": 40, "total_steps": 40, "remaining_time": "0:00"}) == "step 40/40, 0:00 left"


def test_each_line_is_reported_once_while_training_goes_on(tmp_path: Path) -> None:
    log, said = tmp_path / "trainer_log.jsonl", []
    steps = iter([1, 1, 2, None])

    def wait(seconds: float) -> bool:
        step = next(steps)
        if step:
            log.write_text(f'{{"current_steps": {step}, "total_steps": 2, "remaining_time": "0:00"}}\n')
        return step is None

    watched(wait, tmp_path, said.append)
    assert said == ["step 1/2, 0:00 left", "step 2/2, 0:00 left"]


def test_bad_input_comes_back_from_a_child_and_other_failures_are_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no adapter"):
        Child(quiet)(merge, "base", tmp_path, "qwen2_vl", tmp_path / "merged")
    with pytest.raises(Failed, match="train ended with status 1"):
        Child(quiet)(train, {})


def test_gpus_are_the_first_of_those_that_we_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def visible(gpus: int | None) -> str | None:
        return Child(quiet)._environment(True, gpus).get(VISIBLE)

    monkeypatch.setenv(VISIBLE, "4, 5,GPU-6")
    assert [visible(gpus) for gpus in (None, 0, 2, 3)] == ["4, 5,GPU-6", "", "4,5", "4,5,GPU-6"]
    with pytest.raises(BadInput, match="4 GPUs are asked for, and CUDA_VISIBLE_DEVICES=4, 5,GPU-6 names 3"):
        visible(4)
    monkeypatch.delenv(VISIBLE)
    assert [visible(gpus) for gpus in (None, 2)] == [None, "0,1"]
    with pytest.raises(BadInput, match="-1 GPUs are asked for"):
        visible(-1)


def test_more_gpus_than_there_are_is_bad_input_and_nothing_is_deleted(tmp_path: Path) -> None:
    pytest.importorskip("llamafactory", reason="needs the extra train")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "kept").write_text("")
    with pytest.raises(BadInput, match="99 GPUs are asked for, and "):
        train({"output_dir": str(tmp_path / "model")}, None, 99)
    assert (tmp_path / "model" / "kept").exists()


def test_a_child_ends_when_its_parent_is_gone_however_that_died(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "request")
    child = subprocess.Popen([sys.executable, "-c", WAITS, str(tmp_path / "request")], stdin=subprocess.PIPE)
    assert child.stdin is not None
    assert psutil.Process(child.pid).is_running()
    child.stdin.close()
    assert child.wait(timeout=60) == 1


def test_the_order_of_a_recipes_keys_does_not_matter_and_each_value_does() -> None:
    assert recipe_sha256({"a": 1, "b": 2}) == recipe_sha256({"b": 2, "a": 1}) != recipe_sha256({"a": 1, "b": 3})


def test_what_changed_since_a_training_is_told_by_name() -> None:
    then = {"python": "3.11.7", "machine": "Linux", "threads": "2", "packages": {"torch": "2.14.1", "peft": "1"}}
    now = {**then, "threads": "4", "packages": {"torch": "2.15.0"}}
    assert differences(then, now) == ["peft 1 -> None", "threads 2 -> 4", "torch 2.14.1 -> 2.15.0"]
    assert differences(then, then) == []


def test_a_package_outside_of_a_checkout_has_no_commit(tmp_path: Path) -> None:
    assert code_commit(tmp_path) is None
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "module.py").write_text("")
    assert code_commit(tmp_path / "site-packages") is None


def test_the_model_card_has_a_head_that_hubs_read_and_says_what_was_seen() -> None:
    manifest: dict[str, Any] = {
        "uri": "/data/images.lance",
        "version": 7,
        "tag": "sft-1",
        "filter": "score_x > 3",
        "rows": {"train": 90, "test": 10},
        "row_ids_sha256": {"train": "abc"},
        "scorers": {"score_x": [{"version": "2", "config_hash": "c"}]},
    }
    summary = {"path": "/c/sft-1-0/model", "base": "Qwen/Qwen2.5-VL-3B-Instruct", "loss_first": 3.0, "loss_last": 1.0}
    summary |= {"steps": 40, "seconds": 12.5, "resumed_from": 20}
    environment = {"packages": {"torch": "2.14.1"}, "commit": None, "lance_assets": "0.1.0"}
    card = model_card(manifest, {"stage": "sft", "finetuning_type": "lora"}, environment, summary)
    assert card.startswith("---\nbase_model: Qwen/Qwen2.5-VL-3B-Instruct\nlibrary_name: peft\n")
    for said in ("90 rows", "version 7, tag `sft-1`", "score_x 2", "3.0000 to 1.0000 in 40 steps", "from step 20"):
        assert said in card
