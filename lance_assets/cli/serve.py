"""`lance-assets serve CHECKPOINT_DIR`: a checkpoint behind an OpenAI-compatible endpoint on loopback."""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
from argparse import ArgumentParser, Namespace
from pathlib import Path

from lance_assets.cli.run import say
from lance_assets.compute import LOOPBACK
from lance_assets.errors import BadInput, MissingExtra

KEY_VARIABLE = "LANCE_ASSETS_SERVE_KEY"
PORT = 8008


def add(parser: ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT_DIR", help="of a finished training, or a model")
    parser.add_argument("--port", type=int, default=PORT, help=f"on 127.0.0.1 (default {PORT})")
    parser.add_argument("--engine", choices=["transformers", "vllm"], default="transformers", help="vllm wants a GPU")
    parser.epilog = f"The key that clients send comes from {KEY_VARIABLE}; without it one is made and printed."
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """Until Ctrl-C or kill: 0. Raises BadInput, MissingExtra."""
    from lance_assets.compute import endpoint
    from lance_assets.compute.cluster import RayCluster

    folder = whole_model(flags.checkpoint.absolute())
    key = os.environ.get(KEY_VARIABLE)
    told = f"the key of {KEY_VARIABLE}" if key else "the key that follows, for this time only"
    made = key or secrets.token_urlsafe(24)
    said = f"{folder.parent.name} at http://{LOOPBACK}:{flags.port}/v1, for {told}; Ctrl-C ends it"
    if flags.engine == "vllm":
        check_positions(folder)
        command = endpoint.vllm_command(folder, folder.parent.name, flags.port)
        if command is None:
            raise MissingExtra("vllm", "vllm", "serving with vLLM")
        say(said)
        if not key:
            print(made, flush=True)
        # in place of this process, so that whoever ends it ends vLLM, too
        os.execvpe(command[0], command, {**os.environ, "VLLM_API_KEY": made})  # noqa: S606
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    ray = RayCluster(address=None).connect(None)
    try:
        endpoint.start(folder, folder.parent.name, flags.port, made)
        say(said)
        if not key:
            print(made, flush=True)
        stop.wait()
    finally:
        ray.disconnect()
    return 0


def check_positions(folder: Path) -> None:
    """Raises BadInput for a model that vLLM would load and read wrongly: of positions of the kind longrope, which the
    tiny model has, it ignores the axes (its model_executor/layers/rotary_embedding)."""
    config = json.loads((folder / "config.json").read_text())
    if config.get("text_config", config).get("rope_parameters", {}).get("rope_type") == "longrope":
        raise BadInput(f"vLLM would read the positions of {folder} (longrope) wrongly: take --engine transformers")


def whole_model(folder: Path) -> Path:
    """The model that a checkpoint has, the merged one where it is an adapter; else the folder itself. Raises
    BadInput."""
    from lance_assets.training.folder import weights_folder
    from lance_assets.training.merge import model_of

    folder = model_of(weights_folder(folder) or folder)
    if not (folder / "config.json").exists():
        raise BadInput(f"{folder} holds no whole model (an adapter is merged by the asset merged_model)")
    return folder
