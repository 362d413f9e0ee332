"""The platforms on localhost: faithful to their contracts, unkind as the real ones, with a ledger of what was done.

Nothing here comes from ``ingest``, ``sync`` or ``publish``: signatures, ids and states are made from the platform
pages, so that one misreading cannot stand on both sides.
"""
