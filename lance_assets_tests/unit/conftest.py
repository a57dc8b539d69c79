"""What several tests of single rooms need."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lance
import pytest

from lance_assets_tests.unit.training_table import write_squares


@pytest.fixture
def ordinary_user(tmp_path: Path) -> Any:
    """Permissions mean nothing to root, so root steps down for one test."""
    folder = tmp_path
    opened = []
    if os.geteuid() == 0:
        while folder.stat().st_uid == 0 and folder != folder.parent and not folder.stat().st_mode & 0o001:
            opened.append((folder, folder.stat().st_mode))
            folder.chmod(0o755)
            folder = folder.parent
        os.seteuid(65534)
        yield
        os.seteuid(0)
        for folder, mode in opened:
            folder.chmod(mode)
    else:
        yield


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> lance.LanceDataset:
    """Colour squares in three fragments, which nobody changes."""
    return write_squares(tmp_path_factory.mktemp("squares") / "images.lance", 24, heavy_bytes=20_000)
