"""Folders that take nothing more: a full disk, a limit on files, somebody else's. An error in one line, the table stays
readable, and the rerun completes."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lance_assets.errors import Unwritable
from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images
from lance_assets_tests.faults.compare import compare
from lance_assets_tests.faults.hindered import hindered
from lance_assets_tests.faults.script import ROWS, Step
from lance_assets_tests.faults.steps import identities
from lance_assets_tests.faults.stored import BEFORE, LABEL, STEPS, done


def check(root: DataRoot, step: Step, scratch: Path) -> None:
    """The step, done again, leaves what it leaves where nothing hindered it."""
    done(root, step)
    twin = done(DataRoot(scratch / "twin"), *BEFORE, step)
    found = compare(root, twin, identities(Step("label", scorers={**LABEL.scorers, **step.scorers})))
    assert not found, str(found)


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A file system of 3 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path, left: int) -> Path:
    """Fills the disk but for so many bytes."""
    filler = disk / "filler"
    file = os.open(filler, os.O_CREAT | os.O_WRONLY)
    try:
        while os.write(file, bytes(4096)):
            pass
    except OSError:
        os.ftruncate(file, filler.stat().st_size - left)
    finally:
        os.close(file)
    return filler


@pytest.mark.parametrize("left", [0, 30_000])
@pytest.mark.parametrize("kind", STEPS)
def test_a_full_disk_is_said_in_one_line_and_the_rerun_completes(kind, left, disk, tmp_path):
    root = done(DataRoot(disk / "data"), *BEFORE)
    filler = fill(disk, left)
    try:
        done(root, STEPS[kind])
    except Unwritable as error:
        assert str(error) == f"{root.uri} cannot be used: No space left on device"
    else:
        assert left, "a step was done on a disk without any room"
    assert open_images(root).to_table(columns=["id"]).num_rows >= 2 * ROWS
    filler.unlink()
    check(root, STEPS[kind], tmp_path)


@pytest.mark.parametrize("kind", STEPS)
def test_a_file_that_may_not_grow_is_said_in_one_line_and_the_rerun_completes(kind, tmp_path):
    root = done(DataRoot(tmp_path / "data"), *BEFORE)
    assert hindered(root, STEPS[kind], file_bytes=700) == (
        "Unwritable",
        f"{root.uri} cannot be used: File too large",
        2 * ROWS,
    )
    check(root, STEPS[kind], tmp_path)


@pytest.mark.parametrize("kind", STEPS)
def test_a_folder_that_is_not_ours_is_said_in_one_line_and_can_be_read(kind, tmp_path):
    with tempfile.TemporaryDirectory() as folder:  # tmp_path can be entered by its owner alone
        root = done(DataRoot(f"{folder}/data"), *BEFORE)
        us = os.getuid() == 0
        for path in [Path(folder), *Path(folder).rglob("*")]:
            path.chmod(path.stat().st_mode | 0o555 if us else path.stat().st_mode & ~0o222)
        kind_of_error, message, rows = hindered(root, STEPS[kind], nobody=us)
        assert (kind_of_error, rows) == ("Unwritable", 2 * ROWS), message
        assert message == f"{root.uri} cannot be used: Permission denied"
        for path in [Path(folder), *Path(folder).rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
        check(root, STEPS[kind], tmp_path)
