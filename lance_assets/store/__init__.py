"""Lance: schema, batches, score columns, ledger, rejects, training selection. No Dagster, no Ray."""
