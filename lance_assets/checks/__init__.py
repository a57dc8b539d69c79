"""Asset checks: each op looks at the batches of its run and tells one evaluation per check and batch."""

import warnings

from dagster import PreviewWarning

# Checks by partition are in preview in 1.13; the graph tests watch them.
warnings.filterwarnings("ignore", message=".*partitions_def on an AssetCheckSpec.*", category=PreviewWarning)
