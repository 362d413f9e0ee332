"""Benchmarks behind decisions: each starts its own PostgreSQL, prints ratios of one run, and ends by itself."""
