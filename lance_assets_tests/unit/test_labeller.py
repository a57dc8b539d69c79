"""A promoted checkpoint as a scorer, with a tiny model of random weights."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lance_assets.audit.row import audit_row, words
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
from lance_assets.training.checkpoint import Checkpoint, fetched
from lance_assets.training.labeller import current_labeller, labeller_folder
from lance_assets_tests.tables import add_batch
from lance_assets_tests.unit.checkpoints import CAPTIONS, PASSED, UNLEAKED, finished, picture, promoted

pytest.importorskip("transformers", reason="needs the extra train")

NEWS = {"name": "not_worse_than_before", "passed": False, "blocking": False, "why": "loss 2 against 1"}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    one = finished(root / "one", 0, [PASSED, UNLEAKED, NEWS])
    return {"one": one, "two": finished(root / "two", 1, [PASSED, UNLEAKED])}


def named(name: str, config: LabellerConfig) -> CaptionLikelihood:
    scorer = CaptionLikelihood(config)
    scorer.name = name
    return scorer


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


def test_without_a_promotion_the_scorer_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="lance-assets promote --checkpoint"):
        CaptionLikelihood().check(tmp_path)
