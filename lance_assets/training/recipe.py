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
#: Why not these.
REFUSED = {
    "max_samples": "which rows are trained on is the training set's matter (its filter, or `rows` of a source)",
    "push_to_hub": "a training publishes nothing, push the finished checkpoint",
}
SECRETS = ("_token", "_api_key", "_secret")
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
    steps = content.get("max_steps")
    if content.get("streaming") and not (isinstance(steps, int) and steps > 0):
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
    """Raises BadInput for a key that is the platform's to set, a secret, a key that LLaMA-Factory does not know, or a
    value that is not of its type."""
    known = llamafactory_keys()
    for key, value in content.items():
        if key in OWNED:
            raise BadInput(f"{where}: {key} is set by the platform, leave it out")
        if value and key in REFUSED:
            raise BadInput(f"{where}: leave {key} out: {REFUSED[key]}")
        if value and str(key).endswith(SECRETS):
            # it would lie beside every checkpoint
            raise BadInput(f"{where}: leave {key} out: recipes are stored, keys come from the environment")
        if known and key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            raise BadInput(f"{where}: LLaMA-Factory has no key {key}{f'; {near[0]}?' if near else ''}")
        if known and not any(_fits(value, annotation) for annotation in known[key]):
            raise BadInput(f"{where}: {key} must be {' or '.join(sorted(known[key]))}, not {value!r}")


def _fits(value: Any, annotation: str) -> bool:
    """Whether a value is of a type as the source has it; only numbers and flags are looked at."""
    kinds = {name.strip() for name in annotation.split("|")} - {"None"}
    if value is None or not kinds <= {"int", "float", "bool"}:
        return True
    if isinstance(value, bool):
        return "bool" in kinds
    if isinstance(value, str) and "float" in kinds:  # what 1e-4 is in YAML
        try:
            float(value)
        except ValueError:
            return False
        return True
    return (isinstance(value, float) and "float" in kinds) or (isinstance(value, int) and bool(kinds - {"bool"}))


def shipped() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@lru_cache(maxsize=1)
def llamafactory_keys() -> Mapping[str, frozenset[str]]:
    """Fields of LLaMA-Factory's and transformers' argument classes and their types, read from their source; empty
    without them.

    Importing the classes would load torch, some eight seconds, to check a YAML file.
    """
    found: dict[str, frozenset[str]] = {}
    for file in _argument_files():
        for name, annotation in _fields(file):
            found[name] = found.get(name, frozenset()) | {annotation}
    return found


def _argument_files() -> Iterator[Path]:
    factory, transformers = util.find_spec("llamafactory"), util.find_spec("transformers")
    if not factory or not factory.origin or not transformers or not transformers.origin:
        return
    yield from (Path(factory.origin).parent / "hparams").glob("*.py")
    yield from Path(transformers.origin).parent.glob("training_args*.py")


def _fields(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    yield line.target.id, ast.unparse(line.annotation)
