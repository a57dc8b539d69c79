from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lance_assets.assets.evaluation import Evaluating
from lance_assets.compute import train
from lance_assets.errors import BadInput
from lance_assets.settings import validated
from lance_assets.training import rows
from lance_assets.training.facts import DEMO, compiled, share_right
from lance_assets.training.heldout import held_out
from lance_assets.training.slices import Measured, by_slice
from lance_assets.training.trust import BLOCKING, CHECKS, checks, leaked, looks
from lance_assets_tests.unit.training_table import COLOURS, manifest_of, write_squares


def test_a_model_that_gains_by_the_right_image_on_most_rows_looks_at_it() -> None:
    assert looks([1.0] * 10, [1.5] * 9 + [0.9]) == {"gain": 0.44, "won": 9, "rows": 10, "reads": True}


def test_a_model_that_ignores_the_image_gains_nothing() -> None:
    assert looks([1.0] * 40, [1.0] * 40) == {"gain": 0.0, "won": 0, "rows": 40, "reads": False}


def test_gains_that_go_either_way_are_no_looking_however_large_one_of_them_is() -> None:
    own, other = [1.0] * 10, [9.0, *[1.1] * 4, *[0.9] * 5]
    assert not looks(own, other)["reads"]


def test_a_held_out_row_that_is_trained_on_is_counted_by_id_and_by_its_image(tmp_path: Path) -> None:
    dataset = write_squares(tmp_path / "images.lance", 16)
    manifest = manifest_of(dataset, 4)
    assert leaked(manifest) == 0
    assert leaked(manifest | {"train": "true", "rows": {"train": 16, "test": 4}}) == 4
    # the very image of a held-out row under another id
    held = dataset.to_table(filter="id = 'row-0000'")["image_sha256"][0].as_py()
    dataset.update({"image_sha256": f"'{held}'"}, "id = 'row-0009'")
    copied = manifest_of(dataset, 4)
    assert leaked(copied) == 1


def test_only_the_rows_that_are_drawn_are_read_and_they_are_the_same_for_the_same_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = manifest_of(write_squares(tmp_path / "images.lance", 40), 30)
    scan, read = rows.scan, []

    def counting(source: rows.LanceRows, columns: Sequence[str], part: rows.Part | None = None) -> Any:
        table, size = scan(source, columns, part)
        read.append((list(columns), table.num_rows))
        return table, size

    monkeypatch.setattr(rows, "scan", counting)
    few, again, all_of_them = (held_out(manifest, limit, 3) for limit in (4, 4, 99))
    assert read[:2] == [(["id"], 30), (["batch", "messages"], 4)]
    assert [one.id for one in few] == [one.id for one in again] == [one.id for one in all_of_them][:4]
    assert len({one.id for one in all_of_them}) == 30
    names = list(COLOURS)
    assert [one.truth for one in few] == [f"The square is {names[int(one.id[4:]) % 4]}." for one in few]
    assert all(one.image.size == (64, 64) and one.batch == "squares" and one.messages for one in few)


def test_merging_takes_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def run(function: Any, base: str, adapter: Path, template: str, into: Path, **said: Any) -> None:
        asked.append(said)
        into.mkdir()

    monkeypatch.setattr(train, "RayTask", lambda report: run)
    model = tmp_path / "sft-1" / "model"
    model.mkdir(parents=True)
    (model / "adapter_config.json").write_text("{}")
    (model / "recipe.json").write_text('{"template": "qwen2_vl"}')
    places = train.Places(tmp_path / "models", tmp_path)
    path, _ = train.merged({"path": str(model), "base": str(tmp_path)}, places, lambda line: None)
    assert path == tmp_path / "sft-1" / "merged" and [said["gpus"] for said in asked] == [0]


def test_how_many_rows_an_evaluation_draws_can_be_said_and_none_is_refused() -> None:
    assert Evaluating().rows == 40 and Evaluating(rows=500).rows == 500
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Evaluating(rows=0)


def result(**said: Any) -> dict[str, Any]:
    return {
        "rows": 40,
        "loss": {"base": 5.0, "tuned": 1.0, "other": 2.0, "previous": None},
        "looks": {"gain": 1.0, "won": 38, "rows": 40, "reads": True},
        "leaked": 0,
        "beats_base": True,
        "regressed": None,
    } | said


