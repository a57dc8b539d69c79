"""Lance: batches, score columns, ledger, versions, maintenance, rejects, rights, duplicates, training selection. No
Dagster, no Ray.

To read it bottom up: schema and files (names under data/), claims and lease (one writer a batch), table (opening and
committing), columns and cells (what a score column is), ledger (who was about to write what), staging (the only way
into a column), staleness (what is to be scored), then the three that change the table: batches with carry (images),
labelling with recovery and intents (scores), compact and cleanup with versions (maintenance). verify and provenance
only look. captions, rejects and rights are what ingest keeps beside the table; duplicates with its index, bands and
stored cells groups what looks alike, selection splits by these groups.
"""
