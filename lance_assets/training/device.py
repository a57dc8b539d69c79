"""What a recipe leaves open, chosen for the machine: precision, data-loader workers, pinned memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import util
from typing import Any, TypedDict

from lance_assets.errors import BadInput

#: More do not help: an image is fetched and decoded in milliseconds.
MOST_WORKERS = 8
MIXED = ("bf16", "fp16", "pure_bf16")


@dataclass(frozen=True)
class Device:
    """GPUs of this process and whether they know bfloat16; cores of the machine; the name of the (first) GPU."""

    gpus: int
    bf16: bool
    cores: int
    name: str = "cpu"


class Chosen(TypedDict):
    """What a training ran on and with, beyond its recipe: kept so that it can be repeated. `arguments` are those that
    `fit` filled in."""

    device: str
    gpus: int
    processes: int
    arguments: dict[str, Any]


def count_gpus() -> int:
    """GPUs that this process may use, asked without taking any of their memory. Imports torch."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def find_device() -> Device:
    """Imports torch."""
    import torch

    gpus = count_gpus()
    cores = len(os.sched_getaffinity(0))
    if not gpus:
        return Device(0, False, cores)
    return Device(gpus, torch.cuda.is_bf16_supported(including_emulation=False), cores, torch.cuda.get_device_name(0))


def fit(recipe: dict[str, Any], device: Device) -> dict[str, Any]:
    """The recipe with what it leaves open filled in; what it says stays.

    On a GPU: bf16, else fp16, and so many data-loader workers a GPU that one core a GPU is left. On a CPU: fp32, no
    workers (they would take the cores from the model), no pinned memory. Streaming: each rank reads its own rows, and
    tokens are counted a few rows ahead, not a thousand. Raises BadInput for what the machine cannot do.
    """
    if device.gpus == 0:
        chosen: dict[str, Any] = {"bf16": False, "fp16": False, "dataloader_num_workers": 0}
        chosen["dataloader_pin_memory"] = False
        for key in (*MIXED, "quantization_bit"):
            if recipe.get(key):
                raise BadInput(f"the recipe sets {key}, which needs a GPU, and there is none here")
    else:
        own = any(recipe.get(key) is not None for key in MIXED)
        workers = max(0, min(MOST_WORKERS, device.cores // device.gpus - 1))
        chosen = {} if own else {"bf16": device.bf16, "fp16": not device.bf16}
        chosen |= {"dataloader_num_workers": workers, "dataloader_pin_memory": True}
        if recipe.get("quantization_bit") and util.find_spec("bitsandbytes") is None:
            raise BadInput("the recipe sets quantization_bit, which needs the package bitsandbytes: pip install it")
    if recipe.get("dataloader_num_workers", chosen["dataloader_num_workers"]):
        # each new worker starts a reader process of its own, so workers stay from epoch to epoch
        chosen["dataloader_persistent_workers"] = True
    chosen["include_num_input_tokens_seen"] = True  # LLaMA-Factory logs tokens a second then
    if recipe.get("streaming"):
        chosen["accelerator_config"] = {"dispatch_batches": False}
        chosen["preprocessing_batch_size"] = recipe.get("per_device_train_batch_size", 8)
        chosen["buffer_size"] = 2048
    return chosen | recipe
