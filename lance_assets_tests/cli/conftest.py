"""A home whose table has a history, and a command line on it."""

from pathlib import Path

import pytest

from lance_assets.cli.main import main
from lance_assets.store.files import DataRoot
from lance_assets_tests.cli.command import Ended
from lance_assets_tests.cli.history import home_with_history


@pytest.fixture
def home(tmp_path) -> Path:
    return home_with_history(tmp_path / "home")


@pytest.fixture
def root(home) -> DataRoot:
    return DataRoot(home / "data")


@pytest.fixture
def run(home, capfd):
    """Runs a command line on the home in this process: exit code, the lines of stdout, those of stderr."""

    def run(command: str) -> Ended:
        code = main([*command.split(), "--home", str(home)])
        out, err = capfd.readouterr()
        return Ended(code, out.splitlines(), err.splitlines())

    return run
