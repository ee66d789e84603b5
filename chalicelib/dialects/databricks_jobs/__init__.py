"""Databricks Jobs API 2.0 (seed 004): `/api/2.0/jobs/…`."""
