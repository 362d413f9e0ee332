"""A module for each platform that accounts can be connected to, with its ``PLATFORM``."""
