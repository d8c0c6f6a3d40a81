"""Engines: ways to compute the same posterior sums, from the most readable to the fastest."""
