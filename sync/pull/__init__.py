"""Pull: read from platforms what no webhook tells, and append it to the log."""