@pytest.mark.parametrize(
    ("said", "failing"),
    [
        ({}, []),
        ({"beats_base": False}, ["better_than_base"]),
        ({"leaked": 3}, ["held_out_rows_are_not_trained_on"]),
        ({"looks": {"gain": 0.0, "won": 20, "rows": 40, "reads": False}}, ["reads_the_image"]),
        ({"regressed": True, "loss": {"base": 5.0, "tuned": 1.0, "previous": 0.9}}, ["not_worse_than_before"]),
    ],
)
def test_each_fault_fails_its_own_check(said: dict[str, Any], failing: list[str]) -> None:
    found = checks(result(**said))
    assert [one["name"] for one in found] == list(CHECKS)
    assert [one["name"] for one in found if not one["passed"]] == failing
    assert set(BLOCKING) <= set(CHECKS)


def test_an_evaluation_is_returned_for_the_same_question_about_the_same_weights_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    def run(function: Any, *arguments: Any, **said: Any) -> dict[str, Any]:
        ran.append(arguments[3])
        return {"format": train.FORMAT}

    monkeypatch.setattr(train, "RayTask", lambda report: run)
    weights = tmp_path / "sft-1" / "model" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"one")
    summary, manifest = {"path": str(weights.parent), "base": "none"}, {"rows": {"test": 9}}

    def assess(limit: int, facts: Any) -> None:
        train.assess(manifest, summary, limit, facts, lambda line: None)

    assess(40, {"demo": DEMO})
    assess(40, {"demo": DEMO})
    assert ran == [40]
    assess(20, {"demo": DEMO})
    assess(20, {})
    weights.write_bytes(b"two")
    assess(20, {})
    assess(20, {})
    assert ran == [40, 20, 20, 20]


def test_slices_are_batches_and_thirds_of_length_and_score() -> None:
    rows = [
        Measured(
            f"demo-0a1b2c3d-{i % 2}-9",
            words=i,
            base=5.0,
            tuned=float(i),
            right=i / 11,
            scores={"score_a": 50.0, "score_b": -i},
        )
        for i in range(12)
    ]
    found = by_slice(rows)
    assert [(one["by"], one["rows"]) for one in found if one["by"] == "batch"] == [("batch", 6), ("batch", 6)]
    words = [one for one in found if one["by"] == "words"]
    assert [(one["value"], one["rows"], one["loss_tuned"]) for one in words] == [
        ("low, 0 to 3", 4, 1.5),
        ("middle, 4 to 7", 4, 5.5),
        ("high, 8 to 11", 4, 9.5),
    ]
    assert words[2]["facts_right"] == pytest.approx(9.5 / 11, abs=1e-3)
    assert {one["by"] for one in found} == {"batch", "words", "score_b"}  # score_a is the same everywhere


def test_rows_without_a_score_are_in_no_band_and_few_rows_make_none() -> None:
    few = [Measured("b-0-0-1", words=i, base=1, tuned=1, scores={"score_a": None}) for i in range(8)]
    assert [one["by"] for one in by_slice(few)] == ["batch"]
    assert by_slice(few)[0]["facts_right"] is None


def test_the_share_of_facts_that_are_right_is_told_of_what_the_caption_states() -> None:
    known = compiled(DEMO)
    truth = (
        "The player stands on grass, facing left towards a tree. It is daytime. Health 9, food 7, drink 6, energy 9."
    )
    assert share_right(known, truth, truth) == 1.0
    assert share_right(known, truth, "The player sleeps on sand. It is dusk. Health 9, food 7.") == pytest.approx(2 / 6)
    assert share_right(known, "A horse.", truth) is None


@pytest.mark.parametrize(("expression", "why"), [("(day", "no regular expression"), ("It is day", "needs one group")])
def test_a_fact_that_is_no_expression_with_one_group_is_named_by_source_and_fact(expression: str, why: str) -> None:
    source = {"id": "shop", "spec": "files:a.jsonl", "facts": {"light": expression}}
    with pytest.raises(BadInput, match=rf"sources\.0\.facts: light: .*{why}"):
        validated({"sources": [source]}, "platform.yaml")
