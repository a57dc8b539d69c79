"""A machine that lacks something: an extra, a newer Python. Told in one sentence, before anything is written."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lance_assets
from lance_assets_tests.cli.command import environment
from lance_assets_tests.cli.folders import row, write_jsonl

PACKAGE = Path(lance_assets.__file__).parent
WITHOUT = """
import sys
sys.modules[{package!r}] = None  # how Python marks a module that cannot be imported
from lance_assets.cli.main import main
sys.exit(main({arguments!r}))
"""
OLD = """
import sys
sys.version_info, sys.version = (3, 10, 4, "final", 0), "3.10.4 (main)"
import lance_assets.cli.main
"""


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("torch", "train", ["run", "--source", "files:x.jsonl", "--home", "home"]),
        ("llamafactory", "train", ["run", "--source", "files:x.jsonl", "--home", "home"]),
        ("crafter", "demo", ["demo", "--home", "home"]),
    ],
)
def test_a_missing_extra_is_one_sentence_that_says_what_to_install(tmp_path, package, extra, arguments):
    write_jsonl(tmp_path / "x.jsonl", [row("http://example.org/1.jpg", 1)])
    done = python(WITHOUT.format(package=package, arguments=arguments), tmp_path)
    assert done.returncode == 2 and done.stdout == "", done.stderr
    sentence = done.stderr.splitlines()[-1]
    assert f"needs the package {package}: pip install 'lance_assets[{extra}]'" in sentence
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_an_older_python_is_told_in_one_sentence(tmp_path):
    done = python(OLD, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lance-assets: needs Python 3.11, this is 3.10.4\n"


@pytest.mark.parametrize("name", ["__init__.py", "cli/__init__.py"])
def test_what_runs_before_that_sentence_is_syntax_that_an_older_python_knows(name):
    tree = ast.parse((PACKAGE / name).read_text(), feature_version=(3, 7))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {alias.name for node in imported for alias in node.names} <= {"os", "sys"}
