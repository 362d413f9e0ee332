"""Receive webhooks: verify a signed request, commit its events to the log, and only then answer."""
