"""alert_on_failure: a run that failed, whoever started it, is told to a webhook."""

import os

import dagster as dg

from lance_assets.automation.failed_steps import failed_steps
from lance_assets.automation.webhook import VARIABLE, message, post


@dg.run_failure_sensor(
    name="alert_on_failure",
    description=f"Posts every failed run to the webhook that {VARIABLE} names: run id, job, step, error, link.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def alert_on_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    """Runs by default, since an alert that must be switched on in two places is one that nobody gets. A webhook that
    does not answer is logged here and costs that one alert: nothing waits for it, nothing is posted twice."""
    url, run = os.environ.get(VARIABLE), context.dagster_run
    if not url:
        return dg.SkipReason(f"{VARIABLE} is not set: nobody is told that run {run.run_id} failed")
    problem = post(url, message(run.run_id, run.job_name, failed_steps(context.instance, run.run_id)))
    if problem:
        context.log.error(f"nobody was told that run {run.run_id} failed: {problem}")
    return None
