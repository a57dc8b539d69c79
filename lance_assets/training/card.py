"""The model card of a checkpoint, as the hubs show it: Markdown with a YAML head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SHOWN = (
    "stage",
    "finetuning_type",
    "lora_rank",
    "quantization_bit",
    "learning_rate",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "max_steps",
    "num_train_epochs",
    "seed",
)


def model_card(
    manifest: dict[str, Any], recipe: dict[str, Any], environment: dict[str, Any], summary: dict[str, Any]
) -> str:
    """What the model is, the rows it saw, how it was trained, and how to do it again."""
    base = Path(summary["base"]).name if "/" in summary["base"] and Path(summary["base"]).exists() else summary["base"]
    head = {"base_model": base, "library_name": "transformers", "tags": ["lance_assets", "llama-factory"]}
    if recipe.get("finetuning_type") == "lora":
        head["library_name"] = "peft"
    rows, scorers = manifest["rows"], manifest.get("scorers", {})
    resumed = summary.get("resumed_from")
    lines = [
        "---",
        yaml.safe_dump(head, sort_keys=False).strip(),
        "---",
        "",
        f"# {Path(summary['path']).parent.name}",
        "",
        f"{base}, trained by LLaMA-Factory on {rows['train']} rows of a Lance table; {rows.get('test', 0)} more are "
        "held out and were not shown.",
        "",
        "## Rows",
        "",
        f"- table `{manifest['uri']}`, version {manifest['version']}, tag `{manifest.get('tag', '')}`",
        f"- filter `{manifest.get('filter')}`",
        f"- SHA-256 over ids, image digests and messages: `{manifest.get('row_ids_sha256', {}).get('train', '')}`",
        f"- labels by {', '.join(_makers(scorers)) or 'no scorer'}",
        "",
        "## Training",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {key} | {recipe[key]} |" for key in SHOWN if key in recipe),
        "",
        f"Loss {summary['loss_first']:.4f} to {summary['loss_last']:.4f} in {summary['steps']} steps, "
        f"{summary['seconds']} s" + (f", resumed from step {resumed} after a kill." if resumed else "."),
        "",
        "Packages: " + ", ".join(f"{name} {version}" for name, version in environment["packages"].items()) + f"; code "
        f"`{environment['commit'] or environment['lance_assets']}`.",
        "",
        "## Again",
        "",
        "    lance-assets repro CHECKPOINT_DIR --check    # proves that the rows are the same",
        "    lance-assets repro CHECKPOINT_DIR            # trains on them again and compares the loss curve",
        "",
        "Intended use, limits and biases are those of the base model and of the images; `evaluation.json`, if there, "
        "compares it with its base.",
    ]
    return "\n".join(lines) + "\n"


def _makers(scorers: dict[str, list[dict[str, str]]]) -> list[str]:
    """Column and versions of its makers."""
    return [f"{column} {'/'.join(one['version'] for one in made)}".strip() for column, made in scorers.items()]
