"""What several tests of single rooms need."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


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
