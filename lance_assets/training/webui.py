"""LLaMA-Factory's own Web UI on the platform's training sets: its working folder, and its environment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lance_assets.training.device import find_device, fit
from lance_assets.training.launch import dataset_entry, task_environment
from lance_assets.training.manifest import check_manifest, side

#: Folders and files that the Web UI looks for where it is started.
DATA, CACHE, CONFIGS = "data", "llamaboard_cache", "llamaboard_config"
CUSTOM = "Custom"
#: Keys of a recipe that have a field of their own in the UI, by the field; the others go into its `extra_args`.
FIELDS = {
    "finetuning_type": "top.finetuning_type",
    "template": "top.template",
    "per_device_train_batch_size": "train.batch_size",
    **{
        name: f"train.{name}"
        for name in (
            "learning_rate",
            "num_train_epochs",
            "gradient_accumulation_steps",
            "cutoff_len",
            "lr_scheduler_type",
            "warmup_steps",
            "logging_steps",
            "save_steps",
            "lora_rank",
            "lora_alpha",
            "freeze_vision_tower",
            "freeze_multi_modal_projector",
            "image_max_pixels",
            "image_min_pixels",
        )
    },
}
#: Set by the UI itself.
OWN = {"stage", "do_train", "bf16", "fp16", "plot_loss", "report_to", "model_name_or_path", "overwrite_output_dir"}
TEXTS = {"learning_rate", "num_train_epochs", "image_max_pixels", "image_min_pixels"}


def prepare_folder(folder: Path, manifests: Sequence[dict[str, Any]], recipe: dict[str, Any], model: Path) -> list[str]:
    """Registers both sides of each training set and returns the entries' names; offers the recipe as a saved
    configuration ("Load arguments"), and the model, if it is there, as the one chosen at first.

    What people chose in the UI before stays. Raises BadInput.
    """
    info = {
        f"{manifest['tag']}-{name}": dataset_entry(side(check_manifest(manifest), name))
        for manifest in manifests
        for name in ("train", "test")
        if manifest["rows"].get(name)
    }
    for sub in (DATA, CACHE, CONFIGS):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    (folder / DATA / "dataset_info.json").write_text(json.dumps(info, indent=2) + "\n")
    (folder / CONFIGS / "recipe.yaml").write_text(yaml.safe_dump(configuration(recipe)))
    chosen = folder / CACHE / "user_config.yaml"
    if model.exists() and not chosen.exists():
        said = {"lang": "en", "last_model": CUSTOM, "path_dict": {CUSTOM: str(model)}, "cache_dir": None}
        chosen.write_text(yaml.safe_dump(said))
    return list(info)


def configuration(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe, made fit for this machine, as the UI saves its fields. Raises BadInput."""
    fitted = fit(recipe, find_device())
    fields = {FIELDS[key]: str(value) if key in TEXTS else value for key, value in fitted.items() if key in FIELDS}
    extra = {key: value for key, value in fitted.items() if key not in {*FIELDS, *OWN}}
    precision = next((name for name in ("pure_bf16", "bf16", "fp16") if fitted.get(name)), "fp32")
    return {**fields, "train.compute_type": precision, "train.extra_args": json.dumps(extra)}


def ui_environment(port: int) -> dict[str, str]:
    """The environment of the UI and of the trainings that it starts: on loopback, reporting nothing, with the hook."""
    return {
        **task_environment(offline=False),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SHARE": "0",  # whatever we inherit: 1 opens a public tunnel
        "BROWSER": "/bin/true",  # it opens one by itself
        # it starts llamafactory-cli by name
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
