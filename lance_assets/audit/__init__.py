"""Answers about lineage and staleness, without Ray or torch. Empty so far: `lance-assets status` reads the store."""
