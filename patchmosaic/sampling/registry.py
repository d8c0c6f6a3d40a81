"""The protocols of sampling by name; no torch is imported here."""

PUBLISHED_STEPS = {"lukoianov": 10, "golddiff": 10}
"""Levels that those of other publications visit."""

PROTOCOLS = ("ours", *PUBLISHED_STEPS)
