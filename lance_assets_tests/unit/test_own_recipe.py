"""What is refused before a recipe with a data set of its own is started."""

from pathlib import Path

import pytest

from lance_assets.errors import BadInput
from lance_assets.training.own_recipe import run_own

pytest.importorskip("torch", reason="needs the extra train")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text("dataset: shots\n")
    return path


def test_a_file_that_llamafactory_would_take_for_flags_is_refused(recipe: Path) -> None:
    with pytest.raises(BadInput, match=r"my\.recipe: LLaMA-Factory takes a recipe only from .*\.yaml or \.yml"):
        run_own(recipe.rename(recipe.with_suffix(".recipe")))


def test_more_gpus_than_can_be_used_are_refused(recipe: Path) -> None:
    with pytest.raises(BadInput, match=r"99 GPUs are asked for, and [0-9]+ can be used here"):
        run_own(recipe, gpus=99)


@pytest.mark.parametrize(("variable", "value"), [("NPROC_PER_NODE", "0"), ("NPROC_PER_NODE", "gpu"), ("NNODES", "x")])
def test_a_number_of_processes_that_is_none_is_refused_by_its_variable(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("FORCE_TORCHRUN", "1")
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadInput, match=f"{variable} must be a whole number, 1 or more, not '{value}'"):
        run_own(recipe)
