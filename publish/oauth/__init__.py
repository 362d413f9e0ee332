"""Connecting accounts: authorization flows, account selection, client registration."""
