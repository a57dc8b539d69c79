"""Files and folders that somebody else left under the root: nothing trips over them, and nothing deletes them."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import pytest

from lance_assets.store.cleanup import cleanup
from lance_assets.store.files import DataRoot, listing
from lance_assets.store.verify import verify
from lance_assets_tests.faults.compare import compare
from lance_assets_tests.faults.script import Step
from lance_assets_tests.faults.steps import identities
from lance_assets_tests.faults.stored import BATCH, BEFORE, LABEL, done, slices

FOLDERS = ["", "captions", "locks", "images.lance", "images.lance/data", "images.lance/_versions", "ledger.lance/data"]
NAMES = ["notes.txt", "strange/notes.txt", "strange.lance", "strange.manifest"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_a_stranger_left_under_the_root_hinders_nothing_and_stays(folder, tmp_path):
    root = done(DataRoot(tmp_path / "data"), BEFORE[0])
    left = [root.folder / folder / name for name in NAMES if (folder, name) != ("images.lance/_versions", NAMES[3])]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not ours")
        if path.suffix != ".lance":  # in a data folder Lance takes these after seven days, whosever they are
            os.utime(path, (time.time() - 864_000, time.time() - 864_000))
    steps = LABEL, Step("replace", BATCH, slices(2)), Step("compact"), Step("cleanup"), LABEL
    done(root, *steps)
    cleanup(root, older_than=timedelta(0))
    assert not compare(root, done(DataRoot(tmp_path / "twin"), BEFORE[0], *steps), identities(LABEL))
    assert [str(path) for path in left if not path.exists()] == []
    strange = {one.file for one in verify(root).orphans if not one.announced}
    assert strange == {name for name, _, _ in listing(root, "images.lance/data") if name in NAMES}
