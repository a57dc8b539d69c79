"""A promoted checkpoint as a scorer, with a tiny model of random weights."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest
from PIL import Image

from lance_assets.audit.row import audit_row, words
from lance_assets.cli.main import main
from lance_assets.cli.serve import whole_model
from lance_assets.compute.fragment import Tools
from lance_assets.compute.in_process import in_process
from lance_assets.compute.label import label
from lance_assets.compute.labeller import CaptionLikelihood, DraftedCaption, LabellerConfig
from lance_assets.compute.scorers import labelled_by
from lance_assets.errors import BadInput
from lance_assets.scoring.api import Item, ScoreFailure
from lance_assets.settings import Home, Platform
from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images
from lance_assets.training.checkpoint import Checkpoint, fetched, trained_pixels
from lance_assets.training.evaluate import FORMAT
from lance_assets.training.folder import model_digest
from lance_assets.training.labeller import current_labeller, labeller_folder, promote_checkpoint, promotion_of
from lance_assets_tests.tables import add_batch

pytest.importorskip("transformers", reason="needs the extra train")

CAPTIONS = ["The player stands on grass.", "It is night. Health 4.", "A cow to the left."]
PASSED = {"name": "better_than_base", "passed": True, "blocking": True, "why": "loss 1 against 2"}
UNLEAKED = PASSED | {"name": "held_out_rows_are_not_trained_on", "why": "0 held-out rows"}
FAILED = PASSED | {"passed": False, "why": "loss 2 against 1"}
NEWS = {"name": "not_worse_than_before", "passed": False, "blocking": False, "why": "loss 2 against 1"}


def picture(shade: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 40, 90)).save(sink, "PNG")
    return sink.getvalue()


def finished(folder: Path, seed: int, checks: list[dict[str, Any]] | None) -> Path:
    """What a training and an evaluation leave."""
    from lance_assets.training.tiny import build_tiny

    model = build_tiny(folder / "model", CAPTIONS, seed)
    (model / "lance_assets.json").write_text(json.dumps({"path": str(model), "tag": "sft-1"}))
    (model / "train_args.json").write_text(json.dumps({"image_min_pixels": 20736, "image_max_pixels": 20736}))
    if checks is not None:
        evaluated(model, checks)
    return folder


def evaluated(model: Path, checks: list[dict[str, Any]], **said: Any) -> None:
    found = {"format": FORMAT, "asked": {"model": model_digest(model)}, "checks": checks} | said
    (model / "evaluation.json").write_text(json.dumps(found))


def adapter(folder: Path, checks: list[dict[str, Any]]) -> Path:
    """What a training of an adapter and its evaluation leave, merged already."""
    finished(folder, 3, None)
    (folder / "model").rename(folder / "merged")
    (folder / "model").mkdir()
    for name in ("lance_assets.json", "train_args.json"):
        (folder / "merged" / name).rename(folder / "model" / name)
    (folder / "model" / "adapter_config.json").write_text("{}")
    evaluated(folder / "model", checks)
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    one = finished(root / "one", 0, [PASSED, UNLEAKED, NEWS])
    return {"one": one, "two": finished(root / "two", 1, [PASSED, UNLEAKED])}


def named(name: str, config: LabellerConfig) -> CaptionLikelihood:
    scorer = CaptionLikelihood(config)
    scorer.name = name
    return scorer


def promoted(checkpoint: Path, models: Path) -> LabellerConfig:
    return LabellerConfig(**{"model_digest": promote_checkpoint(checkpoint, models, "first", "me")["model_digest"]})


def test_likelihood_is_the_inverse_of_the_perplexity_that_transformers_computes(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    scorer = CaptionLikelihood(promoted(checkpoints["one"], tmp_path))
    scorer.load(tmp_path)
    items = [Item(str(at), caption, data=picture(50 * at)) for at, caption in enumerate(CAPTIONS)]
    together = scorer.score(items)
    checkpoint: Any = scorer._checkpoint
    for item, value in zip(items, together, strict=True):
        example = scorer._example(item)
        assert not isinstance(example, ScoreFailure)
        inputs = checkpoint._inputs([example], [example.image], with_answers=True)
        perplexity = math.exp(checkpoint.model(**inputs).loss.item())
        assert value == pytest.approx(100 / perplexity, rel=1e-3)


def test_logits_are_computed_for_answers_alone(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    scorer = CaptionLikelihood(promoted(checkpoints["one"], tmp_path))
    scorer.load(tmp_path)
    checkpoint: Any = scorer._checkpoint
    shapes: list[Any] = []
    checkpoint.model.register_forward_hook(lambda model, given, output: shapes.append(output.logits.shape))
    examples: Any = [scorer._example(Item(text, text, data=picture(9))) for text in CAPTIONS]
    tokens = [count for _, count in checkpoint.losses(examples)]
    assert [tuple(shape[:2]) for shape in shapes] == [(3, max(tokens) + 1)] and min(tokens) > 1


def test_a_hub_id_is_loaded_from_modelscope_where_that_is_the_hub(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK itself is tested in processes of its own, and stays out of this one."""
    asked: list[str] = []

    def stub_of_snapshot_download(model_id: str, revision: str) -> str:
        asked.append(model_id)
        return str(checkpoints["one"] / "model")

    stub = ModuleType("modelscope")
    monkeypatch.setattr(stub, "snapshot_download", stub_of_snapshot_download, raising=False)
    monkeypatch.setitem(sys.modules, "modelscope", stub)
    monkeypatch.setenv("USE_MODELSCOPE_HUB", "1")
    assert Checkpoint(Path("owner/tiny-vl")).model.num_parameters() > 0
    assert asked == ["owner/tiny-vl"]
    monkeypatch.setenv("USE_MODELSCOPE_HUB", "0")
    assert fetched("owner/tiny-vl") == "owner/tiny-vl" and asked == ["owner/tiny-vl"]


