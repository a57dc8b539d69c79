"""Where captions come from. No Dagster, no Ray."""
