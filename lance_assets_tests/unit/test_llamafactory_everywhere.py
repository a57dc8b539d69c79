"""The same rows wherever LLaMA-Factory runs (the Ray task and the Web UI have tests of their own). About a minute."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import lance
import pyarrow as pa
import pytest
import yaml

from lance_assets.training import ranks
from lance_assets.training.checkpoint import Checkpoint
from lance_assets.training.launch import ENTRY
from lance_assets.training.stats import VARIABLE, read_stats
from lance_assets_tests.ui.listeners import Watch
from lance_assets_tests.unit import training_runs
from lance_assets_tests.unit.training_runs import arguments, every_row_once
from lance_assets_tests.unit.training_table import COLOURS, PROMPT, manifest_of, square, write_squares

pytest.importorskip("llamafactory", reason="needs the extra train")

ROWS, HELD_OUT, BATCH = 40, 8, 4
#: In steps.
EPOCH = {"max_steps": (ROWS - HELD_OUT) // BATCH, "per_device_train_batch_size": BATCH, "logging_steps": 1}
STREAMING = {"streaming": True, "buffer_size": 16}
CAPTIONS = [f"The square is {name}." for name in COLOURS]


class Place(NamedTuple):
    folder: Path
    manifest: dict[str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("everywhere")
    return Place(folder, manifest_of(write_squares(folder / "images.lance", ROWS), HELD_OUT))


def write_pairs(folder: Path) -> str:
    """Eight conversations of two turns, each of which shows an image out of a list."""

    def turns(first: str, second: str) -> list[dict[str, str]]:
        said = [("user", PROMPT), ("assistant", f"It is {first}."), ("user", "<image>And this?"), ("assistant", second)]
        return [{"role": role, "content": content} for role, content in said]

    names = list(COLOURS)
    pairs = [(names[i % 4], names[(i + 1) % 4]) for i in range(8)]
    table = pa.table(
        {
            "messages": [turns(*pair) for pair in pairs],
            "images": pa.array([[square(name, 0) for name in pair] for pair in pairs], pa.list_(pa.large_binary())),
        }
    )
    return lance.write_dataset(table, str(folder / "pairs.lance"), enable_stable_row_ids=True).uri


def mixed(place: Place) -> dict[str, Any]:
    """Three entries at once: squares, conversations about two images, and an ordinary JSON file with image files."""
    args = arguments(place.folder, place.manifest, "mixed", max_steps=7, per_device_train_batch_size=BATCH)
    folder = Path(args["dataset_dir"])
    (folder / "one.png").write_bytes(square("red", 3))
    rows = [{"messages": [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": "Red."}]}] * 8
    (folder / "plain.json").write_text(json.dumps([{**row, "image": ["one.png"]} for row in rows]))
    info = json.loads((folder / "dataset_info.json").read_text())
    lists = {"uri": write_pairs(place.folder), "version": 1}
    info["pairs"] = {"lance": lists, **ENTRY, "columns": {"messages": "messages", "images": "images"}}
    info["plain"] = {"file_name": "plain.json", **ENTRY}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return args | {"dataset": "train,pairs,plain", "max_samples": 12}


@pytest.fixture(scope="module")
def runs(place: Place) -> dict[str, dict[str, Any]]:
    """One process, many trainings: by name, what `train` returned."""
    known = {
        "streaming": arguments(place.folder, place.manifest, "streaming", **EPOCH, **STREAMING),
        "lazy": arguments(place.folder, place.manifest, "lazy", **EPOCH),
        "streaming in workers": arguments(
            place.folder, place.manifest, "workers", **EPOCH, **STREAMING, dataloader_num_workers=2
        ),
        "mixed": mixed(place),
        "held out by LLaMA-Factory": arguments(
            place.folder, place.manifest, "val", max_steps=6, per_device_train_batch_size=BATCH, eval_strategy="no"
        )
        | {"val_size": 8},
        "packed": arguments(
            place.folder, place.manifest, "packed", max_steps=2, per_device_train_batch_size=2, packing=True
        ),
        "pre-training": arguments(
            place.folder, place.manifest, "pt", stage="pt", cutoff_len=16, max_steps=2, per_device_train_batch_size=2
        ),
        "adapter": arguments(
            place.folder, place.manifest, "lora", finetuning_type="lora", max_steps=2, per_device_train_batch_size=2
        ),
    }
    return dict(zip(known, training_runs.trained(place.folder, list(known.values()), CAPTIONS)[0], strict=True))


@pytest.mark.parametrize("how", ["lazy", "streaming", "streaming in workers"])
def test_an_epoch_is_every_pinned_row_once(runs: dict[str, dict[str, Any]], place: Place, how: str) -> None:
    assert runs[how]["reader"]["seen"] == {"train": every_row_once(place.manifest)}
    assert runs[how]["steps"] == EPOCH["max_steps"]


def test_a_stream_reads_each_image_once_though_llamafactory_asks_twice(runs: dict[str, dict[str, Any]]) -> None:
    # the first of all these trainings, so nothing was in memory yet
    assert 0 < runs["streaming"]["reader"]["images_fetched"] <= ROWS


def test_images_in_lists_and_turns_mix_with_an_ordinary_data_set_and_max_samples_counts_for_each(
    runs: dict[str, dict[str, Any]],
) -> None:
    seen = runs["mixed"]["reader"]["seen"]
    # and 8 rows of the file, which nobody counts: 7 steps of 4 are one epoch
    assert {name: one["rows"] for name, one in seen.items()} == {"train": 12, "pairs": 8}


def test_rows_that_llamafactory_holds_out_are_not_trained_on(runs: dict[str, dict[str, Any]]) -> None:
    assert runs["held out by LLaMA-Factory"]["reader"]["seen"]["train"]["rows"] == ROWS - HELD_OUT - 8


def test_packed_rows_are_counted_one_by_one(runs: dict[str, dict[str, Any]]) -> None:
    seen = runs["packed"]["reader"]["seen"]["train"]["rows"]
    assert seen > 2 * 2 * 2


def test_pre_training_reads_the_answers_and_no_image(runs: dict[str, dict[str, Any]]) -> None:
    reader = runs["pre-training"]["reader"]
    assert (reader["columns"], reader["images_fetched"]) == (["caption"], 0)


def test_an_adapter_is_stored_in_safetensors_and_loads_on_its_base(runs: dict[str, dict[str, Any]]) -> None:
    folder = Path(runs["adapter"]["checkpoint"])
    assert (folder / "adapter_model.safetensors").exists()
    assert not [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("checkpoint-*")]
    assert any("lora" in name for name, _ in Checkpoint(folder).model.named_parameters())


def test_the_command_line_reads_lance_in_forked_workers_through_the_hook(
    runs: dict[str, dict[str, Any]], place: Place
) -> None:
    args = arguments(place.folder, place.manifest, "cli", **EPOCH, do_eval=True, dataloader_num_workers=2)
    path = place.folder / "cli.yaml"
    path.write_text(yaml.safe_dump(args))
    record = place.folder / "cli.jsonl"
    command = [sys.executable, "-m", "llamafactory.cli", "train", str(path)]
    training_runs.run(command, place.folder, **{VARIABLE: str(record)})
    seen = read_stats(record)["seen"]
    assert seen["train"] == every_row_once(place.manifest)
    assert seen["eval"]["rows"] == HELD_OUT
    results = json.loads((place.folder / "cli" / "model" / "all_results.json").read_text())
    assert results["eval_loss"] > 0


def test_two_ranks_share_the_rows_and_are_reached_from_this_machine_alone(
    runs: dict[str, dict[str, Any]], place: Place
) -> None:
    halves = {**EPOCH, "per_device_train_batch_size": BATCH // 2, "ddp_timeout": 60}
    args = [arguments(place.folder, place.manifest, "ranks", **halves)]
    with Watch(os.getpid()) as watch:
        [result], _ = training_runs.trained(place.folder, args, processes=2)
    assert result["reader"]["seen"] == {"train": every_row_once(place.manifest)}
    assert result["steps"] == EPOCH["max_steps"]
    assert any(ranks.__name__ in command for command in watch.commands), "the ranks were never seen"
    assert watch.seen and watch.elsewhere() == []


@pytest.mark.parametrize("processes", [1, 2])
def test_a_recipe_with_its_own_data_set_is_trained_by_processes_that_this_machine_alone_reaches(
    runs: dict[str, dict[str, Any]], place: Place, processes: int
) -> None:
    said = {**EPOCH, "per_device_train_batch_size": BATCH // processes, "ddp_timeout": 60}
    path = place.folder / f"own-{processes}.yaml"
    path.write_text(yaml.safe_dump(arguments(place.folder, place.manifest, path.stem, **said)))
    record = path.with_suffix(".jsonl")
    command = [str(Path(sys.executable).with_name("lance-assets")), "train", str(path)]
    forced = {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": str(processes)} if processes > 1 else {}
    with Watch(os.getpid()) as watch:
        training_runs.run(command, place.folder, **{VARIABLE: str(record)}, **forced)
    assert read_stats(record)["seen"] == {"train": every_row_once(place.manifest)}
    assert any(ranks.__name__ in command for command in watch.commands), "the processes were never seen"
    assert watch.elsewhere() == []
    assert watch.seen or processes == 1
