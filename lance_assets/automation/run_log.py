"""The console logger of runs: what the assets say, and failures; not every event that Dagster stores."""

from __future__ import annotations

import logging
import sys

import dagster as dg


class Lines(logging.Formatter):
    """`12:03:55  image_dataset  demo-0a1b2c3d-0-300: 300/300 rows, 150 rows/s`"""

    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        step = meta.get("step_key") or meta.get("job_name") or ""
        text = meta.get("orig_message") or record.getMessage()
        return f"{self.formatTime(record, '%H:%M:%S')}  {step}  {text}"


class Worth(logging.Filter):
    """Lets through what a body logged, and errors of any kind."""

    def filter(self, record: logging.LogRecord) -> bool:
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        return record.levelno >= logging.ERROR or (event is None and record.levelno >= logging.INFO)


def _create(context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("lance_assets.run", logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    handler.addFilter(Worth())
    logger.addHandler(handler)
    return logger


run_log = dg.LoggerDefinition(_create, description="Lines that an asset body logs, and errors, on stderr.")
