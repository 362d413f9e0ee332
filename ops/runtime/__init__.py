"""Plumbing without business words: settings, logs, metrics, connections, the doorbell, embedded servers."""
