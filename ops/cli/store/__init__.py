"""The SQL that belongs to commands alone, a module for each thing it is about.

Functions take a connection and never open a transaction, unless they say so.
"""
