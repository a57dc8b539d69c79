"""LLaMA-Factory on pinned Lance versions: reader, launcher, recipes, a tiny model, evaluation. No dagster, no ray."""
