"""Results written to files: ROOT, Parquet, CSV, NDJSON."""