def test_a_row_without_caption_is_refused_by_one_and_captioned_by_the_other(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    config = promoted(checkpoints["one"], tmp_path)
    items = [Item("a", "It is night.", data=picture(9)), Item("b", "", caption_missing=True, data=picture(9))]
    likelihood, captions = CaptionLikelihood(config), DraftedCaption(config)
    for scorer in (likelihood, captions):
        scorer.load(tmp_path)
    known, refused = likelihood.score(items)
    assert isinstance(known, float) and isinstance(refused, ScoreFailure) and "no caption" in str(refused)
    refused, text = captions.score(items)
    assert isinstance(text, str) and isinstance(refused, ScoreFailure) and "of its own" in str(refused)


def test_a_picture_that_cannot_be_read_fails_alone(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    scorer = CaptionLikelihood(promoted(checkpoints["one"], tmp_path))
    scorer.load(tmp_path)
    bad, good = scorer.score([Item("a", "Night.", data=b"no image"), Item("b", "Night.", data=picture(3))])
    assert isinstance(bad, ScoreFailure) and isinstance(good, float)


def test_another_promoted_checkpoint_makes_exactly_its_cells_stale(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    root, models = DataRoot(tmp_path / "data"), tmp_path / "models"
    add_batch(root, "a", 3)

    def calls(config: LabellerConfig) -> tuple[int, list[str]]:
        scorers = {"caption_likelihood": CaptionLikelihood(config)}
        [done] = label(root, ["a"], scorers, "run", lambda line: None, Tools(models), runner=in_process)
        assert done.failure is None, done.failure
        return done.calls, done.reasons

    first = promoted(checkpoints["one"], models)
    assert calls(first) == (3, ["new"])
    assert calls(promoted(checkpoints["one"], models)) == (0, [])
    second = promoted(checkpoints["two"], models)
    assert current_labeller(models) == {"model_digest": second.model_digest}
    assert calls(second) == (3, ["config"])
    assert labeller_folder(models, str(first.model_digest)).exists()  # it explains labels that were made by it


def test_a_row_names_the_checkpoint_that_made_its_cell_after_another_was_promoted(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    home = Home(tmp_path, tmp_path / "data")
    root, models = DataRoot(home.data), home.models
    add_batch(root, "a", 1)
    own = LabellerConfig(**{"model_digest": promoted(checkpoints["one"], models).model_digest, "prompt": "<image>Say."})
    for name, config in {"caption_likelihood": promoted(checkpoints["one"], models), "mine": own}.items():
        [done] = label(root, ["a"], {name: named(name, config)}, "run", print, Tools(models), runner=in_process)
        assert done.failure is None
    promoted(checkpoints["two"], models)
    entry = {
        "name": "mine",
        "uses": "lance_assets.compute.labeller:CaptionLikelihood",
        "config": {"prompt": own.prompt},
    }
    home.platform_yaml.write_text(json.dumps({"scorers": [entry]}))
    dataset = open_images(root)
    found = audit_row(root, dataset.to_table(columns=["id"])["id"][0].as_py(), (), labelled_by(Platform(home)))
    path = str(checkpoints["one"] / "model")
    assert {name: one["made"]["checkpoint"] for name, one in found["scores"].items()} == {
        "score_caption_likelihood": path,
        "score_mine": path,
    }
    assert f"{path}: score_mine" in "\n".join(words(found))


@pytest.mark.parametrize(
    ("checks", "reason", "why"),
    [
        (None, "good", "was not evaluated"),
        ([FAILED, UNLEAKED], "good", "failed better_than_base: loss 2 against 1"),
        ([FAILED | {"blocking": False}, UNLEAKED], "good", "failed better_than_base"),
        ([PASSED], "good", "does not say whether it passes held_out_rows_are_not_trained_on"),
        ([], "good", "does not say whether it passes better_than_base"),
        ([PASSED, UNLEAKED], " ", "a promotion needs a reason"),
    ],
)
def test_what_has_not_passed_its_evaluation_is_not_promoted(
    checkpoints: dict[str, Path], tmp_path: Path, checks: list[dict[str, Any]] | None, reason: str, why: str
) -> None:
    model = tmp_path / "other" / "model"
    model.mkdir(parents=True)
    (model / "lance_assets.json").write_text(json.dumps({"tag": "sft-1"}))
    if checks is not None:
        evaluated(model, checks)
    with pytest.raises(BadInput, match=why):
        promote_checkpoint(tmp_path / "other", tmp_path / "models", reason, "me")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("said", [{"format": FORMAT - 1}, {"asked": {"model": "of other weights"}}])
def test_an_evaluation_of_an_earlier_release_or_of_other_weights_promotes_nothing(
    tmp_path: Path, said: dict[str, Any]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "lance_assets.json").write_text('{"tag": "sft-1"}')
    evaluated(tmp_path / "model", [PASSED, UNLEAKED], **said)
    with pytest.raises(BadInput, match="earlier release or other weights"):
        promote_checkpoint(tmp_path, tmp_path / "models", "good", "me")


def test_an_adapter_is_not_promoted_before_it_is_merged(tmp_path: Path) -> None:
    adapter(tmp_path, [PASSED, UNLEAKED])
    (tmp_path / "merged").rename(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="is an adapter"):
        promote_checkpoint(tmp_path, tmp_path / "models", "good", "me")


def test_an_adapter_is_promoted_as_the_model_that_it_was_merged_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LANCE_ASSETS_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "set by the command, taken back after the test")
    home = Home(tmp_path / "home", tmp_path / "home" / "data")
    home.create()
    checkpoint = adapter(home.checkpoints / "sft-1-lora", [PASSED, UNLEAKED])
    command = ["promote", "--checkpoint", str(checkpoint), "--reason", "good", "--by", "ann", "--home", str(home.root)]
    assert main(command) == 0 and "by ann" in capsys.readouterr().out
    digest = str(model_digest(checkpoint / "merged"))
    assert current_labeller(home.models) == {"model_digest": digest}
    assert promotion_of(home.models, digest)["checkpoint"] == str(checkpoint / "model")
    folder = labeller_folder(home.models, digest)
    assert model_digest(folder) == digest
    assert trained_pixels(folder) == trained_pixels(checkpoint / "merged") == (20736, 20736)
    assert json.loads((folder / "evaluation.json").read_text())["checks"] == [PASSED, UNLEAKED]
    scorer = CaptionLikelihood(LabellerConfig(**{"model_digest": digest}))
    scorer.load(home.models)
    [value] = scorer.score([Item("a", "It is night.", data=picture(9))])
    assert isinstance(value, float)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        told = instance.get_latest_materialization_event(dg.AssetKey("labeller_checkpoint"))
    assert told is not None


def test_what_is_served_of_an_adapter_is_its_merged_model(tmp_path: Path) -> None:
    adapter(tmp_path, [PASSED])
    assert whole_model(tmp_path) == whole_model(tmp_path / "merged") == tmp_path / "merged"
    (tmp_path / "merged" / "config.json").unlink()
    with pytest.raises(BadInput, match="no whole model"):
        whole_model(tmp_path)


def test_without_a_promotion_the_scorer_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="lance-assets promote --checkpoint"):
        CaptionLikelihood().check(tmp_path)
