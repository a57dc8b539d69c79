"""What of LLaMA-Factory is wrapped, and what the wraps rely on; a release that moves one of them is told its name."""

from __future__ import annotations

import importlib
import inspect
from importlib import metadata
from types import ModuleType
from typing import Any, NamedTuple

from lance_assets.errors import BadInput

VERSIONS = ("0.9.5",)


class Wrapped(NamedTuple):
    """A function of a module, or a method of a class in it, its parameters, and what would fail without it."""

    module: str
    owner: str
    name: str
    parameters: tuple[str, ...]
    purpose: str

    def __str__(self) -> str:
        return f"llamafactory.{'.'.join(part for part in self[:3] if part)}"


CONTRACT = (
    Wrapped(
        "data.loader", "", "get_dataset_list", ("dataset_names", "dataset_dir"), "an entry with a Lance table is known"
    ),
    Wrapped(
        "data.loader",
        "",
        "_load_single_dataset",
        ("dataset_attr", "model_args", "data_args", "training_args"),
        "the rows of a Lance table are loaded",
    ),
    Wrapped(
        "data.mm_plugin",
        "MMPluginMixin",
        "_regularize_images",
        ("self", "images", "kwargs"),
        "references become images",
    ),
    Wrapped(
        "data.collator",
        "MultiModalDataCollatorForSeq2Seq",
        "__call__",
        ("self", "features"),
        "rows collated are counted",
    ),
    Wrapped(
        "webui.components.data", "", "can_preview", ("dataset_dir", "dataset"), "the Web UI lets Lance be previewed"
    ),
    Wrapped(
        "webui.components.data",
        "",
        "get_preview",
        ("dataset_dir", "dataset", "page_index"),
        "the Web UI pages through Lance",
    ),
    Wrapped(
        "webui.components.data", "", "create_preview_box", ("dataset_dir", "dataset"), "the Web UI's preview has images"
    ),
)
#: Called or set by the wraps, and not wrapped: module, name, parameters or fields.
USED = (
    ("data.loader", "align_dataset", {"dataset", "dataset_attr", "data_args", "training_args"}),
    ("data.parser", "DatasetAttr", {"load_from", "dataset_name", "formatting", "images", "num_samples", "messages"}),
    ("hparams.data_args", "DataArguments", {"streaming", "max_samples", "preprocessing_num_workers"}),
)


def original(module: ModuleType, name: str) -> tuple[Any, Any]:
    """The owner of a function that is to be wrapped, and the function. Raises BadInput where it moved or changed."""
    short = module.__name__.removeprefix("llamafactory.")
    wrapped = next(one for one in CONTRACT if (one.module, one.name) == (short, name))
    owner = getattr(module, wrapped.owner, None) if wrapped.owner else module
    function = getattr(owner, name, None)
    if function is None or tuple(inspect.signature(function).parameters) != wrapped.parameters:
        raise BadInput(
            f"llamafactory {metadata.version('llamafactory')} has moved or changed {wrapped}"
            f"({', '.join(wrapped.parameters)}), which lance_assets wraps so that {wrapped.purpose}"
        )
    return owner, function


def check_version() -> None:
    """Raises BadInput for a release that nobody tried."""
    found = metadata.version("llamafactory")
    if found not in VERSIONS:
        raise BadInput(
            f"lance_assets reads Lance in llamafactory {' or '.join(VERSIONS)}, and {found} is installed: "
            f"pip install llamafactory=={VERSIONS[-1]}, or take the hook folder off PYTHONPATH"
        )


def moved() -> list[str]:
    """One sentence for each part of the contract that the installed release does not keep; imports torch."""
    said: list[str] = []
    for wrapped in CONTRACT:
        try:
            original(importlib.import_module(f"llamafactory.{wrapped.module}"), wrapped.name)
        except (BadInput, ImportError) as error:
            said.append(str(error))
    for module, name, wanted in USED:
        found = getattr(importlib.import_module(f"llamafactory.{module}"), name, None)
        if lost := wanted - set(inspect.signature(found).parameters if found else ()):
            said.append(f"llamafactory.{module}.{name} has no {', '.join(sorted(lost))} any more, used by the wraps")
    return said
