"""The four places where LLaMA-Factory is taught Lance; its source is untouched.

A release that moves one of them is refused by name here, at import, and not by a strange loss hours later.
"""

from __future__ import annotations

import inspect
import json
import os
from importlib import metadata
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

from lance_assets.errors import BadInput
from lance_assets.training import hf_rows, references, rows

VERSIONS = ("0.9.5",)
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

#: wrapped name -> the parameters that the wrap relies on
CONTRACT = {
    "get_dataset_list": ["dataset_names", "dataset_dir"],
    "_load_single_dataset": ["dataset_attr", "model_args", "data_args", "training_args"],
    "_regularize_images": ["self", "images", "kwargs"],
    "can_preview": ["dataset_dir", "dataset"],
    "get_preview": ["dataset_dir", "dataset", "page_index"],
}


def apply(module: ModuleType) -> None:
    """Wraps one of the modules in finder.WRAPPED. Raises BadInput for an unknown release or a moved name."""
    found = metadata.version("llamafactory")
    if found not in VERSIONS:
        raise BadInput(
            f"lance_assets reads Lance in llamafactory {' or '.join(VERSIONS)}, and {found} is installed: "
            f"pip install llamafactory=={VERSIONS[-1]}, or take the hook folder off PYTHONPATH"
        )
    {"loader": wrap_loader, "mm_plugin": wrap_images, "data": wrap_preview}[module.__name__.rpartition(".")[2]](module)


def _original(owner: Any, name: str) -> Any:
    function = getattr(owner, name, None)
    if function is None or list(inspect.signature(function).parameters) != CONTRACT[name]:
        raise BadInput(f"llamafactory has moved or changed {owner.__name__}.{name}, which lance_assets wraps")
    return function


def read_info(dataset_dir: Any) -> dict[str, Any]:
    """dataset_info.json as a mapping; empty for the hub and where there is no such file."""
    if isinstance(dataset_dir, dict):
        return dataset_dir
    path = Path(dataset_dir or "", "dataset_info.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def lance_entry(info: dict[str, Any], name: str, dataset_dir: Any) -> rows.LanceRows | None:
    """The Lance rows that entry `name` stands for; None for an ordinary entry. Raises BadInput."""
    entry = info.get(name, {})
    if "lance" in entry:
        return rows.parse_spec(name, entry["lance"], "" if isinstance(dataset_dir, dict) else dataset_dir)
    if str(entry.get("file_name", "")).rstrip("/").endswith(".lance"):
        # the ordinary loader would silently read the table's internal files as text
        raise BadInput(f'data set {name} of dataset_info.json is a Lance table: name it as "lance": {{uri, version}}')
    return None


def wrap_loader(module: Any) -> None:
    list_before = _original(module, "get_dataset_list")
    load_before = _original(module, "_load_single_dataset")

    def get_dataset_list(dataset_names: list[str] | None, dataset_dir: Any) -> list[Any]:
        info = read_info(dataset_dir)
        found = {name: lance_entry(info, name, dataset_dir) for name in dataset_names or []}
        if not any(found.values()):
            return list_before(dataset_names, dataset_dir)
        filled = {name: {"file_name": str(name), **entry} for name, entry in info.items()}
        attributes = list_before(dataset_names, filled)
        for attribute, source in zip(attributes, found.values(), strict=True):
            if source:
                attribute.load_from, attribute.dataset_name, attribute.lance = "lance", source.uri, source
        return attributes

    def _load_single_dataset(dataset_attr: Any, model_args: Any, data_args: Any, training_args: Any) -> Any:
        if dataset_attr.load_from != "lance":
            return load_before(dataset_attr, model_args, data_args, training_args)
        dataset = hf_rows.load(dataset_attr, data_args)
        return module.align_dataset(dataset, dataset_attr, data_args, training_args)

    module.get_dataset_list, module._load_single_dataset = get_dataset_list, _load_single_dataset


def wrap_images(module: Any) -> None:
    mixin = module.MMPluginMixin
    before = _original(mixin, "_regularize_images")

    def _regularize_images(self: Any, images: list[Any], **kwargs: Any) -> Any:
        from PIL import Image

        images = list(images)
        here = [i for i, image in enumerate(images) if isinstance(image, str) and image.startswith(references.PREFIX)]
        for i, data in zip(here, references.resolve([images[i] for i in here]), strict=True):
            images[i] = Image.open(BytesIO(data), formats=IMAGE_FORMATS)
        return before(self, images, **kwargs)

    mixin._regularize_images = _regularize_images


def wrap_preview(module: Any) -> None:
    can_before, get_before = _original(module, "can_preview"), _original(module, "get_preview")

    def can_preview(dataset_dir: str, dataset: list[str]) -> Any:
        if dataset and lance_entry(read_info(dataset_dir), dataset[0], dataset_dir):
            return module.gr.Button(interactive=True)
        return can_before(dataset_dir, dataset)

    def get_preview(dataset_dir: str, dataset: list[str], page_index: int) -> Any:
        info = read_info(dataset_dir)
        source = lance_entry(info, dataset[0], dataset_dir)
        if source is None:
            return get_before(dataset_dir, dataset, page_index)
        column = info[dataset[0]].get("columns", {}).get("messages", "messages")
        table = rows.open_version(source.uri, source.version, os.getpid())
        page = table.scanner(
            columns=[column], filter=source.filter, offset=module.PAGE_SIZE * page_index, limit=module.PAGE_SIZE
        ).to_table()
        shown = [{"version": source.version, "filter": source.filter, **row} for row in page.to_pylist()]
        return table.count_rows(source.filter), shown, module.gr.Column(visible=True)

    module.can_preview, module.get_preview = can_preview, get_preview
