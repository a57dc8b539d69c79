"""From what a source said to rows of the table: captions, downloads, conversations. No Dagster, no Ray."""
