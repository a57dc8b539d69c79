"""The installed LLaMA-Factory against what the wraps rely on; a failure is a sentence that names what moved."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from lance_assets.training import contract

pytest.importorskip("llamafactory", reason="needs the extra train")


def test_every_function_that_is_wrapped_is_where_it_was() -> None:
    assert contract.moved() == []


@pytest.mark.parametrize("wrapped", contract.CONTRACT, ids=str)
def test_a_wrap_that_moves_is_told_in_one_sentence(wrapped: contract.Wrapped, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = importlib.import_module(f"llamafactory.{wrapped.module}")
    owner = getattr(module, wrapped.owner) if wrapped.owner else module
    monkeypatch.setattr(owner, wrapped.name, lambda something, else_: None)
    (sentence,) = contract.moved()
    assert str(wrapped) in sentence
    assert sentence.endswith(f"which lance_assets wraps so that {wrapped.purpose}")


def test_a_field_that_goes_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    parser: Any = importlib.import_module("llamafactory.data.parser")
    monkeypatch.setattr(parser, "DatasetAttr", lambda load_from, dataset_name: None)
    (sentence,) = contract.moved()
    assert sentence.startswith("llamafactory.data.parser.DatasetAttr has no formatting, images")


def test_the_upstream_loader_still_passes_what_it_does_not_know_to_one_function() -> None:
    """The wrap replaces module attributes, so upstream must look them up there."""
    loader: Any = importlib.import_module("llamafactory.data.loader")
    names = loader._get_merged_dataset.__code__.co_names
    assert {"get_dataset_list", "_load_single_dataset"} <= set(names), "llamafactory.data.loader calls others now"


def test_the_upstream_collator_takes_images_out_of_the_features() -> None:
    collator: Any = importlib.import_module("llamafactory.data.collator")
    code = collator.MultiModalDataCollatorForSeq2Seq.__call__
    constants = getattr(code, "__wrapped__", code).__code__.co_consts
    assert "images" in constants, "llamafactory.data.collator knows features' images by another name now"
