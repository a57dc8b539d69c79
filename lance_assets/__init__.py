"""lance_assets: auto-labelling of image-caption data as one Dagster lineage graph over one Lance table."""

__version__ = "0.1.0"
