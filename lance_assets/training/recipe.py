"""Recipes: LLaMA-Factory YAML files, checked before anything heavy is imported."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import util
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from lance_assets.errors import BadInput

FOLDER = Path(__file__).parent / "recipes"
#: The platform sets these: the rows are the manifest's, the folder is the checkpoint's.
OWNED = ("dataset", "eval_dataset", "dataset_dir", "output_dir", "tokenized_path", "val_size", "resume_from_checkpoint")
STAGES = ("sft", "pt")


def load_recipe(recipe: str | Path, overrides: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """A recipe by file, or by the name of one that the package ships ("demo"), with single keys replaced.

    Keys are checked against LLaMA-Factory's own where it is installed. Raises BadInput naming file and key.
    """
    path = FOLDER / f"{recipe}.yaml" if str(recipe) in shipped() else Path(recipe)
    content = read_yaml(path)
    check_keys(content, f"recipe {path}")
    check_keys(overrides, f"the overrides of recipe {path}")
    content = {**content, **overrides}
    if content.get("stage") not in STAGES:
        raise BadInput(f"recipe {path}: stage must be {' or '.join(STAGES)}, not {content.get('stage')}")
    if content.get("streaming") and int(content.get("max_steps", -1)) < 1:
        raise BadInput(f"recipe {path}: with streaming, max_steps must say how long to train")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping in a YAML file. Raises BadInput."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"recipe {path} cannot be read; shipped recipes are {', '.join(shipped())}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"recipe {path} is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict) or not content:
        raise BadInput(f"recipe {path} must be a mapping of LLaMA-Factory keys")
    return content


def check_keys(content: Mapping[str, Any], where: str) -> None:
    """Raises BadInput for a key that is the platform's to set, or that LLaMA-Factory does not know."""
    known = llamafactory_keys()
    for key in content:
        if key in OWNED:
            raise BadInput(f"{where}: {key} is set by the platform, leave it out")
        if known and key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            raise BadInput(f"{where}: LLaMA-Factory has no key {key}{f'; {near[0]}?' if near else ''}")


def shipped() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@lru_cache(maxsize=1)
def llamafactory_keys() -> frozenset[str]:
    """Field names of LLaMA-Factory's and transformers' argument classes, read from their source; empty without them.

    Importing the classes would load torch, some eight seconds, to check a YAML file.
    """
    return frozenset(name for file in _argument_files() for name in _fields(file))


def _argument_files() -> Iterator[Path]:
    factory, transformers = util.find_spec("llamafactory"), util.find_spec("transformers")
    if not factory or not factory.origin or not transformers or not transformers.origin:
        return
    yield from (Path(factory.origin).parent / "hparams").glob("*.py")
    yield from Path(transformers.origin).parent.glob("training_args*.py")


def _fields(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    yield line.target.id
