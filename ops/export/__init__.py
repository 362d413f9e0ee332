"""Export of the views that may be read, as files: CSV, JSONL and Parquet, row by row however many there are."""
