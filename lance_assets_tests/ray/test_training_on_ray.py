"""The training assets on a real Ray: an adapter on exactly the pinned rows, merged into a model of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from lance_assets.assets.checkpoint import qwen_vl_checkpoint
from lance_assets.assets.merged_model import merged_model
from lance_assets.compute.cluster import RayCluster
from lance_assets.compute.train import Places, latest_checkpoint
from lance_assets.settings import Home, Platform
from lance_assets.store.files import DataRoot
from lance_assets.store.selection import pin
from lance_assets.training.resume import STATE
from lance_assets_tests.tables import add_batch
from lance_assets_tests.unit.training_runs import every_row_once

pytest.importorskip("llamafactory", reason="needs the extra train")

EPOCH = {"max_steps": -1, "num_train_epochs": 1, "per_device_train_batch_size": 4, "logging_steps": 1}
Materialize = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(Home(tmp_path, tmp_path / "data"))


@pytest.fixture
def materialize(platform: Platform, ray_address: str) -> Materialize:
    """Both assets, with a configuration of the checkpoint."""

    def run(**config: Any) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [qwen_vl_checkpoint, merged_model],
            resources={"platform": platform, "ray_cluster": RayCluster(address=ray_address)},
            run_config={"ops": {"qwen_vl_checkpoint": {"config": {"recipe": "tiny-lora", **config}}}},
            raise_on_error=False,
        )

    return run


def failure(result: dg.ExecuteInProcessResult) -> str:
    return str(result.failure_data_for_node("qwen_vl_checkpoint"))


def test_an_adapter_sees_the_pinned_rows_and_becomes_a_model_of_its_own(
    platform: Platform, materialize: Materialize
) -> None:
    root = DataRoot(platform.home.data)
    add_batch(root, "a", 20)
    manifest = pin(root, None, 0.2, [])
    done = materialize(overrides=EPOCH)
    assert done.success
    summary = latest_checkpoint(Places(platform.home.models, platform.home.checkpoints))
    assert summary is not None
    assert summary["reader"]["seen"] == {"train": every_row_once(manifest)}
    assert {"adapter_model.safetensors", "README.md"} <= {path.name for path in Path(summary["path"]).iterdir()}
    [made] = done.asset_materializations_for_node("merged_model")
    digests = made.metadata["digests"].value
    assert isinstance(digests, dict) and {"model.safetensors", "config.json", "tokenizer.json"} <= set(digests)
    assert made.metadata["merged"].value is True

    assert "no key max_step; max_steps?" in failure(materialize(overrides={"max_step": 3}))
    assert "9 GPUs are asked for, and no node" in failure(materialize(overrides={**EPOCH, "seed": 8}, gpus=9))


def test_a_training_whose_process_is_killed_goes_on_when_it_is_materialized_again(
    platform: Platform, materialize: Materialize
) -> None:
    root = DataRoot(platform.home.data)
    add_batch(root, "a", 20)
    pin(root, None, 0.2, [])
    steps = {"max_steps": 24, "save_steps": 4, "per_device_train_batch_size": 4, "logging_steps": 1}
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(materialize, overrides=steps)
        while not list(platform.home.checkpoints.glob(f"*/model/checkpoint-4/{STATE}")):
            assert not pending.done(), pending.result()
            time.sleep(0.02)  # between two looks
        trainer(platform.home.checkpoints).kill()
        assert not pending.result(120).success
    done = materialize(overrides=steps)
    assert done.success
    [made] = done.asset_materializations_for_node("qwen_vl_checkpoint")
    step = made.metadata["resumed_from_step"].value
    assert isinstance(step, int) and step >= 4 and step % 4 == 0
    assert made.metadata["steps"].value == 24


def trainer(checkpoints: Path) -> psutil.Process:
    """The process that holds the lock of the one training in this folder."""
    [lock] = checkpoints.glob("*/locks/training.lock")
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found += [process] if str(lock) in {file.path for file in process.open_files()} else []
    [only] = found
    return only
