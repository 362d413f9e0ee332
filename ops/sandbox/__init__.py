"""Simulated platforms on localhost that follow their contract pages, with a ledger of everything that was done.

Nothing here is imported from ``ingest``, ``sync`` or ``publish``: signatures, ids and states are written from the
platform pages, so that a misreading on one side fails a test on the other.
"""
