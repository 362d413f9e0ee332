"""Rebuilding and verifying the CRM tables from the log, and explaining a row by its events."""
