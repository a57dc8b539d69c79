from __future__ import annotations

from typing import Any

import pytest

from lance_assets.errors import BadInput
from lance_assets.training.device import Device, fit

CPU, ONE, MANY, OLD = Device(0, False, 2), Device(1, True, 16), Device(8, True, 64), Device(1, False, 4)


@pytest.mark.parametrize(
    ("device", "precision", "workers"),
    [
        (CPU, (False, False), 0),
        (ONE, (True, False), 8),
        (MANY, (True, False), 7),
        (OLD, (False, True), 3),
        (Device(8, True, 8), (True, False), 0),
    ],
)
def test_precision_and_workers_follow_the_device(device: Device, precision: tuple[bool, bool], workers: int) -> None:
    found = fit({}, device)
    assert (found["bf16"], found["fp16"]) == precision
    assert found["dataloader_num_workers"] == workers
    assert found["dataloader_pin_memory"] is bool(device.gpus)
    assert found.get("dataloader_persistent_workers", False) is (workers > 0)


def test_what_the_recipe_says_stays() -> None:
    recipe: dict[str, Any] = {"fp16": True, "dataloader_num_workers": 1, "dataloader_pin_memory": False}
    found = fit(recipe, ONE)
    assert found.items() >= recipe.items()
    assert "bf16" not in found
    assert found["dataloader_persistent_workers"]


@pytest.mark.parametrize("key", ["bf16", "fp16", "pure_bf16", "quantization_bit"])
def test_what_needs_a_gpu_is_refused_without_one(key: str) -> None:
    with pytest.raises(BadInput, match=f"sets {key}, which needs a GPU"):
        fit({key: 4}, CPU)
    assert not fit({key: False}, CPU)[key]


def test_a_stream_is_read_by_each_rank_and_its_tokens_counted_a_batch_ahead() -> None:
    found = fit({"streaming": True, "per_device_train_batch_size": 4}, CPU)
    assert found["accelerator_config"] == {"dispatch_batches": False}
    assert found["preprocessing_batch_size"] == 4
    assert "accelerator_config" not in fit({}, CPU)
