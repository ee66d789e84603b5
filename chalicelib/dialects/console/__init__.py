"""The pages behind `run_page_url` and the links to logs and Spark's UI that seed 004 names."""
