"""A platform in a folder, with an instance of its own, for tests of sensors: no daemon, no Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.test_utils import create_run_for_test

from lance_assets.automation.failed_steps import events_of
from lance_assets.definitions import build
from lance_assets.partitions import PARTITIONS
from lance_assets.settings import Home, Platform
from lance_assets.store.files import DataRoot
from lance_assets.tags import PARTITION, RANGE_END, RANGE_START
from lance_assets_tests.cli.folders import row, write_jsonl

NEW, STARTED, FAILURE = dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
#: The sensor of the source `shots`, and the assets of the scorers.
SOURCE = "new_samples_shots"
LABELS = ["score/sharpness", "score/words"]
WORDS = '''
def words(item):
    """Words of the caption."""
    return len(item.caption.split())
'''


@dataclass
class Sensed:
    """What a tick gave: names of assets and the (first, last) batch of each run, its tags, what was registered."""

    runs: list[tuple[list[str], tuple[str, str] | None]]
    tags: list[dict[str, str]]
    registered: list[str]
    says: str
    cursor: str | None


@dataclass
class SmallPlatform:
    """`shots` is a folder of jsonl files; the scorers are sharpness and one that counts words."""

    folder: Path
    instance: dg.DagsterInstance
    said: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = Home(self.folder / "home", self.folder / "home" / "data")
        self.shots, self.root = self.folder / "shots", DataRoot(self.home.data)
        self.home.root.mkdir()
        (self.home.root / "own.py").write_text(WORDS)
        self.say()

    def say(self, **more: Any) -> None:
        """Writes platform.yaml."""
        self.said = {
            "sources": [{"id": "shots", "spec": f"files:{self.shots}"}],
            "batch_size": 2,
            "scorers": [{"name": "sharpness"}, {"name": "words", "uses": "own:words"}],
            **self.said,
            **more,
        }
        self.home.platform_yaml.write_text(yaml.safe_dump(self.said))

    def add(self, name: str, rows: int, first: int = 0) -> None:
        numbers = range(first, first + rows)
        write_jsonl(self.shots / name, [row(f"http://example.org/{number}.jpg", number) for number in numbers])

    def load(self) -> dg.RepositoryDefinition:
        """The code location, as it is loaded now."""
        return build(Platform(self.home)).get_repository_def()

    def tick(self, sensor: str, cursor: str | None = None, loaded: dg.RepositoryDefinition | None = None) -> Sensed:
        """Evaluates a sensor once and does what the daemon does with partitions; runs are only told."""
        repository = loaded or self.load()
        context = dg.build_sensor_context(self.instance, cursor, repository_def=repository)
        found = repository.get_sensor_def(sensor).evaluate_tick(context)
        registered = [key for one in found.dynamic_partitions_requests or [] for key in one.partition_keys]
        self.instance.add_dynamic_partitions(PARTITIONS, registered)
        return Sensed(
            [(_assets(one), _ends(one.tags)) for one in found.run_requests or []],
            [dict(one.tags) for one in found.run_requests or []],
            registered,
            found.skip_message or "",
            found.cursor,
        )

    def run(
        self, assets: list[str], tags: dict[str, str], status: dg.DagsterRunStatus, job: str = "__ASSET_JOB"
    ) -> dg.DagsterRun:
        """Notes a run in the instance; nobody executes it."""
        keys = frozenset(dg.AssetKey(asset.split("/")) for asset in assets)
        return create_run_for_test(self.instance, job_name=job, asset_selection=keys or None, tags=tags, status=status)

    def partitions(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions(PARTITIONS))


def _assets(request: dg.RunRequest) -> list[str]:
    return [key.to_user_string() for key in request.asset_selection or ()]


def _ends(tags: Any) -> tuple[str, str] | None:
    if PARTITION in tags:
        return tags[PARTITION], tags[PARTITION]
    return (tags[RANGE_START], tags[RANGE_END]) if RANGE_START in tags else None


def after_failure(sensor: str, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> Any:
    """What a run-failure sensor of this name is told after a run."""
    return dg.build_run_status_sensor_context(
        sensor_name=sensor,
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=events_of(instance, result.run_id, dg.DagsterEventType.RUN_FAILURE)[0],
    ).for_run_failure()
