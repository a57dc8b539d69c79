"""`lance-assets train` and `repro` as a person types them: killed, resumed, with everything moving meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import yaml

from lance_assets.store.cleanup import cleanup
from lance_assets.store.compact import compact
from lance_assets.store.files import DataRoot
from lance_assets.store.selection import pin
from lance_assets.store.table import open_images
from lance_assets.training.resume import STATE, read_curve
from lance_assets_tests.cli.command import RECIPE, SECONDS, lance_assets, start
from lance_assets_tests.labels import SHARP, Labeller
from lance_assets_tests.tables import add_batch

pytest.importorskip("llamafactory", reason="needs the extra train")

STEPS, SAVED = 24, 4


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled table and its training set."""
    home = tmp_path_factory.mktemp("home")
    root = DataRoot(home / "data")
    add_batch(root, "a", 24, fragments=3)
    Labeller(root)("a", SHARP)
    pin(root, "score_sharp >= 0", 0.2, ["score_sharp"])
    recipe = yaml.safe_load(RECIPE.read_text()) | {"max_steps": STEPS, "save_steps": SAVED}
    del recipe["save_strategy"]
    (home / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return home


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [*parent.children(recursive=True), parent]


@pytest.fixture(scope="module")
def killed(home: Path) -> Path:
    """The output folder of a training that was killed after the first step that was saved."""
    log = home / "train.log"
    process = start(log, "train", home / "recipe.yaml", "--home", home)
    until(process, log, lambda: any(home.glob(f"checkpoints/*/model/checkpoint-{SAVED}/{STATE}")))
    for one in (everybody := family(process)):
        one.kill()
    psutil.wait_procs(everybody, timeout=30)
    (output,) = home.glob("checkpoints/sft-*/model")
    assert read_curve(output)[-1]["step"] < STEPS, "it ended before it was killed"
    return output


@pytest.fixture(scope="module")
def resumed(home: Path, killed: Path) -> str:
    """What the same command said the second time; while it trained, labels, rows, fragments and versions changed."""
    root, log = DataRoot(home / "data"), home / "again.log"
    process = start(log, "train", home / "recipe.yaml", "--home", home)
    until(process, log, lambda: "Running training" in log.read_text())
    for one in (everybody := family(process)):
        one.suspend()  # so that it cannot end before all is done
    Labeller(root)("a", replace(SHARP, version="2"))
    add_batch(root, "b", 6, first=100)
    compact(root)
    cleanup(root, timedelta(0))
    for one in everybody:
        one.resume()
    assert process.wait(SECONDS) == 0, log.read_text()
    return log.read_text()


def until(process: subprocess.Popen[bytes], log: Path, condition: Callable[[], bool]) -> None:
    """Waits for the condition; fails where the process ends first."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, f"it never came so far:\n{log.read_text()}"
        time.sleep(0.02)  # between two looks


def test_the_next_training_resumes_and_says_from_which_step(resumed: str, killed: Path) -> None:
    step = json.loads((killed / "lance_assets.json").read_text())["resumed_from"]
    assert step >= SAVED and step % SAVED == 0
    assert f"resuming from step {step}, the last one that a killed training had saved" in resumed
    assert [point["step"] for point in read_curve(killed)] == list(range(1, STEPS + 1))
    assert not list(killed.glob("checkpoint-*"))


def test_training_again_gives_the_same_loss_curve_though_it_was_killed_and_everything_moved(
    home: Path, killed: Path, resumed: str
) -> None:
    assert open_images(DataRoot(home / "data")).count_rows() == 30
    done = lance_assets("repro", killed.parent, "--json", "--home", home)
    assert done.code == 0, "\n".join(done.err)
    found = done.json()
    assert found["same_rows"] and found["same_curve"] and found["same_weights"]
    assert found["same_rows_seen"] is None  # some were shown twice
    assert (found["points"], found["environment"]) == (STEPS, [])
    assert found["largest_difference"] <= 1e-6


def test_a_check_alone_trains_nothing_and_a_lost_row_is_exit_code_1(home: Path, killed: Path, resumed: str) -> None:
    copy = home / "copy"
    shutil.copytree(killed, copy)
    done = lance_assets("repro", copy, "--check", "--home", home)
    assert done.code == 0
    assert done.out[0].startswith("rows      ") and "24 images" in done.out[0]
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"train": "id = 'a/0'"}))
    done = lance_assets("repro", copy, "--check", "--home", home)
    assert done.code == 1
    assert done.out[0].startswith("GONE      the train filter selects 1 rows, and the manifest names ")


def test_beside_the_weights_lies_what_they_were_made_of(killed: Path, resumed: str) -> None:
    digests = json.loads((killed / "digests.json").read_text())
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= set(digests)
    environment = json.loads((killed / "environment.json").read_text())
    assert environment["packages"]["llamafactory"] and environment["threads"]
    card = (killed / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["base_model"] == "tiny"
    assert "resumed from step" in card and "score_sharp 1" in card


def test_a_folder_that_is_no_checkpoint_is_bad_input(tmp_path: Path) -> None:
    done = lance_assets("repro", tmp_path)
    assert (done.code, done.err) == (
        2,
        [f"lance-assets: {tmp_path} is no finished checkpoint of this platform: it has no lance_assets.json"],
    )


def test_training_without_a_training_set_is_bad_input(tmp_path: Path) -> None:
    done = lance_assets("train", "demo", "--home", tmp_path)
    assert done.code == 2
    assert "has no training set yet" in done.err[0]


def test_a_recipe_of_its_own_that_llamafactory_cannot_run_is_exit_code_1(tmp_path: Path) -> None:
    recipe = tmp_path / "my.yaml"
    recipe.write_text("dataset: shots\nstage: no such stage\n")
    done = lance_assets("train", recipe)
    assert (done.code, done.err[-1]) == (
        1,
        "lance-assets: rank 0 of 1 ended with status 1; its output above says why",
    )
