"""lance_assets: auto-labelling of image-caption data as one Dagster lineage graph over one Lance table."""

import os

__version__ = "0.1.0"

# Every DataReplacement logs "not stable yet" (known, guarded in store/columns.py); other warnings stay.
os.environ.setdefault("LANCE_LOG", "warn,lance_table::transaction::manifest_build=error")
