"""One asset family a file; a body is a door to a pure function of another room."""

import warnings

from dagster import BetaWarning

# backfill_policy is beta in 1.13 and does what we need (a range of batches is one run); the graph tests watch it.
warnings.filterwarnings("ignore", message=".*backfill_policy.*", category=BetaWarning)
# So are links to code; without them the page of a column would not lead to its scorer.
warnings.filterwarnings("ignore", message=".*(with_source_code_references|CodeReference).*", category=BetaWarning)
