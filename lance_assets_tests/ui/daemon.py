"""Dagster's daemon on a home of its own, as `lance-assets dev` starts it but for the web page, and a folder of captions
that grows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import yaml

from lance_assets.automation.failed_steps import events_of
from lance_assets.cli.launched import fail_launched
from lance_assets.cli.runs import open_instance
from lance_assets.settings import RAY_VARIABLE, Home
from lance_assets.store import ledger
from lance_assets.store.files import DataRoot
from lance_assets.store.selection import latest_manifest
from lance_assets_tests.cli.command import environment
from lance_assets_tests.cli.folders import caption, write_jsonl
from lance_assets_tests.ui.platform import ROOT, mentioned

SECONDS = 120
#: As deploy/dagster.yaml, but the queue and the runs are looked at every second or two, and slots are freed as soon.
QUICK_QUEUE = """
telemetry: {enabled: false}
concurrency: {pools: {granularity: op, default_limit: 1}, runs: {max_concurrent_runs: 2}}
run_monitoring: {enabled: true, poll_interval_seconds: 2, free_slots_after_run_end_seconds: 1}
run_coordinator:
  module: dagster._core.run_coordinator
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1}
"""
#: A scorer that notes what it is asked for, and stops where a file tells it to.
CALLS = """
import os, time
from pathlib import Path
from lance_assets.scoring.functions import scorer

HERE = Path(__file__).parent

@scorer(version="1", fields=("messages",))
def letters(item):
    \"\"\"Letters of the caption.\"\"\"
    with (HERE / "calls.log").open("a") as log:
        log.write(f"{item.id}\\n")
    while (HERE / "hold").exists():
        time.sleep(0.05)
    return len(item.caption)
"""


class Automated:
    """A folder `shots` is the source, three rows make a batch; the scorers are sharpness and `letters`."""

    def __init__(self, folder: Path, host: str, ray_address: str) -> None:
        self.home, self.shots = Home(folder / "home", folder / "home" / "data"), folder / "shots"
        self.root, self.log = DataRoot(self.home.data), folder / "daemon.log"
        self.host, self.ray = host, ray_address
        self.home.create()
        self.shots.mkdir()
        (self.home.dagster / "dagster.yaml").write_text(QUICK_QUEUE)
        (self.home.root / "own.py").write_text(CALLS)
        said = {
            "sources": [{"id": "shots", "spec": f"files:{self.shots}"}],
            "batch_size": 3,
            "allow_hosts": [host],
            "scorers": [{"name": "sharpness"}, {"name": "letters", "uses": "own:letters"}],
            "sft": {"filter": "score_letters > 0"},
            "automation": {"sources_every_s": 2, "labels_every_s": 2, "retry_after_s": 1},
        }
        self.home.platform_yaml.write_text(yaml.safe_dump(said))
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0

    def add(self, name: str, numbers: range, kind: str = "") -> None:
        """A file of rows; `kind` is the path of their pictures, see picture_server."""
        url = f"http://{self.host}/{kind}"
        write_jsonl(self.shots / name, [{"image_url": f"{url}{n}.jpg", "caption": caption(n)} for n in numbers])

    def edit(self, old: str, new: str) -> None:
        file = self.home.root / "own.py"
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))

    def start(self) -> None:
        """As `lance-assets dev` does: runs whose process is gone are marked as failed first, where nobody else works
        on the home."""
        if not mentioned(self.home.root):
            with self.instance() as instance:
                fail_launched(instance)
        said = {
            "LANCE_ASSETS_HOME": str(self.home.root),
            "DAGSTER_HOME": str(self.home.dagster),
            RAY_VARIABLE: self.ray,
        }
        command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(ROOT / "workspace.yaml")]
        self.started = time.time()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment(**said), stdout=log, stderr=log)

    def kill(self) -> None:
        """The daemon alone; its code server and the runs there go on for a while."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Everything that knows of this home, as a machine that goes down."""
        while left := mentioned(self.home.root):
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=5)
        if self.process is not None:
            self.process.wait()

    # What became of it.

    def until(self, condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {what}\n{self.told()}\n{self.log.read_text()[-3000:]}")
            time.sleep(0.3)  # between two looks

    def told(self) -> str:
        with self.instance() as instance:
            return "\n".join(f"{run.status.value} {run.asset_selection} {run.tags}" for run in instance.get_runs())

    def instance(self) -> dg.DagsterInstance:
        before = dict(os.environ)
        try:
            return open_instance(self.home)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def calls(self) -> Counter[str]:
        """How often `letters` was asked for each row."""
        log = self.home.root / "calls.log"
        return Counter(log.read_text().splitlines() if log.exists() else [])

    def labels(self, version: str) -> int:
        """Rows that the ledger says were scored by this version of `letters`."""
        rows = ledger.read(self.root, columns=["column", "version", "rows_ok"]).to_pylist()
        return sum(row["rows_ok"] for row in rows if (row["column"], row["version"]) == ("score_letters", version))

    def selected(self) -> int:
        """Rows of the training set."""
        manifest = latest_manifest(self.root)
        return sum(manifest["rows"].values()) if manifest else 0

    def selected_by(self) -> set[str]:
        """Versions of `letters` by whose labels the training set was chosen."""
        manifest = latest_manifest(self.root)
        return {one["version"] for one in manifest["scorers"]["score_letters"]} if manifest else set()

    def drift(self) -> dict[str, str]:
        """What the check of `letters` said last, by batch; only where it passed."""
        key = dg.AssetCheckKey(dg.AssetKey(["score", "letters"]), "drift")
        with self.instance() as instance:
            records = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
        said = [record.evaluation for record in reversed(records)]
        return {one.partition: one.description or "" for one in said if one and one.partition and one.passed}

    def pid(self, run_id: str) -> int:
        """The process in which a run works, as Dagster noted it."""
        with self.instance() as instance:
            data: list[Any] = [
                event.event_specific_data for event in events_of(instance, run_id, dg.DagsterEventType.ENGINE_EVENT)
            ]
        (pid,) = {one.metadata["pid"].value for one in data if "pid" in one.metadata}
        return int(pid)

    def slots(self, pool: str) -> int:
        """How many slots of a pool are taken."""
        with self.instance() as instance:
            return len(instance.event_log_storage.get_concurrency_info(pool).claimed_slots)

    def statuses(self) -> Counter[str]:
        with self.instance() as instance:
            return Counter(run.status.value for run in instance.get_runs())

    def quiet(self) -> bool:
        """Nothing is queued or running."""
        return not set(self.statuses()) - {"SUCCESS", "FAILURE", "CANCELED"}
