"""An object store that vanishes in the middle of a step, for one process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images
from lance_assets_tests.faults.compare import compare
from lance_assets_tests.faults.hindered import hindered
from lance_assets_tests.faults.proxy import vanishing
from lance_assets_tests.faults.script import ROWS
from lance_assets_tests.faults.steps import identities
from lance_assets_tests.faults.stored import BEFORE, STEPS, done
from lance_assets_tests.s3_server import S3, SECRET

#: After how many pieces of requests the store is gone; the steps need some 120.
MOMENTS = {"label": 80, "replace": 50, "compact": 60}


def test_a_vanished_store_is_said_in_one_line_and_the_rerun_completes(s3, tmp_path):
    with ThreadPoolExecutor(len(MOMENTS)) as pool:  # most of the time goes by in Lance's own retries, and in leases
        for _ in pool.map(lambda kind: _vanish(s3, kind, tmp_path / kind), MOMENTS):
            pass


def _vanish(s3: S3, kind: str, scratch: Path) -> None:
    root, step = done(DataRoot(f"{s3.uri}/vanished-{kind}"), *BEFORE), STEPS[kind]
    with vanishing(s3.host, MOMENTS[kind]) as proxy:
        type_of_error, message, rows = hindered(root, step, store=proxy.host)
    assert (type_of_error, rows) == ("Unreachable", -1), message
    assert message.startswith(f"the object store {root.uri}")
    assert "\n" not in message and SECRET not in message
    assert open_images(root).to_table(columns=["id"]).num_rows == 2 * ROWS
    done(root, step)
    twin = done(DataRoot(scratch / "twin"), *BEFORE, step)
    found = compare(root, twin, identities(step))
    assert not found, f"{kind}: {found}"
