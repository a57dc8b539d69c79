"""A model of its own out of a base and the adapter that was trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lance_assets.errors import BadInput, MissingExtra

ADAPTER = "adapter_config.json"
#: Beside the folder of an adapter: what it gives, merged into its base.
MERGED = "merged"


def model_of(folder: Path) -> Path:
    """The model that a checkpoint is: its folder, or, of an adapter, the merged one beside it, which may not be there
    yet."""
    return folder.with_name(MERGED) if (folder / ADAPTER).exists() else folder


def merge(base: str, adapter: Path, template: str, into: Path) -> str:
    """Writes the merged model in safetensors, with tokenizer and processor, into a new folder, and returns it.

    Runs in this process, which should be a fresh one. Raises BadInput where the checkpoint is no adapter, MissingExtra.
    """
    if not (adapter / ADAPTER).exists():
        raise BadInput(f"{adapter} is no adapter: a model that was trained in full is whole already")
    try:
        from llamafactory.train.tuner import export_model
    except ImportError as error:
        raise MissingExtra("llamafactory", "train", "merging an adapter") from error
    arguments: dict[str, Any] = {
        "model_name_or_path": base,
        "adapter_name_or_path": str(adapter),
        "template": template,
        "finetuning_type": "lora",
        "export_dir": str(into),
        "export_size": 5,
        "export_device": "cpu",
    }
    export_model(arguments)
    return str(into)
