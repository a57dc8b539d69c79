"""The places where LLaMA-Factory is taught Lance (see contract); its source is untouched.

A release that moves one of them is refused by name here, at import, and not by a strange loss hours later.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from lance_assets.errors import BadInput
from lance_assets.training import hf_rows, preview, references, rows, stats
from lance_assets.training.contract import check_version, original
from lance_assets.training.pictures import opened

logger = logging.getLogger("llamafactory.lance")


def apply(module: ModuleType) -> None:
    """Wraps one of the modules in finder.WRAPPED. Raises BadInput for an unknown release or a moved name."""
    check_version()
    wrap = {"loader": wrap_loader, "mm_plugin": wrap_images, "collator": wrap_collator, "data": wrap_preview}
    wrap[module.__name__.rpartition(".")[2]](module)


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
    _, list_before = original(module, "get_dataset_list")
    _, load_before = original(module, "_load_single_dataset")

    @functools.wraps(list_before)
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

    @functools.wraps(load_before)
    def _load_single_dataset(dataset_attr: Any, model_args: Any, data_args: Any, training_args: Any) -> Any:
        if dataset_attr.load_from != "lance":
            return load_before(dataset_attr, model_args, data_args, training_args)
        _limit_processes(data_args)
        dataset = hf_rows.load(dataset_attr, data_args)
        return module.align_dataset(dataset, dataset_attr, data_args, training_args)

    module.get_dataset_list, module._load_single_dataset = get_dataset_list, _load_single_dataset


def _limit_processes(data_args: Any) -> None:
    """The Web UI always asks for 16 processes; each beyond the number of cores costs a reader and gains nothing."""
    cores = len(os.sched_getaffinity(0))
    if data_args.preprocessing_num_workers and data_args.preprocessing_num_workers > cores:
        logger.warning("preprocessing_num_workers: %d, as there are cores", cores)
        data_args.preprocessing_num_workers = cores


def wrap_images(module: Any) -> None:
    mixin, before = original(module, "_regularize_images")

    @functools.wraps(before)
    def _regularize_images(self: Any, images: list[Any], **kwargs: Any) -> Any:
        images = list(images)
        here = [i for i, image in enumerate(images) if references.is_reference(image)]
        for i, data in zip(here, references.resolve([images[i] for i in here]), strict=True):
            images[i] = opened(data)
        return before(self, images, **kwargs)

    mixin._regularize_images = _regularize_images


def wrap_collator(module: Any) -> None:
    """Every batch is made here, wherever training runs; the last ones of a training may never reach the model."""
    collator, before = original(module, "__call__")

    @functools.wraps(before)
    def __call__(self: Any, features: list[dict[str, Any]]) -> Any:
        seen = _seen(feature.get("images") or [] for feature in features)
        batch = before(self, features)
        if seen:
            stats.note(seen=seen)
        return batch

    collator.__call__ = __call__


def _seen(images: Iterable[list[Any]]) -> dict[str, list[int]]:
    """By data set the number of rows and the checksum of their ids; a row counts once, with however many images."""
    by_name: dict[str, list[int]] = {}
    for row in images:
        found = [references.parse(image) for image in row if references.is_reference(image)]
        for name, row_id in dict.fromkeys((one.name, one.row) for one in found):  # a packed row holds several
            by_name.setdefault(name, []).append(row_id)
    return {name: [len(ids), stats.checksum(ids)] for name, ids in by_name.items()}


def wrap_preview(module: Any) -> None:
    _, can_before = original(module, "can_preview")
    _, get_before = original(module, "get_preview")
    _, box_before = original(module, "create_preview_box")

    @functools.wraps(can_before)
    def can_preview(dataset_dir: str, dataset: list[str]) -> Any:
        if dataset and lance_entry(read_info(dataset_dir), dataset[0], dataset_dir):
            return module.gr.Button(interactive=True)
        return can_before(dataset_dir, dataset)

    @functools.wraps(get_before)
    def get_preview(dataset_dir: str, dataset: list[str], page_index: int) -> Any:
        info = read_info(dataset_dir)
        source = lance_entry(info, dataset[0], dataset_dir)
        if source is None:
            return get_before(dataset_dir, dataset, page_index)
        count, shown = preview.page(source, info[dataset[0]], module.PAGE_SIZE * page_index, module.PAGE_SIZE)
        return count, shown, module.gr.Column(visible=True)

    def pictures(dataset_dir: str, dataset: list[str], page_index: int) -> str:
        info = read_info(dataset_dir)
        source = lance_entry(info, dataset[0], dataset_dir) if dataset else None
        if source is None:
            return ""
        return preview.pictures(source, info[dataset[0]], module.PAGE_SIZE * page_index, module.PAGE_SIZE)

    @functools.wraps(box_before)
    def create_preview_box(dataset_dir: Any, dataset: Any) -> Any:
        elements = box_before(dataset_dir, dataset)
        with elements["preview_samples"].parent:
            shown = module.gr.HTML()
        asked = [dataset_dir, dataset, elements["page_index"]]
        elements["preview_samples"].change(pictures, asked, [shown], queue=False)
        return elements

    module.can_preview, module.get_preview, module.create_preview_box = can_preview, get_preview, create_preview_box
