"""Decide when a post is published: pure functions of wall times, time zones, rules and the current time."""
