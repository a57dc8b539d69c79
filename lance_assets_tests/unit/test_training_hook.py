from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

from lance_assets.errors import BadInput
from lance_assets.training import wraps
from lance_assets.training.launch import HOOK, task_environment
from lance_assets.training.wraps import lance_entry


def python(code: str, *path: Path) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def test_the_hook_costs_another_process_no_heavy_import() -> None:
    code = "import sys; print(type(sys.meta_path[0]).__name__, {'lance', 'torch', 'PIL'} & set(sys.modules))"
    assert python(code, HOOK) == "LlamaFactoryFinder set()"


def test_the_hook_gives_way_to_a_sitecustomize_behind_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.behind = 'ran'\n")
    assert python("import sys; print(sys.behind)", HOOK, tmp_path) == "ran"


def test_an_interpreter_without_the_package_is_left_alone() -> None:
    environment = {"PYTHONPATH": str(HOOK), "PATH": os.environ["PATH"]}
    code = "import sys; print(any('LlamaFactory' in type(f).__name__ for f in sys.meta_path))"
    base = getattr(sys, "_base_executable", sys.executable)
    run = subprocess.run([base, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert (run.stdout.strip(), run.stderr) == ("False", "")


def test_only_a_base_model_in_a_folder_is_loaded_offline() -> None:
    assert task_environment()["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in task_environment(offline=False)


def test_a_base_model_named_by_its_id_comes_from_modelscope_unless_somebody_says_no(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("USE_MODELSCOPE_HUB", raising=False)
    assert task_environment(offline=False)["USE_MODELSCOPE_HUB"] == "1"
    monkeypatch.setenv("USE_MODELSCOPE_HUB", "0")
    assert task_environment(offline=False)["USE_MODELSCOPE_HUB"] == "0"


def test_the_task_environment_puts_the_hook_before_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    assert task_environment()["PYTHONPATH"].split(os.pathsep) == [str(HOOK), "/somewhere"]


def test_an_unknown_release_of_llamafactory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "0.9.9")
    with pytest.raises(BadInput, match=r"0\.9\.5, and 0\.9\.9 is installed"):
        wraps.apply(ModuleType("llamafactory.data.loader"))


def test_a_moved_function_is_named_with_what_it_is_good_for() -> None:
    module = ModuleType("llamafactory.data.loader")
    module.__dict__["get_dataset_list"] = lambda names, somewhere: []
    with pytest.raises(
        BadInput, match=r"get_dataset_list\(dataset_names, dataset_dir\), .* so that an entry with a Lance"
    ):
        wraps.wrap_loader(module)
    module = ModuleType("llamafactory.data.mm_plugin")
    with pytest.raises(BadInput, match=r"mm_plugin\.MMPluginMixin\._regularize_images.* references become images"):
        wraps.wrap_images(module)


def test_a_lance_table_named_as_a_plain_file_is_refused() -> None:
    with pytest.raises(BadInput, match=r"captions .* is a Lance table"):
        lance_entry({"captions": {"file_name": "images.lance/"}}, "captions", "/data")
    assert lance_entry({"captions": {"file_name": "captions.json"}}, "captions", "/data") is None
