"""Which checkpoints become the labeller, and what becomes of an adapter, with a tiny model of random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lance_assets.cli.main import main
from lance_assets.cli.serve import whole_model
from lance_assets.compute.labeller import CaptionLikelihood, LabellerConfig
from lance_assets.errors import BadInput
from lance_assets.scoring.api import Item
from lance_assets.settings import Home
from lance_assets.training.checkpoint import trained_pixels
from lance_assets.training.evaluate import FORMAT
from lance_assets.training.folder import model_digest
from lance_assets.training.labeller import current_labeller, labeller_folder, promote_checkpoint, promotion_of
from lance_assets_tests.unit.checkpoints import PASSED, UNLEAKED, adapter, evaluated, picture

pytest.importorskip("transformers", reason="needs the extra train")

FAILED = PASSED | {"passed": False, "why": "loss 2 against 1"}


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
    tmp_path: Path, checks: list[dict[str, Any]] | None, reason: str, why: str
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
