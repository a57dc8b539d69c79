"""Real Dagster runs from the command line: on the home's instance, visible and re-executable in the UI."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import dagster as dg
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from lance_assets.automation.dead_runs import PID_TAG, process_tag
from lance_assets.automation.failed_steps import events_of
from lance_assets.settings import HOME_VARIABLE, Home
from lance_assets.tags import of_range

MODULE = "lance_assets.definitions"
LOCATION = "lance_assets"  # as in workspace.yaml
RUN_CONFIG = {"loggers": {"console": {}}}  # without it Dagster prints every event


def open_instance(home: Home) -> dg.DagsterInstance:
    """The home's instance; its dagster.yaml is written the first time. Sets DAGSTER_HOME and LANCE_ASSETS_HOME, which
    lance_assets.definitions reads when it is imported."""
    os.environ[HOME_VARIABLE] = str(home.root)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    write_dagster_yaml(home.dagster)
    return dg.DagsterInstance.get()


def write_dagster_yaml(folder: Path) -> None:
    target = folder / "dagster.yaml"
    if not target.exists():
        target.write_text(resources.files("lance_assets.deploy").joinpath("dagster.yaml").read_text())


def execute(
    instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey], keys: tuple[str, str] | None, tags: dict[str, str]
) -> dg.DagsterRun:
    """Materializes assets, for the range of partitions `keys` (first, last) if given, in this process; returns the
    finished run, successful or not. Raises KeyboardInterrupt when a Ctrl-C ended it, which Dagster keeps to itself."""
    job = ReconstructableJob(_repository(), IMPLICIT_ASSET_JOB_NAME)
    selection = set(assets)
    run = instance.create_run_for_job(
        job.get_definition(),
        run_config=RUN_CONFIG,
        asset_selection=selection,
        tags={**tags, **of_range(keys), PID_TAG: process_tag()},
        remote_job_origin=_origin(),
        job_code_origin=job.get_python_origin(),
    )
    subset = job.get_subset(asset_selection=frozenset(selection))
    execute_run(subset, run, instance, raise_on_error=False)
    finished = instance.get_run_by_id(run.run_id)
    if finished is None:
        raise RuntimeError(f"run {run.run_id} vanished from the instance")
    if not finished.is_success and _interrupted(instance, run.run_id):
        raise KeyboardInterrupt
    return finished


def _interrupted(instance: dg.DagsterInstance, run_id: str) -> bool:
    kinds = (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE)
    data = [event.event_specific_data for kind in kinds for event in events_of(instance, run_id, kind)]
    errors = [error for one in data if (error := getattr(one, "error", None)) is not None]
    return any(error.cls_name == DagsterExecutionInterruptedError.__name__ for error in errors)


def _loadable() -> LoadableTargetOrigin:
    return LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE)


def _origin() -> RemoteJobOrigin:
    """Says to the UI which code location can run this again."""
    location = ManagedGrpcPythonEnvCodeLocationOrigin(_loadable(), LOCATION)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), IMPLICIT_ASSET_JOB_NAME)


def _repository() -> ReconstructableRepository:
    return ReconstructableRepository.for_module(MODULE, "defs")
