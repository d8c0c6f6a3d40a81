"""How may be sampled, by name; no torch is imported here."""

PUBLISHED_STEPS = {"lukoianov": 10, "golddiff": 10}
"""Levels that those of other publications visit."""

STARTS = ("full", "skip_first")
"""Where the reverse process begins: at t = 1, or one step later with the seed taken as x there."""

PROTOCOLS = ("ours", *PUBLISHED_STEPS)
