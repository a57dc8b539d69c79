"""Answers about lineage, selection and the data set as a whole, without Dagster, Ray or torch."""
